"""Categorical distribution over the 256 grey levels, with values in the unit of the images.

    P(x = k / 255) = softmax(logits)_k,    k = 0 ... 255,

without any order among the levels: neighbors share no probability.
"""

import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import TensorLike

from tf_sigma_vae.distributions import _categorical
from tf_sigma_vae.distributions._grey_levels import LogitsDistribution
from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS, grey_level
from tf_sigma_vae.distributions.grey_level_cdf import LevelCdf, of_masses


class GreyLevelCategorical(LogitsDistribution):
    """`x = k / 255` with a free probability for each level: `logits` are `[B..., 256]`.

    `log_prob` rounds `x` to the nearest level; off the range 0 ... 255 it is minus infinity.

    Memory. The logits are 256 times as large as `x`, so what counts is how many tensors of their
    size live at a time. In a training step, as a graph, there are two: `log_prob` is one fused
    operation that reads the logits and writes the loss and `softmax - one_hot`, its gradient;
    neither a log-softmax nor a one-hot is ever stored. The logits can be freed right after it, and
    the backward pass multiplies the stored gradient in place. Recomputing the softmax in the
    backward pass instead would keep the logits in place of the gradient and save nothing. Gradients
    of second order are supported; `mean`, `mode` and `sample` store at most one softmax.
    """

    num_logits = GREY_LEVELS

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        level = grey_level(value)
        shape = tf.broadcast_dynamic_shape(tf.shape(level), tf.shape(self._logits)[:-1])
        # Where nothing is to be broadcast, as in training, this hands on the same memory.
        logits = tf.broadcast_to(self._logits, tf.concat([shape, [GREY_LEVELS]], axis=0))
        level = tf.broadcast_to(level, shape)
        in_support = (level >= 0.0) & (level < GREY_LEVELS)
        labels = tf.cast(tf.where(in_support, level, 0.0), tf.int32)
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.where(in_support, -nll, tf.constant(-np.inf, self.dtype))

    def _sample_n(self, n: int | tf.Tensor, seed: TensorLike | None = None) -> tf.Tensor:
        levels = _categorical.sample(self._logits, n, seed)
        return tf.cast(levels, self.dtype) / (GREY_LEVELS - 1)

    def _values(self) -> tf.Tensor:
        """The values `k / 255` of all levels, `[256]`."""
        return tf.constant(np.arange(GREY_LEVELS) / (GREY_LEVELS - 1), self.dtype)

    def _mean(self) -> tf.Tensor:
        return tf.tensordot(_categorical.softmax(self._logits), self._values(), axes=1)

    def _mode(self) -> tf.Tensor:
        """The most probable level; of equals the lowest."""
        return tf.cast(tf.argmax(self._logits, axis=-1), self.dtype) / (GREY_LEVELS - 1)

    def _variance(self) -> tf.Tensor:
        # Around the mean: a difference of two moments would cancel for peaked distributions.
        deviation = self._values() - self._mean()[..., tf.newaxis]
        return tf.reduce_sum(_categorical.softmax(self._logits) * deviation**2, axis=-1)

    def grey_level_cdf(self, x: TensorLike) -> LevelCdf:
        """See `distributions.grey_level_cdf`; holds 256 float64 numbers for each element."""
        return of_masses(_categorical.softmax(tf.cast(self._logits, tf.float64)))
