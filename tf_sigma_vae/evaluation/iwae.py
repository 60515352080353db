"""The importance-weighted bound on `log p(x)`, at any number of samples in bounded memory.

    iwae = log mean_k p(x|z_k) p(z_k) / q(z_k|x),    z_k ~ q(z|x), k = 1 ... K.

Source: Burda et al. 2016, Eq. 8.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from tf_sigma_vae import rows
from tf_sigma_vae.models import LatentVariableModel

MAX_DECODED_NUMBERS = 2**25
"""Numbers in the widest layer of what is decoded at once: 130 MB in float32."""

HIDDEN_CHANNELS = 32
"""What the layers below the decoder's output are taken to have at full resolution."""


def chunk_size(
    image_shape: tuple[int, ...], params_channels: int, global_batch_size: int, num_frames: int = 1
) -> int:
    """Samples of each example that are decoded at once, at least 1.

    Args:
      image_shape: `(H, W, C)`.
      params_channels: Channels that the decoder emits, 768 for a categorical of colour images.
      global_batch_size: Examples a batch.
      num_frames: Images that are decoded of an example: those predicted of a clip.
    """
    numbers = num_frames * math.prod(image_shape[:2]) * max(params_channels, HIDDEN_CHANNELS)
    return max(1, MAX_DECODED_NUMBERS // (global_batch_size * numbers))


class ImportanceWeightedBound:
    """The bound for batches of images or clips, compiled once.

    The weights of all samples are collected, one number each; only their images are decoded in
    chunks. Which draws a sample gets does not depend on the chunks.
    """

    def __init__(
        self,
        model: LatentVariableModel,
        num_samples: int,
        chunk: int,
        clip_length: int | None = None,
    ) -> None:
        """Prepares the bound.

        Args:
          model: A `LatentVariableModel`.
          num_samples: K.
          chunk: Samples decoded at once.
          clip_length: Frames of an example of a model of clips; None for one of images.

        Raises:
          ValueError: If a number is not positive.
        """
        if num_samples < 1 or chunk < 1:
            raise ValueError(
                f"num_samples and chunk must be at least 1, got {num_samples} and {chunk}"
            )
        self._starts = range(0, num_samples, chunk)
        self._num_samples = num_samples
        sizes = {min(chunk, num_samples - start) for start in self._starts}
        shape = model.image_shape if clip_length is None else (clip_length, *model.image_shape)
        self._log_weights = {size: _compiled(model, size, shape) for size in sizes}
        self._chunk = chunk

    def __call__(self, x: tf.Tensor) -> np.ndarray:
        """The bound of each example of a batch `x` `[B, ...]`: float64 `[B]`, nats."""
        chunks = []
        for start in self._starts:
            size = min(self._chunk, self._num_samples - start)
            log_weights = self._log_weights[size](x, first_sample=tf.constant(start))
            chunks.append(log_weights.numpy())
        log_weights = np.concatenate(chunks, axis=1).astype(np.float64)
        return logsumexp(log_weights, axis=1) - np.log(self._num_samples)


def _compiled(
    model: LatentVariableModel, size: int, shape: tuple[int, ...]
) -> Callable[..., tf.Tensor]:
    """Log weights `[B, size]`, a function of a batch and, by name, of `first_sample`."""
    batch = tf.TensorSpec([None, *shape], tf.float32)
    # A partial is a function of its own to TensorFlow, which warns where one is traced for many
    # models.
    log_weights = functools.partial(_log_weights, model, size)
    signature = [batch, tf.TensorSpec([], tf.int32)]
    return rows.over_replicas(model.distribute_strategy, log_weights, signature)


def _log_weights(
    model: LatentVariableModel, size: int, x: tf.Tensor, first_sample: tf.Tensor
) -> tf.Tensor:
    return tf.transpose(model.log_importance_weights(x, size, first_sample))
