"""P(K <= k) of 8-bit values, element by element, on the bins of which `bin_mass` gives the masses.

A continuous distribution has level `k` in the bin `[k, k + 1] / 256`, hence its CDF at the bin's
right edge; one of grey levels sums its own masses. The open tails belong to the end bins: below
level 0 the CDF is 0, and at level 255 it is 1. So differences of neighbors are the masses.

The CDF of a continuous distribution can be asked without that, as `cdf(level, open_tails=False)`:
it is then the distribution's own at the edge `(k + 1) / 256` for all k = -1 ... 255.
"""

from collections.abc import Callable

import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS, in_float64

LevelCdf = Callable[[TensorLike], tf.Tensor]
"""Maps a level, a number or a tensor that broadcasts to `[B, ...]`, to float64 `[B, ...]`."""


def grey_level_cdf(distribution: tfd.Distribution, x: tf.Tensor) -> LevelCdf:
    """The CDF of each element's grey level, given the image's earlier elements where it needs them.

    What all levels share (a softmax, say) is computed once, here.

    Args:
      distribution: `tfd.Independent` of a one-dimensional continuous distribution; or one that has
        a method `grey_level_cdf` of its own, or `tfd.Independent` of such a one.
      x: `[B, ...]`, images scaled as `k / 255`. Read only where the elements depend on one another
        and the CDF is that given those before: the channels of a `DiscretizedLogisticMixture`.

    Returns:
      Function of the level, -1 ... 255; never decreasing from 0 to 1 but for rounding. Of a
      continuous distribution it takes `open_tails` too, see `of_marginal`.

    Raises:
      TypeError: If the distribution is neither.

    Source: Rosenblatt 1952 (the CDF of each element given those before it).
    """
    if hasattr(distribution, "grey_level_cdf"):
        return distribution.grey_level_cdf(x)
    # Not by its class: of distributions that are no composite tensors, TFP makes another one.
    if not hasattr(distribution, "reinterpreted_batch_ndims"):
        raise TypeError(
            f"no CDF of grey levels for {type(distribution).__name__}; wrap it in tfd.Independent"
        )
    marginal = distribution.distribution
    if hasattr(marginal, "grey_level_cdf"):
        return marginal.grey_level_cdf(x)
    return of_marginal(marginal)


def of_marginal(marginal: tfd.Distribution) -> Callable[..., tf.Tensor]:
    """The CDF of grey levels of continuous one-dimensional marginals, event shape `[]`.

    Returns:
      A `LevelCdf` that also takes `open_tails`, True unless given. False leaves the tails beyond
      [0, 1] out of the end bins: the value is the marginal's own CDF at the bin's right edge.
    """
    marginal = in_float64(marginal)

    def at_edge(level: tf.Tensor) -> tf.Tensor:
        return marginal.cdf((level + 1.0) / GREY_LEVELS)

    of_levels = with_ends(at_edge)

    def cdf(level: TensorLike, open_tails: bool = True) -> tf.Tensor:
        return of_levels(level) if open_tails else at_edge(tf.cast(level, tf.float64))

    return cdf


def of_masses(masses: tf.Tensor) -> LevelCdf:
    """The CDF of the 256 masses on the last axis of a float64 tensor `[B, ..., 256]`."""
    cumulative = tf.minimum(tf.cumsum(masses, axis=-1), 1.0)

    def at(level: tf.Tensor) -> tf.Tensor:
        level = tf.cast(level, tf.int32)
        if level.shape.rank == 0:
            return tf.gather(cumulative, level, axis=-1)
        level = tf.broadcast_to(level, tf.shape(cumulative)[:-1])
        return tf.gather(cumulative, level, axis=-1, batch_dims=cumulative.shape.rank - 1)

    return with_ends(at)


def with_ends(inner: LevelCdf) -> LevelCdf:
    """The CDF of all levels -1 ... 255, given that of the levels 0 ... 254."""

    def cdf(level: TensorLike) -> tf.Tensor:
        level = tf.cast(level, tf.float64)
        value = inner(tf.clip_by_value(level, 0.0, GREY_LEVELS - 2.0))
        zero, one = tf.zeros([], tf.float64), tf.ones([], tf.float64)
        value = tf.where(level < 0.0, zero, value)
        return tf.where(level >= GREY_LEVELS - 1.0, one, value)

    return cdf
