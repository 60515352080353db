"""Runs without graphs what is called once: to trace it would take longer."""

import contextlib
import warnings

import tensorflow as tf


@contextlib.contextmanager
def eagerly():
    """Makes every `tf.function` run its Python function, those of Keras's steps too."""
    with warnings.catch_warnings():
        # TensorFlow warns that functions of `tf.data` stay graphs.
        warnings.filterwarnings("ignore", "Even though the `tf.config", UserWarning)
        tf.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(False)
