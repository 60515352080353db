"""What the Gaussian likelihoods share: the mean, the fixed point of view, the soft clip.

    -log p(x|z) = e / (2 s^2) + D log s + (D/2) log(2 pi),    e = |x - loc(z)|^2 summed.

Source: Rybkin et al. 2021, Eq. 2.
"""

import math
from typing import Any

import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.likelihoods._base import Likelihood

HALF_GREY_LEVEL = 1.0 / 510.0
"""Half a grey level of 8-bit data scaled to [0, 1]."""

LOC_ACTIVATIONS = {"sigmoid": tf.sigmoid, "linear": tf.identity}


class GaussianLikelihood(Likelihood):
    """Base of the Gaussian family: `N(loc(z), diag(scale^2))`."""

    def __init__(self, loc_activation: str = "sigmoid", **kwargs: Any) -> None:
        """Builds the layer.

        Args:
          loc_activation: `"sigmoid"` keeps the mean in [0, 1], the unit of images; `"linear"`
            leaves it free, for data of any range.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If the activation is neither.
        """
        if loc_activation not in LOC_ACTIVATIONS:
            raise ValueError(
                f"loc_activation must be one of {sorted(LOC_ACTIVATIONS)}, got {loc_activation!r}"
            )
        super().__init__(**kwargs)
        self.loc_activation = loc_activation
        self.value_range = (0.0, 1.0) if loc_activation == "sigmoid" else None

    def params_channels(self, channels: int) -> int:
        """One mean for each channel."""
        return channels

    def loc(self, params: tf.Tensor) -> tf.Tensor:
        """The mean image, float32, of the shape of the part of `params` that encodes it."""
        return LOC_ACTIVATIONS[self.loc_activation](tf.cast(params, tf.float32))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        return {**super().get_config(), "loc_activation": self.loc_activation}


def independent_normal(loc: tf.Tensor, scale: TensorLike) -> tfd.Independent:
    """Gaussian with independent elements: batch shape `[B]`, the other axes the event."""
    scale = tf.broadcast_to(scale, tf.shape(loc))
    return tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=loc.shape.rank - 1)


def squared_error(loc: tf.Tensor, x: TensorLike) -> tf.Tensor:
    """`|x - loc|^2` summed over the event, float32 `[B]`."""
    error = tf.cast(x, tf.float32) - loc
    return tf.reduce_sum(error**2, axis=list(range(1, error.shape.rank)))


def soft_clip(log_scale: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Keeps `log_scale` inside (low, high) with a gradient everywhere.

    `l <- high - softplus(high - l)`, then `l <- low + softplus(l - low)`. Biased near the bounds.

    Source: Chua et al. 2018, App. A.1; Rybkin et al. 2021, App. (per-pixel decoders).
    """
    log_scale = high - tf.nn.softplus(high - log_scale)
    return low + tf.nn.softplus(log_scale - low)


def require_positive(name: str, value: object) -> float:
    """The value as a float.

    Raises:
      ValueError: If it is not a positive, finite number.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(value)


def require_ordered(bounds: dict[str, Any]) -> None:
    """Checks a lower and an upper bound, by the names of their options.

    Raises:
      ValueError: If they are not finite numbers, the first below the second.
    """
    (low_name, low), (high_name, high) = bounds.items()
    numbers = all(isinstance(v, (int, float)) and math.isfinite(v) for v in (low, high))
    if not numbers or not low < high:
        raise ValueError(f"{low_name} must be a number below {high_name}, got {low!r} and {high!r}")
