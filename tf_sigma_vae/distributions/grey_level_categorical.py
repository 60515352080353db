"""Categorical distribution over the 256 grey levels, with values in the unit of the images.

    P(x = k / 255) = softmax(logits)_k,    k = 0 ... 255,

without any order among the levels: neighbors share no probability.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae.distributions.bin_mass import (
    GREY_LEVELS,
    assert_grey_levels,
    grey_level,
    in_float64,
)

tfd = tfp.distributions


class GreyLevelCategorical(tfd.Distribution):
    """`x = k / 255` with one free probability for each of the 256 levels.

    `log_prob` rounds `x` to the nearest level; off the range 0 ... 255 it is minus infinity.

    Memory. The logits are 256 times as large as `x`, so what counts is how many tensors of their
    size live at a time. In a training step, as a graph, there are two: `log_prob` is one fused
    operation that reads the logits and writes the loss and `softmax - one_hot`, its gradient;
    neither a log-softmax nor a one-hot is ever stored. The logits can be freed right after it, and
    the backward pass multiplies the stored gradient in place. Recomputing the softmax in the
    backward pass instead would keep the logits in place of the gradient and save nothing. Gradients
    of second order are supported; `mean`, `mode` and `sample` store at most one softmax.
    """

    def __init__(
        self,
        logits,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "GreyLevelCategorical",
    ):
        """Builds the distribution.

        Args:
          logits: `[B..., 256]`, unnormalized log-probabilities of the levels, batch shape `[B...]`.
          validate_args: Whether to check that scored values are grey levels.
          allow_nan_stats: As in every `tfd.Distribution`.
          name: As in every `tfd.Distribution`.

        Raises:
          ValueError: If the last axis is not of size 256.
        """
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._logits = tf.convert_to_tensor(logits)
            if self._logits.shape.rank == 0 or self._logits.shape[-1] != GREY_LEVELS:
                raise ValueError(
                    f"logits must be [..., {GREY_LEVELS}], got shape {self._logits.shape}"
                )
            super().__init__(
                dtype=self._logits.dtype,
                reparameterization_type=tfd.NOT_REPARAMETERIZED,
                validate_args=validate_args,
                allow_nan_stats=allow_nan_stats,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        """The last axis of the logits is that of the levels."""
        return dict(logits=tfp.util.ParameterProperties(event_ndims=1))

    @property
    def logits(self) -> tf.Tensor:
        """Unnormalized log-probabilities, `[B..., 256]`."""
        return self._logits

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _log_prob(self, value):
        level = grey_level(value)
        shape = tf.broadcast_dynamic_shape(tf.shape(level), tf.shape(self._logits)[:-1])
        # Where nothing is to be broadcast, as in training, this hands on the same memory.
        logits = tf.broadcast_to(self._logits, tf.concat([shape, [GREY_LEVELS]], axis=0))
        level = tf.broadcast_to(level, shape)
        in_support = (level >= 0.0) & (level < GREY_LEVELS)
        labels = tf.cast(tf.where(in_support, level, 0.0), tf.int32)
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.where(in_support, -nll, tf.constant(-np.inf, self.dtype))

    def bin_log_mass(self, x) -> tf.Tensor:
        """`log_prob` of `x = k / 255`, in float64 whatever the type of the parameters, nats."""
        return in_float64(self).log_prob(tf.cast(x, tf.float64))

    def _sample_control_dependencies(self, value):
        """Checks of `validate_args`."""
        check = assert_grey_levels(value) if self.validate_args else None
        return [] if check is None else [check]

    def _sample_n(self, n, seed=None):
        # By inverting the CDF, one uniform number a draw: TFP's sampler divides the rows among
        # threads, so that what the first rows get depends on how many there are.
        batch = tf.shape(self._logits)[:-1]
        shape = tf.concat([[n], batch], axis=0)
        zero, one = tf.zeros([], self.dtype), tf.ones([], self.dtype)
        uniform = tfd.Uniform(zero, one).sample(shape, seed=seed)
        cdf = tf.reshape(tf.cumsum(tf.nn.softmax(self._logits), axis=-1), [-1, GREY_LEVELS])
        # Rounding may leave the last value of the CDF off 1.
        targets = cdf[:, -1:] * tf.transpose(tf.reshape(uniform, [n, -1]))
        levels = tf.minimum(tf.searchsorted(cdf, targets, side="right"), GREY_LEVELS - 1)
        return tf.reshape(tf.cast(tf.transpose(levels), self.dtype), shape) / (GREY_LEVELS - 1)

    def _values(self) -> tf.Tensor:
        """The values `k / 255` of all levels, `[256]`."""
        return tf.constant(np.arange(GREY_LEVELS) / (GREY_LEVELS - 1), self.dtype)

    def _mean(self):
        return tf.tensordot(tf.nn.softmax(self._logits), self._values(), axes=1)

    def _mode(self):
        """The most probable level; of equals the lowest."""
        return tf.cast(tf.argmax(self._logits, axis=-1), self.dtype) / (GREY_LEVELS - 1)

    def _variance(self):
        # Around the mean: a difference of two moments would cancel for peaked distributions.
        deviation = self._values() - self._mean()[..., tf.newaxis]
        return tf.reduce_sum(tf.nn.softmax(self._logits) * deviation**2, axis=-1)
