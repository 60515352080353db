"""`student_t`: location, scale and degrees of freedom of every element are outputs of the decoder.

    -log p(x|z) = sum log B(1/2, df/2) + log(df)/2 + log s + (df + 1)/2 log(1 + t^2 / df),
    t = (x - loc) / s.

The decoder emits `3C` channels: locations, then `log s`, then the degrees of freedom. An outlier
costs the logarithm of its error, not its square: where the error is large, so is the scale. The
standard deviation is `s sqrt(df / (df - 2))`.

Source: Takahashi et al. 2018 (Student-t VAE); Rybkin et al. 2021, Table 2.
"""

import math
from typing import Any

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import distributions
from tf_sigma_vae.likelihoods import _gaussian

LARGEST_DF = 1000.0
"""Up to here the masses of bins are accurate however far out; see `distributions.StudentT`."""


@keras.saving.register_keras_serializable("tf_sigma_vae")
class StudentT(_gaussian.GaussianLikelihood):
    """Student-t whose scale and degrees of freedom `[B, H, W, C]` are emitted by the decoder.

    `df = 2 + exp(l)` with `l` soft-clipped, so that the variance exists: with the default bounds
    the standard deviation is 1.01 to 4.6 times the scale. At 100 degrees of freedom the divergence
    to the Gaussian of the same variance is 8e-5 nats, so that the upper bound costs nothing. In
    float64 it loses no tail either: for images in [0, 1] and the smallest scale, the farthest bin
    lies 402 scales out, where the tail is 1e-162 at 100 degrees of freedom. At 1000 it is 1e-1107,
    below the smallest float64 of 2e-308, and still scored right, for tails are kept as logarithms.
    """

    def __init__(
        self,
        log_scale_min: float = -6.0,
        log_scale_max: float = 0.0,
        df_min: float = 2.1,
        df_max: float = 100.0,
        loc_activation: str = "sigmoid",
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          log_scale_min: Lower bound of the soft clip of `log s`. -6 is about half a grey level for
            data in [0, 1]; it follows the unit of the data.
          log_scale_max: Upper bound of the soft clip. 0 is the whole range of data in [0, 1].
          df_min: Lower bound of the degrees of freedom, above 2, where the variance is infinite.
          df_max: Upper bound, at most 1000. As in every soft clip, lifted a little (0.1 %).
          loc_activation: Of the location, `"sigmoid"` or `"linear"`.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If bounds are not in order, or not in their range.
        """
        scales = {"log_scale_min": log_scale_min, "log_scale_max": log_scale_max}
        _gaussian.require_ordered(scales)
        _gaussian.require_ordered({"df_min": df_min, "df_max": df_max})
        if df_min <= 2.0:
            raise ValueError(f"df_min must be above 2, so that there is a variance, got {df_min!r}")
        if df_max > LARGEST_DF:
            raise ValueError(f"df_max must be at most {LARGEST_DF:g}, got {df_max!r}")
        super().__init__(loc_activation=loc_activation, **kwargs)
        self.log_scale_min, self.log_scale_max = float(log_scale_min), float(log_scale_max)
        self.df_min, self.df_max = float(df_min), float(df_max)

    def params_channels(self, channels: int) -> int:
        """Location, log-scale and degrees of freedom for each channel."""
        return 3 * channels

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        self.ensure_built(params.shape)
        if params.shape[-1] % 3:
            raise ValueError(f"params must have 3 channels for each channel, got {params.shape}")
        loc, log_scale, log_excess = tf.split(tf.cast(params, tf.float32), 3, axis=-1)
        log_scale = _gaussian.soft_clip(log_scale, self.log_scale_min, self.log_scale_max)
        low, high = math.log(self.df_min - 2.0), math.log(self.df_max - 2.0)
        df = 2.0 + tf.exp(_gaussian.soft_clip(log_excess, low, high))
        elements = distributions.StudentT(df, self.loc(loc), tf.exp(log_scale))
        return tfd.Independent(elements, reinterpreted_batch_ndims=loc.shape.rank - 1)

    def provenance(self) -> dict[str, object]:
        """The scale is an output of the network."""
        return {"source": "network"}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("log_scale_min", "log_scale_max", "df_min", "df_max")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
