"""Gaussian whose one variance per event is integrated out against an inverse gamma.

The paper's per-image optimal variance is a plug-in: it looks at the very image it scores, so that
`p(x|z)` does not integrate to one. Integrating the variance out instead,

    p(x) = integral N(x; loc, v I) InverseGamma(v; a, b) dv,

gives a normalised density (a multivariate Student-t with `2a` degrees of freedom),

    log p(x) = lgamma(a + D/2) - lgamma(a) - (D/2) log(2 pi) + a log b - (a + D/2) log(b + e/2),

with `e = |x - loc|^2`, `a` the concentration and `b` the scale of the inverse gamma.
"""

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions._marginal_mass import log_mass
from tf_sigma_vae.distributions.bin_mass import in_float64
from tf_sigma_vae.distributions.grey_level_cdf import LevelCdf, of_marginal


class MarginalGaussian(tfd.Distribution):
    """`N(loc, v I)` with `v ~ InverseGamma(concentration, scale)` integrated out.

    The dimensions of an event are uncorrelated but not independent: they share the variance.
    """

    def __init__(
        self,
        loc: TensorLike,
        concentration: TensorLike,
        scale: TensorLike,
        reinterpreted_batch_ndims: int,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "MarginalGaussian",
    ) -> None:
        """Builds the distribution.

        Args:
          loc: `[B..., E...]`, the mean; the last `reinterpreted_batch_ndims` axes are the event.
          concentration: `a > 0`, of a shape that broadcasts against `[B...]`.
          scale: `b > 0`, likewise; in the squared unit of `loc`.
          reinterpreted_batch_ndims: Number of event axes of `loc`.
          validate_args: Whether to check that `a` and `b` are positive.
          allow_nan_stats: As in every `tfd.Distribution`.
          name: As in every `tfd.Distribution`.
        """
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._loc = tf.convert_to_tensor(loc)
            self._concentration = tf.convert_to_tensor(concentration, self._loc.dtype)
            self._scale = tf.convert_to_tensor(scale, self._loc.dtype)
            self._num_event_axes = reinterpreted_batch_ndims
            super().__init__(
                dtype=self._loc.dtype,
                reparameterization_type=tfd.NOT_REPARAMETERIZED,
                validate_args=validate_args,
                allow_nan_stats=allow_nan_stats,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(
        cls, dtype: tf.DType | None, num_classes: int | None = None
    ) -> dict[str, tfp.util.ParameterProperties]:
        """Declares which axes of each parameter belong to the event."""
        return dict(
            loc=tfp.util.ParameterProperties(
                event_ndims=lambda self: self.parameters["reinterpreted_batch_ndims"]
            ),
            concentration=tfp.util.ParameterProperties(),
            scale=tfp.util.ParameterProperties(),
        )

    def _parameter_control_dependencies(self, is_init: bool) -> list[tf.Operation]:
        """Checks of `validate_args`."""
        if not self.validate_args:
            return []
        named = {"concentration": self._concentration, "scale": self._scale}
        checks = [
            tf.debugging.assert_positive(value, f"{name} must be positive")
            for name, value in named.items()
        ]
        # Eager checks have run and are None.
        return [check for check in checks if check is not None]

    @property
    def loc(self) -> tf.Tensor:
        """Mean, `[B..., E...]`."""
        return self._loc

    @property
    def concentration(self) -> tf.Tensor:
        """`a` of the inverse gamma."""
        return self._concentration

    @property
    def scale(self) -> tf.Tensor:
        """`b` of the inverse gamma, a squared unit."""
        return self._scale

    def _event_shape(self) -> tf.TensorShape:
        return self._loc.shape[self._loc.shape.rank - self._num_event_axes :]

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.shape(self._loc)[self._loc.shape.rank - self._num_event_axes :]

    def _num_dims(self) -> tf.Tensor:
        return tf.cast(tf.reduce_prod(self._event_shape_tensor()), self.dtype)

    def _event_axes(self, value: tf.Tensor) -> list[int]:
        return list(range(value.shape.rank - self._num_event_axes, value.shape.rank))

    def _over_event(self, parameter: tf.Tensor) -> tf.Tensor:
        """The parameter with trailing axes of size one, to broadcast against events."""
        return tf.reshape(
            parameter, tf.concat([tf.shape(parameter), [1] * self._num_event_axes], axis=0)
        )

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        squared_error = tf.reduce_sum((value - self._loc) ** 2, axis=self._event_axes(value))
        half_dims = 0.5 * self._num_dims()
        a, b = self._concentration, self._scale
        # a log b - (a + D/2) log(b + e/2), arranged so that no large terms cancel.
        half_error = 0.5 * squared_error
        tail = -a * tf.math.log1p(half_error / b) - half_dims * tf.math.log(b + half_error)
        # Not a difference of two lgamma, which in float32 is off by nats from a = 1e6 on.
        gammas = -tfp.math.log_gamma_difference(half_dims, a)
        return gammas - half_dims * math.log(2.0 * math.pi) + tail

    def _sample_n(self, n: int | tf.Tensor, seed: TensorLike | None = None) -> tf.Tensor:
        variance_seed, noise_seed = tfp.random.split_seed(seed, n=2)
        batch = self.batch_shape_tensor()
        ones = tf.ones(batch, self.dtype)
        variance = tfd.InverseGamma(self._concentration * ones, self._scale * ones).sample(
            n, seed=variance_seed
        )
        shape = tf.concat([[n], batch, self._event_shape_tensor()], axis=0)
        noise = tfd.Normal(tf.zeros([], self.dtype), 1.0).sample(shape, seed=noise_seed)
        return self._loc + tf.sqrt(self._over_event(variance)) * noise

    def _mean(self) -> tf.Tensor:
        return self._broadcast(self._loc)

    def _mode(self) -> tf.Tensor:
        return self._broadcast(self._loc)

    def _variance(self) -> tf.Tensor:
        """`b / (a - 1)` in every dimension; NaN where `a <= 1` (infinite)."""
        a, b = self._concentration, self._scale
        value = tf.where(a > 1.0, b / (a - 1.0), tf.constant(np.nan, self.dtype))
        return self._broadcast(self._over_event(value))

    def _stddev(self) -> tf.Tensor:
        return tf.sqrt(self._variance())

    def _broadcast(self, value: tf.Tensor) -> tf.Tensor:
        shape = tf.concat([self.batch_shape_tensor(), self._event_shape_tensor()], axis=0)
        return tf.broadcast_to(value, shape)

    def marginal(self) -> tfd.StudentT:
        """Distribution of each dimension on its own: Student-t, batch shape `[B..., E...]`."""
        a, b = self._over_event(self._concentration), self._over_event(self._scale)
        ones = tf.ones_like(self._loc)
        return tfd.StudentT(df=2.0 * a * ones, loc=self._loc, scale=tf.sqrt(b / a) * ones)

    def bin_log_mass(self, x: TensorLike) -> tf.Tensor:
        """Log-mass of the 8-bit image `x` under the joint distribution.

        `log integral InverseGamma(v) prod_d mass_d(v) dv`, by quadrature in `log v`.

        Args:
          x: `[B, E...]`, images scaled as `k / 255`; one batch axis.

        Returns:
          float64 `[B]`, nats.
        """
        x, loc = tf.cast(x, tf.float64), tf.cast(self._loc, tf.float64)
        shape = tf.shape(x)[: x.shape.rank - self._num_event_axes]
        a = tf.broadcast_to(tf.cast(self._concentration, tf.float64), shape)
        b = tf.broadcast_to(tf.cast(self._scale, tf.float64), shape)
        loc = tf.broadcast_to(loc, tf.shape(x))
        return log_mass(loc, a, b, x, self._event_axes(x))

    def grey_level_cdf(self, x: TensorLike) -> LevelCdf:
        """See `distributions.grey_level_cdf`; of each element on its own, by its `marginal`.

        The variance that the elements share makes them dependent, which no marginal shows: these
        masses, multiplied, are not `bin_log_mass`.
        """
        return of_marginal(in_float64(self).marginal())
