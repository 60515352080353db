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

from typing import Any

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.likelihoods import _analytic_scale, _gaussian

AVERAGES = ("batch", "image")
BOUNDS = ("floor", "soft_clip", "none")
PAPER_LOG_SCALE_MIN = -6.0


@keras.saving.register_keras_serializable("tf_sigma_vae")
class GaussianOptimal(_analytic_scale.AnalyticScaleLikelihood):
    """Gaussian with the analytically optimal scale."""

    def __init__(
        self,
        average_over: str = "batch",
        bound: str = "floor",
        floor: float = _gaussian.HALF_GREY_LEVEL,
        momentum: float = 0.9,
        loc_activation: str = "sigmoid",
        **kwargs: Any,
    ) -> None:
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
        if average_over not in AVERAGES:
            raise ValueError(f"average_over must be one of {AVERAGES}, got {average_over!r}")
        if bound not in BOUNDS:
            raise ValueError(f"bound must be one of {BOUNDS}, got {bound!r}")
        super().__init__(average_over == "image", floor, momentum, loc_activation, **kwargs)
        self.average_over, self.bound = average_over, bound

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """See `Likelihood.distribution`. Training needs `x` and updates the moving average."""
        self.ensure_built(params.shape)
        loc = self.loc(params)
        if training:
            scale = self._optimal_scale(loc, *self.training_moments(loc, x))
            return _gaussian.independent_normal(loc, scale)
        self.require_scale_in_graph()
        if self.per_image:
            return self.stored_marginal(loc)
        return _gaussian.independent_normal(loc, self.bounded_scale(self.variance))

    def plug_in_distribution(self, params: tf.Tensor, x: TensorLike) -> tfd.Independent:
        """The paper's own evaluation: the scale computed from the evaluated data themselves.

        Not a likelihood, for it looks at what it scores; with `"batch"` the figure also depends on
        the batch size. Reported beside the likelihood, under its own name.
        """
        loc = self.loc(params)
        return _gaussian.independent_normal(
            loc, self._optimal_scale(loc, *self.batch_moments(loc, x))
        )

    def _optimal_scale(
        self, loc: tf.Tensor, variances: tf.Tensor, mean: tf.Tensor, mean_square: tf.Tensor
    ) -> tf.Tensor:
        """Scale of the batch or of each image, shaped to broadcast against the mean."""
        if not self.per_image:
            return self.bounded_scale(mean)
        return tf.reshape(self.bounded_scale(variances), [-1] + [1] * (loc.shape.rank - 1))

    def bounded_scale(self, variance: TensorLike) -> tf.Tensor:
        """The scale of a variance, kept off zero as `bound` says."""
        if self.bound == "floor":
            return super().bounded_scale(variance)
        scale = tf.sqrt(tf.convert_to_tensor(variance))
        if self.bound == "none":
            return scale
        low = PAPER_LOG_SCALE_MIN
        return tf.exp(low + tf.nn.softplus(tf.math.log(scale) - low))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        return {**super().get_config(), "average_over": self.average_over, "bound": self.bound}
