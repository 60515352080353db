"""Datasets, one plug-in a file, and the input pipelines that feed them.

A plug-in is a public module that holds a subclass of `ImageDataset` or of `VideoDataset` named as
the module is, in CamelCase; a leading underscore marks a module that is none.
"""

from tf_sigma_vae.data._base import ImageDataset
from tf_sigma_vae.data._clip_pipeline import (
    evaluation_clips,
    num_evaluation_clips,
    training_clips,
)
from tf_sigma_vae.data._pipeline import (
    WHOLE,
    Shard,
    Splits,
    evaluation_batches,
    split,
    steps_per_epoch,
    training_batches,
)
from tf_sigma_vae.data._videos import (
    ArraySource,
    RecordingSource,
    VideoDataset,
    VideoSource,
    VideoSplits,
    split_videos,
)

__all__ = [
    "WHOLE",
    "ArraySource",
    "ImageDataset",
    "RecordingSource",
    "Shard",
    "Splits",
    "VideoDataset",
    "VideoSource",
    "VideoSplits",
    "evaluation_batches",
    "evaluation_clips",
    "num_evaluation_clips",
    "split",
    "split_videos",
    "steps_per_epoch",
    "training_batches",
    "training_clips",
]
