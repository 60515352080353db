"""Frames that follow a context, true ones and those of rollouts, and whole clips of either."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tf_sigma_vae import data, image_grid
from tf_sigma_vae.evaluation import clips
from tf_sigma_vae.evaluation.fid.images import Images
from tf_sigma_vae.evaluation.fid.protocol import OF_CLIPS, OF_FRAMES, Source
from tf_sigma_vae.models import LatentVariableModel


def future_frames(
    model: LatentVariableModel,
    source: data.VideoSource,
    clip_length: int,
    num_clips: int,
    dataset: str | None = None,
    split: str | None = None,
    whole: bool = False,
) -> Images:
    """The true frames after the context of the first clips.

    Args:
      model: A `SequenceVAE`, which says what the context is.
      source: Videos.
      clip_length: Frames of a clip, the context included.
      num_clips: How many clips; there must be as many.
      dataset: Its name, for the record.
      split: Which part of it, for the record.
      whole: Whether each clip is one example, `[T, H, W, C]` with its context; else each frame
        after the context is one, `[H, W, C]`, in the order of clips and time.
    """

    def batches() -> Iterator[np.ndarray]:
        for x in _clips(model, source, clip_length, num_clips):
            yield _examples(image_grid.to_uint8(x.numpy()), model, whole)

    return Images(_source("data", model, clip_length, num_clips, whole, dataset, split), batches)


def rollout_frames(
    model: LatentVariableModel,
    source: data.VideoSource,
    clip_length: int,
    num_clips: int,
    draw: str = "mean",
    seed: int = 0,
    whole: bool = False,
) -> Images:
    """Frames of one rollout of each clip, at the steps of `future_frames`.

    Args:
      model: A `SequenceVAE` that holds a scale.
      source: Videos, of which the contexts are.
      clip_length: Frames of a clip, the context included.
      num_clips: How many clips.
      draw: "mean" for the means of p(x|z), "noisy" for draws from p(x|z) around these; what is fed
        back is the mean.
      seed: Same seed, same rollouts: the first of `rollouts.model_rollouts`.
      whole: As of `future_frames`; the context is the true one.

    Raises:
      ValueError: On an unknown draw.
      NotCalibratedError: If an analytic likelihood holds no scale.
    """
    if draw not in ("mean", "noisy"):
        raise ValueError(f"draw must be 'mean' or 'noisy', got {draw!r}")
    model.likelihood.require_scale()
    horizon = clip_length - model.context_frames

    def batches() -> Iterator[np.ndarray]:
        for number, x in enumerate(_clips(model, source, clip_length, num_clips)):
            context = x[:, : model.context_frames]
            ids = model.rollout_noise_ids(context, 1, seed)
            params = model.rollout(context, horizon, ids)[:, 0]
            if draw == "mean":
                frames = model.mean_frames(params)
            else:
                rows = tf.reshape(params, [-1, *params.shape[2:]])
                drawn = model.frame_distribution(rows).sample(seed=[seed, 1 + number])
                frames = tf.reshape(drawn, [-1, horizon, *model.image_shape])
            made = tf.concat([context, tf.cast(frames, tf.float32)], axis=1)
            yield _examples(image_grid.to_uint8(made.numpy()), model, whole)

    return Images(_source(draw, model, clip_length, num_clips, whole, seed=seed), batches)


def _clips(
    model: LatentVariableModel, source: data.VideoSource, clip_length: int, num_clips: int
) -> Iterator[tf.Tensor]:
    """The first clips in batches, whose size is a function of the model and the length alone."""
    return clips.first(source, clip_length, num_clips, clips.batch_size_of(model, clip_length))


def _examples(levels: np.ndarray, model: LatentVariableModel, whole: bool) -> np.ndarray:
    if whole:
        return levels
    return levels[:, model.context_frames :].reshape(-1, *levels.shape[2:])


def _source(
    draw: str,
    model: LatentVariableModel,
    clip_length: int,
    num_clips: int,
    whole: bool,
    dataset: str | None = None,
    split: str | None = None,
    seed: int | None = None,
) -> Source:
    shape, number, what = (clip_length, *model.image_shape), num_clips, OF_CLIPS
    if not whole:
        shape, what = model.image_shape, OF_FRAMES
        number *= clip_length - model.context_frames
    return Source(draw, number, shape, True, dataset, split, seed, what=what)
