"""`logistic_mixture`: a mixture of discretized logistics for each pixel, after PixelCNN++.

The decoder emits `K (1 + 2C + C (C - 1) / 2) = K (C + 1) (C + 2) / 2` numbers a pixel (10 K for
colour), raw in the unit of the source, data in [-1, 1]. On the last axis of `params`, each block of
`K` in the order of the components:

    logits K | locations C x K | log-scales C x K | couplings C (C - 1) / 2 x K

    loc = (1 + raw) / 2,    log_scale = soft_clip(raw - log 2),    coefficient = tanh(raw).

Source: Salimans et al. 2017 (PixelCNN++), Sec. 2.1 and 2.2; Rybkin et al. 2021, Sec. 3.2, Table 2.
"""

import math
from typing import Any

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions import DiscretizedLogisticMixture
from tf_sigma_vae.likelihoods import _gaussian
from tf_sigma_vae.likelihoods._grey_levels import GreyLevelLikelihood


@keras.saving.register_keras_serializable("tf_sigma_vae")
class LogisticMixture(GreyLevelLikelihood):
    """Mixture over the 256 values of each pixel's channels, whose channels are coupled."""

    def __init__(
        self,
        num_components: int = 10,
        log_scale_min: float = -7.7,
        log_scale_max: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          num_components: `K`.
          log_scale_min: Lower bound of the soft clip of the logistics' log-scales, for data in
            [0, 1]. -7.7 is the source's -7 for data in [-1, 1]; there 97 % of the mass is in one
            grey level. The source clips hard, which stops the gradient.
          log_scale_max: Upper bound. 0 is the whole range of the data.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If there is no component, or the bounds are not in order.
        """
        is_count = not isinstance(num_components, bool) and isinstance(num_components, int)
        if not is_count or num_components < 1:
            raise ValueError(f"num_components must be a positive integer, got {num_components!r}")
        bounds = {"log_scale_min": log_scale_min, "log_scale_max": log_scale_max}
        _gaussian.require_ordered(bounds)
        super().__init__(**kwargs)
        self.num_components = num_components
        self.log_scale_min, self.log_scale_max = float(log_scale_min), float(log_scale_max)

    def params_channels(self, channels: int) -> int:
        """A logit, and a location, a scale and the couplings of each channel, a component."""
        return self.num_components * (channels + 1) * (channels + 2) // 2

    def _channels(self, size: int) -> int:
        """`C` of `params` with `size` channels: the inverse of `params_channels`."""
        # The root of (C + 1) (C + 2) = 2 size / K.
        channels = (math.isqrt(8 * size // self.num_components + 1) - 3) // 2
        if channels < 1 or self.params_channels(channels) != size:
            known = ", ".join(f"{self.params_channels(c)} (C = {c})" for c in (1, 2, 3))
            raise ValueError(
                f"params of {self.num_components} components must have "
                f"{self.num_components} (C + 1) (C + 2) / 2 channels: {known} ...; got {size}"
            )
        return channels

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """See `Likelihood.distribution`.

        Raises:
          ValueError: If the last axis of `params` does not fit any number of channels.
        """
        channels = self._channels(params.shape[-1])
        self.ensure_built(params.shape)
        blocks = [1, channels, channels, channels * (channels - 1) // 2]
        params = tf.cast(params, tf.float32)
        sizes = [self.num_components * block for block in blocks]
        logits, loc, log_scale, coefficients = tf.split(params, sizes, axis=-1)
        log_scale = _gaussian.soft_clip(
            log_scale - math.log(2.0), self.log_scale_min, self.log_scale_max
        )
        pixels = DiscretizedLogisticMixture(
            logits,
            self._by_component(0.5 + 0.5 * loc, channels),
            self._by_component(log_scale, channels),
            self._by_component(tf.tanh(coefficients), blocks[-1]) if channels > 1 else None,
        )
        return tfd.Independent(pixels, reinterpreted_batch_ndims=params.shape.rank - 2)

    def _by_component(self, parameter: tf.Tensor, size: int) -> tf.Tensor:
        """`[..., size * K]` as `[..., size, K]`."""
        shape = tf.concat([tf.shape(parameter)[:-1], [size, self.num_components]], axis=0)
        split = tf.reshape(parameter, shape)
        # Not tf.ensure_shape, an operation that TFLite does not have.
        split.set_shape([*parameter.shape[:-1], size, self.num_components])
        return split

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "log_scale_min": self.log_scale_min,
            "log_scale_max": self.log_scale_max,
        }
