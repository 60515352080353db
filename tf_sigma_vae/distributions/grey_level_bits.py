"""The eight bits of a grey level as independent Bernoulli variables.

    x = k / 255,    k = sum_j 2^(7 - j) b_j,    b_j ~ Bernoulli(sigmoid(logits_j)),    j = 0 ... 7,

the most significant bit first.
"""

import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions._grey_levels import LogitsDistribution
from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS, grey_level
from tf_sigma_vae.distributions.grey_level_cdf import LevelCdf, of_masses

NUM_BITS = 8
"""Bits of a grey level."""

_SHIFTS = np.arange(NUM_BITS - 1, -1, -1)


class GreyLevelBits(LogitsDistribution):
    """`x = k / 255` with independent bits: `logits` `[B..., 8]` are their log-odds.

    `log_prob` rounds `x` to the nearest level; off the range 0 ... 255 it is minus infinity.
    """

    num_logits = NUM_BITS

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        level = grey_level(value)
        in_support = (level >= 0.0) & (level < GREY_LEVELS)
        number = tf.cast(tf.where(in_support, level, 0.0), tf.int32)[..., tf.newaxis]
        bits = tf.bitwise.right_shift(number, tf.constant(_SHIFTS, tf.int32)) % 2
        # log sigmoid(l) of a set bit and log sigmoid(-l) of the others, without a cancellation.
        signs = tf.cast(1 - 2 * bits, self.dtype)
        log_prob = -tf.reduce_sum(tf.nn.softplus(signs * self._logits), axis=-1)
        return tf.where(in_support, log_prob, tf.constant(-np.inf, self.dtype))

    def _sample_n(self, n: int | tf.Tensor, seed: TensorLike | None = None) -> tf.Tensor:
        return self._value(tfd.Bernoulli(self._logits, dtype=self.dtype).sample(n, seed=seed))

    def _value(self, bits: tf.Tensor) -> tf.Tensor:
        """`k / 255` of bits (or their probabilities) `[..., 8]`."""
        weights = tf.constant(2.0**_SHIFTS, self.dtype)
        return tf.reduce_sum(bits * weights, axis=-1) / (GREY_LEVELS - 1)

    def _mean(self) -> tf.Tensor:
        return self._value(tf.sigmoid(self._logits))

    def _mode(self) -> tf.Tensor:
        """The most probable level: each bit on its own; an even bit is 0."""
        return self._value(tf.cast(self._logits > 0.0, self.dtype))

    def _variance(self) -> tf.Tensor:
        """`sum_j 4^(7 - j) p_j (1 - p_j) / 255^2`."""
        weights = tf.constant((2.0**_SHIFTS / (GREY_LEVELS - 1)) ** 2, self.dtype)
        # 1 - p as a sigmoid of its own keeps its precision where p rounds to 1.
        bit_variance = tf.sigmoid(self._logits) * tf.sigmoid(-self._logits)
        return tf.reduce_sum(weights * bit_variance, axis=-1)

    def grey_level_cdf(self, x: TensorLike) -> LevelCdf:
        """See `distributions.grey_level_cdf`; holds 256 float64 numbers for each element."""
        logits = tf.cast(self._logits, tf.float64)
        masses = tf.ones_like(logits[..., :1])
        # Of all numbers that the bits so far make: the next bit divides each in two, in order.
        for bit in tf.unstack(logits[..., tf.newaxis], axis=-2):
            halves = tf.stack([masses * tf.sigmoid(-bit), masses * tf.sigmoid(bit)], axis=-1)
            shape = tf.concat([tf.shape(masses)[:-1], [2 * masses.shape[-1]]], axis=0)
            masses = tf.reshape(halves, shape)
        return of_masses(masses)
