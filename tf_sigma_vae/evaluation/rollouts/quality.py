"""PSNR and SSIM of predicted frames, by clip, rollout and step, in bounded memory."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_sigma_vae.evaluation import frame_quality
from tf_sigma_vae.evaluation.clips import frame_psnr
from tf_sigma_vae.models import LatentVariableModel

METRICS = ("psnr", "ssim")
MAX_NUMBERS = 2**25
"""Decoder outputs of rollouts at once: 130 MB, some 2,000 frames of 64x64x3."""
_LEAST_CHANNELS = 4


def measured(image_shape: Sequence[int]) -> tuple[str, ...]:
    """Those of `METRICS` that frames of a shape `(H, W, C)` have."""
    return METRICS if min(image_shape[:2]) >= frame_quality.SSIM_WINDOW else METRICS[:1]


def reason_without_ssim(image_shape: Sequence[int]) -> str | None:
    """Why frames have no SSIM; None if they have."""
    if "ssim" in measured(image_shape):
        return None
    window = frame_quality.SSIM_WINDOW
    height, width = image_shape[:2]
    return f"SSIM has windows of {window}x{window}, the frames have {height}x{width}"


def of_frames(targets: tf.Tensor, predicted: tf.Tensor) -> dict[str, tf.Tensor]:
    """The figures of frames `[B, n, H, W, C]` against true ones: `[B, n]` each."""
    shape = tf.shape(predicted)[:2]
    rows = [tf.reshape(each, [-1, *predicted.shape[2:]]) for each in (targets, predicted)]
    found = {"psnr": frame_psnr(*rows)}
    if "ssim" in measured(predicted.shape[2:]):
        found["ssim"] = frame_quality.ssim(*rows)
    return {name: tf.reshape(values, shape) for name, values in found.items()}


class Rollouts:
    """The figures of rollouts, compiled once for one number of frames."""

    def __init__(
        self, model: LatentVariableModel, horizon: int, max_numbers: int = MAX_NUMBERS
    ) -> None:
        """Prepares them.

        Args:
          model: A `SequenceVAE`.
          horizon: Frames to predict.
          max_numbers: Decoder outputs that are held at once.
        """
        self._model, self._horizon = model, horizon
        height, width, channels = model.image_shape
        emitted = max(model.likelihood.params_channels(channels), _LEAST_CHANNELS)
        self._rows = max(1, max_numbers // (horizon * height * width * emitted))
        clip = [None, horizon, *model.image_shape]
        context = [None, model.context_frames, *model.image_shape]
        signature = [
            tf.TensorSpec(context, tf.float32),
            tf.TensorSpec(clip, tf.float32),
            tf.TensorSpec([None, None, 2], tf.uint32),
            tf.TensorSpec([], tf.float32),
        ]
        self._of_chunk = tf.function(self._figures, input_signature=signature)

    def __call__(
        self,
        context: tf.Tensor,
        targets: tf.Tensor,
        noise_ids: tf.Tensor,
        temperature: float = 1.0,
        progress: Callable[[int], object] | None = None,
    ) -> dict[str, np.ndarray]:
        """The figures of S rollouts of each clip.

        Args:
          context: `[B, c, H, W, C]`.
          targets: True frames `[B, n, H, W, C]`.
          noise_ids: uint32 `[B, S, 2]`.
          temperature: Factor on the scales of the prior.
          progress: Called with the number of clips whenever so many are done, or None.

        Returns:
          Dictionary of float32 `[B, S, n]`.
        """
        num_clips, num_rollouts = noise_ids.shape[:2]
        num_parts = math.ceil(num_rollouts / self._rows)
        part = math.ceil(num_rollouts / num_parts)
        several = max(1, self._rows // part)
        temperature = tf.constant(temperature, tf.float32)
        of_clips = []
        for first in range(0, num_clips, several):
            clips = slice(first, first + several)
            parts = [
                self._of_chunk(
                    context[clips],
                    targets[clips],
                    noise_ids[clips, start : start + part],
                    temperature,
                )
                for start in range(0, num_rollouts, part)
            ]
            of_clips.append(
                {name: np.concatenate([p[name] for p in parts], axis=1) for name in parts[0]}
            )
            if progress is not None:
                progress(len(context[clips]))
        return {name: np.concatenate([c[name] for c in of_clips]) for name in of_clips[0]}

    def _figures(
        self, context: tf.Tensor, targets: tf.Tensor, noise_ids: tf.Tensor, temperature: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        model, horizon = self._model, self._horizon
        params = model.rollout(context, horizon, noise_ids, temperature)
        means = tf.reshape(model.mean_frames(params), [-1, horizon, *model.image_shape])
        copies = tf.shape(noise_ids)[1]
        found = of_frames(tf.repeat(targets, copies, axis=0), means)
        return {name: tf.reshape(each, [-1, copies, horizon]) for name, each in found.items()}


def best(values: np.ndarray) -> np.ndarray:
    """Of each clip the rollout with the highest mean over steps: `[N, S, n]` to `[N, n]`.

    Source: Denton & Fergus 2018, Sec. 5.1.
    """
    places = values.mean(axis=2, dtype=np.float64).argmax(axis=1)
    return values[np.arange(len(values)), places]
