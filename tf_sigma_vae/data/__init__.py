"""Datasets, one plug-in a file, and the input pipeline that feeds them.

A plug-in is a public module that holds a subclass of `ImageDataset` named as the module is, in
CamelCase; a leading underscore marks a module that is none.
"""

from tf_sigma_vae.data._base import ImageDataset
from tf_sigma_vae.data._pipeline import (
    Shard,
    Splits,
    evaluation_batches,
    split,
    steps_per_epoch,
    training_batches,
)

__all__ = [
    "ImageDataset",
    "Shard",
    "Splits",
    "evaluation_batches",
    "split",
    "steps_per_epoch",
    "training_batches",
]
