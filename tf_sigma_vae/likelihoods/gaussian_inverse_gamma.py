"""`gaussian_inverse_gamma`: a Gaussian whose variance, one for each image, is integrated out.

The likelihood that `gaussian_optimal_per_image` is evaluated by (`distributions.MarginalGaussian`),
here trained too:

    p(x|z) = integral N(x; loc(z), v I) InverseGamma(v; a, b) dv.

Its gradient is that of a Gaussian with the variance `(b + e/2) / (a + D/2)`: the optimal variance
`e / D` of the image, with the weight `D/2`, and the common `b / a`, with the weight `a`. Unlike
that plug-in it is a density, so that the objective of the training is a bound on `log p(x)`.

`estimation="fitted"` computes `a` and `b` from the training residuals: in training the moments of
the global batch, held constant in the gradient; then, by `calibrate`, the maximum-likelihood fit to
the training set. `estimation="trained"` makes them weights. Their start needs no data: by the
weights above the variance adapts to each image, whatever `a` and `b` of its size.

Source: Rybkin et al. 2021, Sec. 4, last paragraph (the plug-in), with its variance integrated out
as in Takahashi et al. 2018.
"""

import math
from typing import Any

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions import MarginalGaussian
from tf_sigma_vae.likelihoods import _analytic_scale, _gaussian, _inverse_gamma

ESTIMATIONS = ("fitted", "trained")
LARGEST_CONCENTRATION = 1e4
"""Variances that differ by a hundredth look equal unless an image has some 20,000 dimensions."""


@keras.saving.register_keras_serializable("tf_sigma_vae")
class GaussianInverseGamma(_analytic_scale.AnalyticScaleLikelihood):
    """Gaussian marginalised over an inverse-gamma variance of each image."""

    def __init__(
        self,
        estimation: str = "fitted",
        initial_scale: float = 0.1,
        floor: float = _gaussian.HALF_GREY_LEVEL,
        momentum: float = 0.9,
        loc_activation: str = "sigmoid",
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          estimation: `"fitted"`: the inverse gamma is a statistic of the training residuals;
            `"trained"`: two weights, trained with the networks by the same objective.
          initial_scale: Start of the standard deviation, of `"trained"` only.
          floor: `floor^2` adds to the mean variance, in the unit of the data; half a grey level of
            images in [0, 1] by default.
          momentum: Of the moving averages, in [0, 1), of `"fitted"` only.
          loc_activation: Of the mean, `"sigmoid"` or `"linear"`.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If an argument is not one of the allowed values.
        """
        if estimation not in ESTIMATIONS:
            raise ValueError(f"estimation must be one of {ESTIMATIONS}, got {estimation!r}")
        super().__init__(True, floor, momentum, loc_activation, **kwargs)
        self.estimation = estimation
        self.needs_calibration = estimation == "fitted"
        self.initial_scale = _gaussian.require_positive("initial_scale", initial_scale)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the stored statistics, or the weights `log_scale` and `log_concentration`."""
        if self.needs_calibration:
            super().build(input_shape)
            return
        # The standard deviation and the concentration, not `b`: `b` alone would have to follow
        # every change of either.
        self.raw_log_scale = self._add_scalar("log_scale", math.log(self.initial_scale))
        self.raw_log_concentration = self._add_scalar("log_concentration", 0.0)
        self.built = True

    def _add_scalar(self, name: str, value: float) -> keras.Variable:
        return self.add_weight(
            name=name,
            shape=(),
            initializer=keras.initializers.Constant(value),
            dtype="float32",
            autocast=False,
            aggregation="only_first_replica",
        )

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """See `Likelihood.distribution`; `"fitted"` reads `x` in training."""
        self.ensure_built(params.shape)
        loc = self.loc(params)
        if not self.needs_calibration:
            return MarginalGaussian(loc, *self._trained_inverse_gamma(), loc.shape.rank - 1)
        if not training:
            self.require_scale_in_graph()
            return self.stored_marginal(loc)
        _, mean, mean_square = self.training_moments(loc, x)
        concentration, scale = self.inverse_gamma_of_moments(mean, mean_square)
        return MarginalGaussian(loc, concentration, scale, loc.shape.rank - 1)

    def _trained_inverse_gamma(self) -> tuple[tf.Tensor, tf.Tensor]:
        """`a`, kept above 1 so that the variance exists, and `b` by `variance = b / (a - 1)`."""
        low = math.log(_inverse_gamma.MIN_CONCENTRATION - 1.0)
        excess = tf.exp(
            _gaussian.soft_clip(
                tf.convert_to_tensor(self.raw_log_concentration),
                low,
                math.log(LARGEST_CONCENTRATION),
            )
        )
        scale = self.bounded_scale(tf.exp(2.0 * tf.convert_to_tensor(self.raw_log_scale)))
        return 1.0 + excess, excess * scale**2

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("estimation", "initial_scale")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
