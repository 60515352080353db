"""What the likelihoods share whose variance is computed from the training residuals.

Each image has a variance, its mean squared error `e / D`. Its mean over the global batch, and for
likelihoods that need it the mean of its square, are kept as moving averages. After training,
`calibrate` replaces them by the exact means over the training set, and fits the inverse gamma of
the per-image variances by maximum likelihood. Evaluation, sampling, saving and serving use what is
stored: the evaluated data never set the scale.

Source: Rybkin et al. 2021, Sec. 4.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import TensorLike

from tf_sigma_vae.distributions import MarginalGaussian
from tf_sigma_vae.likelihoods import _gaussian, _inverse_gamma
from tf_sigma_vae.likelihoods._base import NotCalibratedError
from tf_sigma_vae.replicas import host_value, replica_sum


class AnalyticScaleLikelihood(_gaussian.GaussianLikelihood):
    """Gaussian whose stored scale is a statistic of the training residuals.

    A subclass may clear `needs_calibration` on an instance that takes its scale from elsewhere; the
    instance then stores no statistics, and answers as every `Likelihood`.
    """

    needs_calibration = True
    scale_per = "image"

    def __init__(
        self, per_image: bool, floor: float, momentum: float, loc_activation: str, **kwargs: Any
    ) -> None:
        """Builds the layer.

        Args:
          per_image: Whether the variances of the images are described by an inverse gamma, not by
            their mean alone.
          floor: Keeps the scale off zero, in the unit of the data: `floor^2` adds to the variance.
          momentum: Of the moving averages, in [0, 1). The first steps average uniformly, so that
            the start leaves no trace.
          loc_activation: Of the mean, `"sigmoid"` or `"linear"`.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If an argument is not one of the allowed values.
        """
        super().__init__(loc_activation=loc_activation, **kwargs)
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum!r}")
        self.per_image = per_image
        self.floor = _gaussian.require_positive("floor", floor)
        self.momentum = float(momentum)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the stored statistics."""
        self.variance = self._stored("variance")
        self.num_updates = self._stored("num_updates", "int64")
        self.calibration_examples = self._stored("calibration_examples", "int64")
        self.calibration_step = self._stored("calibration_step", "int64")
        if self.per_image:
            self.variance_square = self._stored("variance_square")
            self.concentration = self._stored("concentration")
            self.inverse_gamma_scale = self._stored("inverse_gamma_scale")
        self.built = True

    def _stored(self, name: str, dtype: str = "float32") -> keras.Variable:
        """A statistic that training updates and files keep, a scalar."""
        return self.add_weight(
            name=name,
            shape=(),
            initializer="zeros",
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    # -- the global batch

    def batch_moments(
        self,
        loc: tf.Tensor,
        x: TensorLike,
        then: Callable[[tf.Tensor, tf.Tensor], None] | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Variance of each image, `[B]`, and its mean and mean square over the global batch.

        Args:
          loc: `[B, ...]`, the mean image.
          x: Of the same shape.
          then: Called once a step with the mean and mean square of the whole batch.

        Returns:
          Triple of float32 tensors, `[B]` and twice `[]`.
        """
        errors = _gaussian.squared_error(loc, x)
        num_dims = tf.cast(tf.size(loc) / tf.shape(loc)[0], tf.float32)
        variances = errors / num_dims
        sums = tf.stack([tf.reduce_sum(variances), tf.reduce_sum(variances**2)])
        count = tf.cast(tf.shape(loc)[0], tf.float32)

        def means(total: tf.Tensor) -> list[tf.Tensor]:
            return tf.unstack(total[:2] / total[2])

        # One all-reduce of three scalars: a mean of per-replica means would be another objective.
        total = replica_sum(
            tf.concat([sums, [count]], axis=0),
            then=None if then is None else lambda total: then(*means(total)),
        )
        return variances, *means(total)

    def training_moments(
        self, loc: tf.Tensor, x: TensorLike | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """`batch_moments` without a gradient; updates the moving averages.

        Raises:
          ValueError: If there is no `x`.
        """
        if x is None:
            raise ValueError(f"{type(self).__name__} needs x in training; got x=None")
        return self.batch_moments(
            tf.stop_gradient(loc), tf.stop_gradient(x), then=self._update_moving_averages
        )

    def _update_moving_averages(self, mean: tf.Tensor, mean_square: tf.Tensor) -> None:
        updates = tf.cast(tf.convert_to_tensor(self.num_updates), tf.float32)
        keep = tf.minimum(self.momentum, updates / (updates + 1.0))
        self.variance.assign(keep * self.variance + (1.0 - keep) * mean)
        if self.per_image:
            self.variance_square.assign(keep * self.variance_square + (1.0 - keep) * mean_square)
        self.num_updates.assign(self.num_updates + 1)
        # A step after a calibration makes the exact value stale: the moving average is back.
        self.calibration_examples.assign(tf.zeros([], tf.int64))

    # -- from variances to scales

    def bounded_scale(self, variance: TensorLike) -> tf.Tensor:
        """The scale of a variance, kept off zero."""
        return tf.sqrt(tf.convert_to_tensor(variance) + self.floor**2)

    def inverse_gamma_of_moments(
        self, mean: TensorLike, mean_square: TensorLike
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Concentration and scale by the moments of the bounded variance."""
        mean = tf.convert_to_tensor(mean)
        floor = self.bounded_scale(mean) ** 2 - mean
        return _inverse_gamma.from_moments(
            mean + floor, mean_square + 2.0 * floor * mean + floor**2
        )

    def stored_marginal(self, loc: tf.Tensor) -> MarginalGaussian:
        """The Gaussian of the stored inverse gamma, its variance integrated out."""
        moments = self.inverse_gamma_of_moments(self.variance, self.variance_square)
        calibrated = tf.convert_to_tensor(self.calibration_examples) > 0
        fitted = (self.concentration, self.inverse_gamma_scale)
        a, b = (tf.where(calibrated, f, m) for f, m in zip(fitted, moments, strict=True))
        return MarginalGaussian(loc, a, b, loc.shape.rank - 1)

    # -- the training set

    def require_scale_in_graph(self) -> None:
        """`require_scale` when the distribution is used; XLA drops the check."""
        if tf.executing_eagerly():
            self.require_scale()
            return
        known = tf.maximum(
            tf.convert_to_tensor(self.num_updates), tf.convert_to_tensor(self.calibration_examples)
        )
        message = f"{type(self).__name__} holds no scale yet: train it, or call model.calibrate"
        tf.debugging.assert_positive(known, message)

    def require_scale(self) -> None:
        """See `Likelihood.require_scale`."""
        if not self.needs_calibration:
            return super().require_scale()
        self.ensure_built(())  # Of scalars alone: any shape will do.
        if host_value(self.num_updates) == 0 and host_value(self.calibration_examples) == 0:
            raise NotCalibratedError(
                f"{type(self).__name__} holds no scale yet: it is a statistic of the training "
                "data. Train the model, or call model.calibrate(training_data) first."
            )

    def calibration_statistic(self, params: tf.Tensor, x: TensorLike) -> tf.Tensor:
        """Squared error of each example, float32 `[B]`."""
        if not self.needs_calibration:
            return super().calibration_statistic(params, x)
        return _gaussian.squared_error(self.loc(params), x)

    def calibrate(self, statistics: np.ndarray, num_dims: int, step: int) -> None:
        """See `Likelihood.calibrate`. Averages in float64.

        Raises:
          ValueError: If there is no example, or an error is not finite.
        """
        if not self.needs_calibration:
            return super().calibrate(statistics, num_dims, step)
        errors = np.asarray(statistics, np.float64)
        if errors.size == 0 or not np.all(np.isfinite(errors)):
            raise ValueError("calibration needs at least one example, and finite squared errors")
        self.ensure_built(())
        variances = errors / num_dims
        self.variance.assign(np.float32(variances.mean()))
        if self.per_image:
            floor = float(self.bounded_scale(self.variance)) ** 2 - host_value(self.variance)
            concentration, scale = _inverse_gamma.fit(errors + num_dims * floor, num_dims)
            self.variance_square.assign(np.float32((variances**2).mean()))
            self.concentration.assign(concentration)
            self.inverse_gamma_scale.assign(scale)
        self.calibration_examples.assign(errors.size)
        self.calibration_step.assign(step)

    def provenance(self) -> dict[str, object]:
        """Source of the stored variance, and its number of examples and step if calibrated."""
        if not self.needs_calibration:
            return super().provenance()
        self.ensure_built(())
        if host_value(self.calibration_examples) > 0:
            return {
                "source": "calibrate",
                "num_examples": host_value(self.calibration_examples),
                "step": host_value(self.calibration_step),
            }
        if host_value(self.num_updates) > 0:
            return {"source": "moving_average", "num_updates": host_value(self.num_updates)}
        return {"source": "none"}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        return {**super().get_config(), "floor": self.floor, "momentum": self.momentum}
