"""`gaussian_fixed`: a Gaussian whose scale is a constant, 1 by default.

At scale 1 it is the "Gaussian VAE", whose distortion can never fall below `(D/2) log(2 pi)`. With a
`beta` on the rate it is the beta-VAE, the same optimum as scale `sqrt(beta)` (paper's Eq. 4).

Source: Rybkin et al. 2021, Sec. 3.1, Table 1 and Table 2.
"""

from typing import Any

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.likelihoods import _gaussian


@keras.saving.register_keras_serializable("tf_sigma_vae")
class GaussianFixed(_gaussian.GaussianLikelihood):
    """Gaussian with a constant scale, in the unit of the data."""

    scale_per = "image"

    def __init__(self, scale: float = 1.0, loc_activation: str = "sigmoid", **kwargs: Any) -> None:
        """Builds the layer.

        Args:
          scale: Standard deviation of every element.
          loc_activation: Of the mean, `"sigmoid"` or `"linear"`.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If the scale is not positive.
        """
        super().__init__(loc_activation=loc_activation, **kwargs)
        self.scale = _gaussian.require_positive("scale", scale)

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        self.ensure_built(params.shape)
        return _gaussian.independent_normal(self.loc(params), self.scale)

    def provenance(self) -> dict[str, object]:
        """The scale is a constant of the configuration."""
        return {"source": "constant", "scale": self.scale}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        return {**super().get_config(), "scale": self.scale}
