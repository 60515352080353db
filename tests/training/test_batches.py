import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import tiny_vae
from tf_sigma_vae.config import Config
from tf_sigma_vae.training import batches

N, BATCH, IMAGE_SHAPE = 7, 4, (4, 6, 1)
ONE_DEVICE = tf.distribute.get_strategy()
ROUNDING = 1e-5
"""Relative: float32 means over batches of another size."""


@pytest.fixture
def x():
    return np.random.default_rng(0).integers(0, 256, [N, *IMAGE_SHAPE]).astype(np.uint8)


def test_training_batches_start_and_end_where_they_are_told_to(x):
    config = Config(global_batch_size=BATCH)
    whole = list(itertools.islice(batches.training(ONE_DEVICE, config, x, 0), 5))
    later = list(batches.training(ONE_DEVICE, config, x, 2, num_steps=3))
    assert [len(batch) for batch in later] == [4, 3, 4]
    for expected, found in zip(whole[2:], later, strict=True):
        np.testing.assert_array_equal(expected, found)


def test_dropping_the_remainder_makes_all_training_batches_full(x):
    config = Config(global_batch_size=BATCH, drop_remainder=True)
    found = batches.training(ONE_DEVICE, config, x, 0, num_steps=3)
    assert [len(batch) for batch in found] == [4, 4, 4]


def test_validation_padded_to_one_shape_gives_the_figures_of_the_images_alone(x):
    config = Config(global_batch_size=BATCH)
    model = tiny_vae("gaussian_shared", IMAGE_SHAPE)
    model.compile(keras.optimizers.SGD(1e-3))
    padded = batches.validation(ONE_DEVICE, config, x, pad=True)
    assert [spec.shape[0] for spec in padded.element_spec] == [BATCH, BATCH, BATCH]
    plain = batches.validation(ONE_DEVICE, config, x)
    assert sum(len(batch) for batch in plain) == N
    expected, found = (model.evaluate(b, return_dict=True, verbose=0) for b in (plain, padded))
    assert found == pytest.approx(expected, rel=ROUNDING)
