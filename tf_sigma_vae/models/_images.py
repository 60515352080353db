"""Checks of the images that a model is given."""

import tensorflow as tf
from tensorflow.types.experimental import TensorLike

from tf_sigma_vae.distributions.bin_mass import assert_grey_levels

RANGE_TOLERANCE = 1e-3
"""Part of the range by which a value may lie outside of it, for resized or rounded images."""


def require_images(
    x: TensorLike, image_shape: tuple[int, ...], value_range: tuple[float, float] | None = None
) -> None:
    """Checks the type, shape and range of a batch of images.

    Args:
      x: `[B, H, W, C]`.
      image_shape: `(H, W, C)`.
      value_range: `(low, high)`, or None for no check of the values.

    Raises:
      ValueError: On a wrong type, rank or size, when the graph is traced.
      tf.errors.InvalidArgumentError: On a value out of range, when it runs.
    """
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise ValueError(
            f"images must be floats, got {x.dtype.name}: divide 8-bit images by 255 "
            "(x.astype('float32') / 255)"
        )
    if not x.shape[1:].is_compatible_with(image_shape):
        raise ValueError(f"images must have shape {('B', *image_shape)}, got {tuple(x.shape)}")
    if value_range is not None:
        low, high = value_range
        message = f"images must lie in [{low:g}, {high:g}], the range of the likelihood"
        tolerance = RANGE_TOLERANCE * (high - low)
        tf.debugging.assert_greater_equal(tf.reduce_min(x), low - tolerance, message)
        tf.debugging.assert_less_equal(tf.reduce_max(x), high + tolerance, message)


def require_grey_levels(x: TensorLike) -> None:
    """Checks that images hold 8-bit values, `k / 255`: what a likelihood of grey levels scores.

    Args:
      x: `[B, H, W, C]`, in [0, 1].

    Raises:
      tf.errors.InvalidArgumentError: On a value between two grey levels, when it runs.
    """
    message = (
        "images must hold grey levels k / 255 for a likelihood of 8-bit values: round them "
        "(np.round(255 * x) / 255), and do not dequantize"
    )
    assert_grey_levels(x, message)
