"""Tiny runs on videos."""

import numpy as np

from benchmarks._equality import smooth_videos
from tests.training._runs import tiny_config

NUM_VIDEOS, NUM_FRAMES = 10, 9
"""Of which 2 videos are held out; the last frame is in no clip of an evaluation."""
TRAIN_FRAMES, CONTEXT = 4, 2
STEPS_PER_EPOCH = 2
"""8 training videos in batches of 4: a size more takes seconds to trace."""


def write_videos(folder, num_videos=NUM_VIDEOS, num_frames=NUM_FRAMES, frame=(16, 16, 1)):
    """Writes an archive; returns its path."""
    path = folder / "videos.npz"
    train = smooth_videos(num_videos, (num_frames, *frame), seed=0)
    np.savez(path, train=train, test=smooth_videos(2, (num_frames, *frame), seed=1))
    return str(path)


def tiny_video_config(path, **changes):
    """A run of two epochs on the videos of a file."""
    values = {
        "dataset": "video_npz",
        "dataset_options": {"path": path},
        "validation_fraction": 0.2,
        "train_frames": TRAIN_FRAMES,
        "eval_frames": 6,
        "model": "sequence_vae",
        "model_options": {"context_frames": CONTEXT, "feature_size": 8, "lstm_units": 6},
        "network": "dcgan64",
        "network_options": {"width": 4},
        "latent_size": 3,
        "global_batch_size": 4,
        "log_every_steps": 1,
        "checkpoint_every_steps": 1,
    }
    return tiny_config(**{**values, **changes})
