"""`gaussian_optimal`: the scale is computed, not learned: the root mean squared error.

In training the variance is the mean squared error of the global batch (over all replicas),

    s^2 = sum_b e_b / (B D) + floor^2,

held constant in the gradient, which loses nothing: the gradient of `(D/2) log MSE` is that of the
Gaussian likelihood with the optimal scale held fixed (envelope theorem). A moving average of the
variance is kept; after training, `calibrate` replaces it by the exact mean over the training set.
Evaluation, sampling, saving and serving use the stored value: the evaluated data never set the
scale.

With `average_over="image"` training uses a scale for each image. That plug-in is not a density, so
outside of training the variance is integrated out against an inverse gamma fitted on the training
residuals (`distributions.MarginalGaussian`).

Source: Rybkin et al. 2021, Sec. 4, Eq. 5 (as the variance; printed as the standard deviation).
"""

import keras
import numpy as np
import tensorflow as tf

from tf_sigma_vae.distributions import MarginalGaussian
from tf_sigma_vae.likelihoods import _gaussian, _inverse_gamma
from tf_sigma_vae.likelihoods._base import NotCalibratedError
from tf_sigma_vae.replicas import host_value, replica_sum

AVERAGES = ("batch", "image")
BOUNDS = ("floor", "soft_clip", "none")
PAPER_LOG_SCALE_MIN = -6.0


@keras.saving.register_keras_serializable("tf_sigma_vae")
class GaussianOptimal(_gaussian.GaussianLikelihood):
    """Gaussian with the analytically optimal scale."""

    needs_calibration = True

    def __init__(
        self,
        average_over: str = "batch",
        bound: str = "floor",
        floor: float = _gaussian.HALF_GREY_LEVEL,
        momentum: float = 0.9,
        loc_activation: str = "sigmoid",
        **kwargs,
    ):
        """Builds the layer.

        Args:
          average_over: `"batch"`: one variance, the mean over the global batch; `"image"`: one for
            each image.
          bound: What keeps the scale off zero: `"floor"` adds `floor^2` to the variance;
            `"soft_clip"` is the paper's soft lower clip of `log_scale` at -6; `"none"` nothing.
          floor: In the unit of the data; half a grey level of images in [0, 1] by default.
          momentum: Of the moving average of the variance, in [0, 1). The first steps average
            uniformly, so that the start leaves no trace.
          loc_activation: Of the mean, `"sigmoid"` or `"linear"`.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If an argument is not one of the allowed values.
        """
        super().__init__(loc_activation=loc_activation, **kwargs)
        if average_over not in AVERAGES:
            raise ValueError(f"average_over must be one of {AVERAGES}, got {average_over!r}")
        if bound not in BOUNDS:
            raise ValueError(f"bound must be one of {BOUNDS}, got {bound!r}")
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum!r}")
        self.average_over, self.bound = average_over, bound
        self.floor = _gaussian.require_positive("floor", floor)
        self.momentum = float(momentum)

    def build(self, input_shape):
        """Creates the stored statistics."""
        stored = {"variance": "float32", "num_updates": "int64"}
        stored |= {"calibration_examples": "int64", "calibration_step": "int64"}
        if self.average_over == "image":
            stored |= {"variance_square": "float32", "concentration": "float32"}
            stored |= {"inverse_gamma_scale": "float32"}
        for name, dtype in stored.items():
            weight = self.add_weight(
                name=name,
                shape=(),
                initializer="zeros",
                dtype=dtype,
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
            )
            setattr(self, name, weight)
        self.built = True

    def distribution(self, params, x=None, training=False):
        """See `Likelihood.distribution`. Training needs `x` and updates the moving average."""
        self.ensure_built(params.shape)
        loc = self.loc(params)
        if training:
            return _gaussian.independent_normal(loc, self._training_scale(loc, x))
        self._require_scale_in_graph()
        if self.average_over == "batch":
            return _gaussian.independent_normal(loc, self._bounded_scale(self.variance))
        concentration, scale = self._inverse_gamma()
        return MarginalGaussian(loc, concentration, scale, loc.shape.rank - 1)

    def plug_in_distribution(self, params, x):
        """The paper's own evaluation: the scale computed from the evaluated data themselves.

        Not a likelihood, for it looks at what it scores; with `"batch"` the figure also depends on
        the batch size. Reported beside the likelihood, under its own name.
        """
        loc = self.loc(params)
        variance, _ = self._statistics(loc, x)
        return _gaussian.independent_normal(loc, self._over_event(variance, loc))

    def _training_scale(self, loc, x) -> tf.Tensor:
        if x is None:
            raise ValueError(f"{type(self).__name__} needs x in training; got x=None")
        variance, means = self._statistics(tf.stop_gradient(loc), x)
        self._update_moving_averages(*means)
        return tf.stop_gradient(self._over_event(variance, loc))

    def _statistics(self, loc, x):
        """Variance of the training objective (`[]` or `[B]`), and the moments to average."""
        errors = _gaussian.squared_error(loc, x)
        num_dims = tf.cast(tf.size(loc) / tf.shape(loc)[0], tf.float32)
        per_image = errors / num_dims
        sums = tf.stack([tf.reduce_sum(per_image), tf.reduce_sum(per_image**2)])
        count = tf.cast(tf.shape(loc)[0], tf.float32)
        # One all-reduce of three scalars: a mean of per-replica means would be another objective.
        total = replica_sum(tf.concat([sums, [count]], axis=0))
        means = total[:2] / total[2]
        return (means[0] if self.average_over == "batch" else per_image), tf.unstack(means)

    def _over_event(self, variance, loc) -> tf.Tensor:
        """The bounded scale, shaped to broadcast against the mean."""
        scale = self._bounded_scale(variance)
        if self.average_over == "image":
            scale = tf.reshape(scale, [-1] + [1] * (loc.shape.rank - 1))
        return scale

    def _bounded_scale(self, variance) -> tf.Tensor:
        variance = tf.convert_to_tensor(variance)
        if self.bound == "floor":
            return tf.sqrt(variance + self.floor**2)
        if self.bound == "none":
            return tf.sqrt(variance)
        low = PAPER_LOG_SCALE_MIN
        return tf.exp(low + tf.nn.softplus(0.5 * tf.math.log(variance) - low))

    def _update_moving_averages(self, mean, mean_square) -> None:
        updates = tf.cast(tf.convert_to_tensor(self.num_updates), tf.float32)
        keep = tf.minimum(self.momentum, updates / (updates + 1.0))
        self.variance.assign(keep * self.variance + (1.0 - keep) * mean)
        if self.average_over == "image":
            self.variance_square.assign(keep * self.variance_square + (1.0 - keep) * mean_square)
        self.num_updates.assign(self.num_updates + 1)
        # A step after a calibration makes the exact value stale: the moving average is back.
        self.calibration_examples.assign(tf.zeros([], tf.int64))

    def _inverse_gamma(self):
        floor = self._bounded_scale(self.variance) ** 2 - self.variance
        mean = self.variance + floor
        moments = _inverse_gamma.from_moments(
            mean, self.variance_square + 2.0 * floor * self.variance + floor**2
        )
        calibrated = tf.convert_to_tensor(self.calibration_examples) > 0
        fitted = (self.concentration, self.inverse_gamma_scale)
        return tuple(tf.where(calibrated, f, m) for f, m in zip(fitted, moments, strict=True))

    def _require_scale_in_graph(self) -> None:
        """`require_scale` when the distribution is used; XLA drops the check."""
        if tf.executing_eagerly():
            self.require_scale()
            return
        known = tf.maximum(
            tf.convert_to_tensor(self.num_updates), tf.convert_to_tensor(self.calibration_examples)
        )
        message = f"{type(self).__name__} holds no scale yet: train it, or call model.calibrate"
        tf.debugging.assert_positive(known, message)

    def require_scale(self):
        """See `Likelihood.require_scale`."""
        self.ensure_built(())  # Of scalars alone: any shape will do.
        if host_value(self.num_updates) == 0 and host_value(self.calibration_examples) == 0:
            raise NotCalibratedError(
                f"{type(self).__name__} holds no scale yet: it is a statistic of the training "
                "data. Train the model, or call model.calibrate(training_data) first."
            )

    def calibration_statistic(self, params, x):
        """Squared error of each example, float32 `[B]`."""
        return _gaussian.squared_error(self.loc(params), x)

    def calibrate(self, statistics, num_dims, step):
        """See `Likelihood.calibrate`. Averages in float64.

        Raises:
          ValueError: If there is no example, or an error is not finite.
        """
        errors = np.asarray(statistics, np.float64)
        if errors.size == 0 or not np.all(np.isfinite(errors)):
            raise ValueError("calibration needs at least one example, and finite squared errors")
        self.ensure_built(())
        per_image = errors / num_dims
        self.variance.assign(np.float32(per_image.mean()))
        if self.average_over == "image":
            floor = float(self._bounded_scale(self.variance)) ** 2 - host_value(self.variance)
            concentration, scale = _inverse_gamma.fit(errors + num_dims * floor, num_dims)
            self.variance_square.assign(np.float32((per_image**2).mean()))
            self.concentration.assign(concentration)
            self.inverse_gamma_scale.assign(scale)
        self.calibration_examples.assign(errors.size)
        self.calibration_step.assign(step)

    def provenance(self):
        """Source of the stored variance, and its number of examples and step if calibrated."""
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

    def get_config(self):
        """Constructor arguments, for `from_config`."""
        names = ("average_over", "bound", "floor", "momentum")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
