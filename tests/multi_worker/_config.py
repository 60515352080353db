"""The run that several workers train: two epochs of 13 steps on 4x4 images.

Of 97 training images in batches of 8 the last batch holds one: with two workers, one has none.
"""

from tests.training._runs import tiny_config
from tf_sigma_vae.config import base

STEPS_PER_EPOCH = 13
NUM_STEPS = 2 * STEPS_PER_EPOCH
CHECKPOINT_EVERY_STEPS = 4
"""Checkpoints are written at steps 4, 8, 12, 13 (epoch), 16, 20, 24 and 26 (epoch)."""

CONFIG = tiny_config(
    likelihood="gaussian_optimal",
    dataset_options={"num_train": 121, "num_test": 9, "image_size": 4},
    validation_fraction=0.2,
    num_epochs=2,
    log_every_steps=3,
    checkpoint_every_steps=CHECKPOINT_EVERY_STEPS,
    learning_rate=3e-3,
    clip_norm=2.0,
    ema_momentum=0.9,
    dequantize=True,
    flip=True,
    select="best",
)


def get_config():
    """What `--config` takes."""
    config = base()
    for name, value in CONFIG.to_dict().items():
        config[name] = value
    return config
