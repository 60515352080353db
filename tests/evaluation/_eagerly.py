"""Evaluation without compiling, where what is computed is tested and not the graph of it."""

import contextlib
import functools
import warnings

import numpy as np
import pytest
import tensorflow as tf

from tf_sigma_vae import data, rows


@contextlib.contextmanager
def eagerly():
    """Within it functions run op by op, and equal examples share one dataset.

    Most of the time of a small evaluation goes into graphs: of its figures, and of its batches.
    """
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Datasets compile their functions all the same, which is well.
        warnings.filterwarnings("ignore", ".* does not apply to tf.data functions")
        patch.setattr(rows, "over_replicas", lambda strategy, function, *_, **__: function)
        patch.setattr(data, "evaluation_batches", _kept_batches)
        patch.setattr(data, "evaluation_clips", _kept_clips)
        tf.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(False)


def _kept_batches(images, **options):
    return _batches_of(images.tobytes(), images.shape, images.dtype.str, **options)


@functools.cache
def _batches_of(content, shape, dtype, _make=data.evaluation_batches, **options):
    return _make(np.frombuffer(content, dtype).reshape(shape), **options)


@functools.cache
def _kept_clips(source, *args, _make=data.evaluation_clips, **options):
    return _make(source, *args, **options)
