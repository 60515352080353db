"""Probability mass that a continuous distribution puts on the bins of 8-bit data.

Level `k` of 256 occupies `[k, k + 1] / 256`; the open tails belong to the end bins, so that the 256
masses sum to one. The value `k / 255`, by which images are scaled to [0, 1], lies in bin `k`.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

GREY_LEVELS = 256
"""Levels of 8-bit data: level `k` occupies the bin `[k, k + 1] / 256` of the unit interval."""


LEVEL_TOLERANCE = 0.05
"""Part of a grey level by which a value may be off one: far more than float32 rounds."""


def grey_level(x: tf.Tensor) -> tf.Tensor:
    """Level 0 ... 255 of images `x` scaled as `k / 255`, of the shape and type of `x`.

    In float32 the product is off by less than 1e-4 levels: float64 is left out of training steps,
    for accelerators have none or emulate it.
    """
    return tf.round(x * (GREY_LEVELS - 1))


def assert_grey_levels(
    x: tf.Tensor, message: str = "values must be k / 255"
) -> tf.Operation | None:
    """Checks that values are grey levels `k / 255`.

    Args:
      x: Any shape.
      message: Of the error.

    Returns:
      The operation that checks, None when it has run eagerly.

    Raises:
      tf.errors.InvalidArgumentError: On a value between two levels, or off the range.
    """
    level = tf.cast(x, tf.float32) * (GREY_LEVELS - 1)
    off_grid = tf.abs(level - tf.clip_by_value(tf.round(level), 0.0, GREY_LEVELS - 1.0))
    # Elementwise: the largest of numbers with a NaN among them need not be NaN.
    return tf.debugging.assert_less_equal(off_grid, LEVEL_TOLERANCE, message)


def in_float64(distribution: tfd.Distribution) -> tfd.Distribution:
    """A copy of a TFP distribution whose floating-point parameters are float64."""
    parameters = {
        name: tf.cast(value, tf.float64) if _is_floating(value) else value
        for name, value in distribution.parameters.items()
    }
    return type(distribution)(**parameters)


def _is_floating(value: Any) -> bool:
    if isinstance(value, (float, np.ndarray, np.generic)):
        return np.issubdtype(np.asarray(value).dtype, np.floating)
    return tf.is_tensor(value) and value.dtype.is_floating


def elementwise_bin_log_mass(marginal: tfd.Distribution, x: tf.Tensor) -> tf.Tensor:
    """Log-mass of each element's bin under independent one-dimensional marginals.

    The difference of the CDFs at the bin's edges is taken on the side of the median on which both
    are small, so that masses far out in either tail keep their relative precision.

    Args:
      marginal: float64 distribution with `log_cdf` and `log_survival_function`, event shape `[]`,
        whose batch shape broadcasts against `x`.
      x: Images scaled as `k / 255`, any shape.

    Returns:
      float64, nats, of the shape of `x`.
    """
    level = grey_level(tf.cast(x, tf.float64))
    lower, upper = level / GREY_LEVELS, (level + 1.0) / GREY_LEVELS
    is_first, is_last = level <= 0.0, level >= GREY_LEVELS - 1.0
    # In the end bins the finite edge alone counts; keep the unused expression finite for where.
    below_lower, below_upper = marginal.log_cdf(lower), marginal.log_cdf(upper)
    left = _log_difference(below_upper, below_lower)
    above_lower = marginal.log_survival_function(lower)
    right = _log_difference(above_lower, marginal.log_survival_function(upper))
    middle = tf.where(below_lower < -math.log(2.0), left, right)
    middle = tf.where(is_first, below_upper, middle)
    return tf.where(is_last, above_lower, middle)


def _log_difference(larger: tf.Tensor, smaller: tf.Tensor) -> tf.Tensor:
    """`log(exp(larger) - exp(smaller))`, finite also where the two coincide numerically."""
    gap = tf.maximum(larger - smaller, 1e-300)
    return larger + tf.math.log(-tf.math.expm1(-gap))


def bin_log_mass(distribution: tfd.Distribution, x: tf.Tensor) -> tf.Tensor:
    """Log-mass of the 8-bit image `x`, summed over the event.

    Args:
      distribution: `tfd.Independent` of a one-dimensional continuous distribution; or one that has
        a method `bin_log_mass` of its own (dependent dimensions, or a mass already), or
        `tfd.Independent` of such a one.
      x: `[B, ...]`, images scaled as `k / 255`.

    Returns:
      float64 `[B]`, nats; never positive.

    Raises:
      TypeError: If the distribution is neither.
    """
    if hasattr(distribution, "bin_log_mass"):
        return distribution.bin_log_mass(x)
    # Not by its class: of distributions that are no composite tensors, TFP makes another one.
    if not hasattr(distribution, "reinterpreted_batch_ndims"):
        raise TypeError(
            f"no bin mass for {type(distribution).__name__}; wrap it in tfd.Independent"
        )
    marginal = distribution.distribution
    if hasattr(marginal, "bin_log_mass"):
        mass = marginal.bin_log_mass(x)
    else:
        mass = elementwise_bin_log_mass(in_float64(marginal), x)
    num_batch_dims = distribution.batch_shape.rank
    return tf.reduce_sum(mass, axis=list(range(num_batch_dims, mass.shape.rank)))
