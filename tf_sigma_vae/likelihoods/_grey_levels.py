"""What the likelihoods of 8-bit values share: a probability mass on the 256 grey levels."""

import tensorflow as tf
from tensorflow.types.experimental import TensorLike

from tf_sigma_vae.likelihoods._base import Likelihood


class GreyLevelLikelihood(Likelihood):
    """Base of the discrete likelihoods: `x` holds the values `k / 255`, `k` in 0 ... 255."""

    measure = "mass"
    has_scale = False
    value_range = (0.0, 1.0)

    def provenance(self) -> dict[str, object]:
        """All parameters are outputs of the network."""
        return {"source": "network"}


def by_channel(params: TensorLike, size: int) -> tf.Tensor:
    """The numbers of each channel on an axis of their own.

    Args:
      params: `[B, ..., C * size]`, any float type; the numbers of one channel are neighbors.
      size: Numbers of each channel.

    Returns:
      float32 `[B, ..., C, size]`.

    Raises:
      ValueError: If the last axis is not a multiple of `size`.
    """
    params = tf.convert_to_tensor(params)
    channels, rest = divmod(params.shape[-1], size)
    if rest or not channels:
        raise ValueError(
            f"params must have {size} channels for each channel of the image, "
            f"got shape {params.shape}"
        )
    shape = tf.concat([tf.shape(params)[:-1], [channels, size]], axis=0)
    split = tf.reshape(tf.cast(params, tf.float32), shape)
    # Not tf.ensure_shape, an operation that TFLite does not have.
    split.set_shape([*params.shape[:-1], channels, size])
    return split
