"""`gaussian_per_pixel`: mean and scale of every element are outputs of the decoder.

The decoder emits `2C` channels: means, then `log_scale`, soft-clipped on both sides, without which
the likelihood is unbounded where a region is reconstructed exactly.

Source: Rybkin et al. 2021, Eq. 1; bounds after Chua et al. 2018.
"""

from typing import Any

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.likelihoods import _gaussian


@keras.saving.register_keras_serializable("tf_sigma_vae")
class GaussianPerPixel(_gaussian.GaussianLikelihood):
    """Gaussian whose scale `[B, H, W, C]` is emitted by the decoder."""

    def __init__(
        self,
        log_scale_min: float = -6.0,
        log_scale_max: float = 0.0,
        loc_activation: str = "sigmoid",
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          log_scale_min: Lower bound of the soft clip. -6 is about half a grey level for data in
            [0, 1]; it follows the unit of the data.
          log_scale_max: Upper bound of the soft clip. 0 is the whole range of data in [0, 1].
          loc_activation: Of the mean, `"sigmoid"` or `"linear"`.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If the bounds are not in order.
        """
        bounds = {"log_scale_min": log_scale_min, "log_scale_max": log_scale_max}
        _gaussian.require_ordered(bounds)
        super().__init__(loc_activation=loc_activation, **kwargs)
        self.log_scale_min, self.log_scale_max = float(log_scale_min), float(log_scale_max)

    def params_channels(self, channels: int) -> int:
        """A mean and a log-scale for each channel."""
        return 2 * channels

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        self.ensure_built(params.shape)
        loc, log_scale = tf.split(tf.cast(params, tf.float32), 2, axis=-1)
        log_scale = _gaussian.soft_clip(log_scale, self.log_scale_min, self.log_scale_max)
        return _gaussian.independent_normal(self.loc(loc), tf.exp(log_scale))

    def provenance(self) -> dict[str, object]:
        """The scale is an output of the network."""
        return {"source": "network"}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        return {
            **super().get_config(),
            "log_scale_min": self.log_scale_min,
            "log_scale_max": self.log_scale_max,
        }
