"""Frames that a model of videos draws, 8-bit: for TensorBoard, and to be laid out in films.

Kinds of frames that follow the context:

    reconstructions   each frame from z ~ q(z|x) and the true frames before it (one step)
    posterior         z ~ q(z|x), and the model's own frames fed back: what q knows, if the
                      errors of one frame are carried into the next
    rollouts          z from the prior, own frames fed back: what the model predicts; with a
                      temperature of 0 the mean of the prior, the "mean rollout"

All are means of p(x|z) but where the decoder's noise is asked for. Frames of the context are never
drawn: they are given (Denton & Fergus 2018, Sec. 4).
"""

import keras
import numpy as np

from tf_sigma_vae import image_grid

_VALUES_AT_ONCE = 1 << 25
"""Of the decoder's raw output in a call of `model.rollout`: 128 MiB of float32."""


def unit_interval(clips: np.ndarray) -> np.ndarray:
    """8-bit frames as float32 in [0, 1]."""
    return np.asarray(clips, np.float32) / np.float32(255.0)


def reconstructions(model: keras.Model, clips: np.ndarray, seed: int = 0) -> np.ndarray:
    """True frames, their mean reconstructions, and those with the decoder's noise.

    Args:
      model: A model of videos.
      clips: uint8 `[B, T, H, W, C]`, T above the `c` frames of the context.
      seed: Of the decoder's noise.

    Returns:
      uint8 `[3, B, T - c, H, W, C]`.
    """
    output = model(unit_interval(clips), training=False)
    mean = image_grid.to_uint8(output.likelihood.mean())
    noisy = image_grid.to_uint8(output.likelihood.sample(seed=[seed, 1]))
    return np.stack([clips[:, model.context_frames :], mean, noisy])


def rollouts(
    model: keras.Model,
    context: np.ndarray,
    num_frames: int,
    noise_ids: np.ndarray,
    temperature: float = 1.0,
) -> np.ndarray:
    """Mean frames of rollouts of the prior.

    Args:
      model: A model of videos.
      context: uint8 `[B, c, H, W, C]`.
      num_frames: Frames `n` after the context.
      noise_ids: uint32 `[B, S, 2]` of `model.rollout_noise_ids`.
      temperature: Factor on the scales of the prior.

    Returns:
      uint8 `[B, S, n, H, W, C]`.
    """
    ids = np.asarray(noise_ids)
    num_clips, num_samples = ids.shape[:2]
    rows = np.repeat(np.arange(num_clips), num_samples)
    frames = _in_parts(
        model, context[rows], num_frames, ids.reshape(-1, 1, 2), {"temperature": temperature}
    )
    return frames.reshape(num_clips, num_samples, *frames.shape[1:])


def mean_rollouts(model: keras.Model, context: np.ndarray, num_frames: int) -> np.ndarray:
    """The rollout of the prior's means, uint8 `[B, n, H, W, C]`; see `rollouts`."""
    ids = model.rollout_noise_ids(unit_interval(context), 1)
    return rollouts(model, context, num_frames, ids, temperature=0.0)[:, 0]


def posterior_rollouts(model: keras.Model, clips: np.ndarray) -> np.ndarray:
    """Mean frames with z ~ q(z|x) and own frames fed back: uint8 `[B, T - c, H, W, C]`.

    Args:
      model: A model of videos.
      clips: uint8 `[B, T, H, W, C]`.
    """
    context = clips[:, : model.context_frames]
    x = unit_interval(clips)
    z = np.asarray(model(x, training=False).z)[:, np.newaxis]
    ids = np.asarray(model.rollout_noise_ids(unit_interval(context), 1))
    return _in_parts(model, context, z.shape[2], ids, {}, latents=z)


def strip(model: keras.Model, clips: np.ndarray) -> np.ndarray:
    """One picture of truth, one-step reconstruction and mean rollout of each clip, in rows.

    Args:
      model: A model of videos.
      clips: uint8 `[B, T, H, W, C]`.

    Returns:
      uint8 `[H', W', C]`: three rows a clip, a column for each predicted frame.
    """
    length = clips.shape[1] - model.context_frames
    truth, mean, _ = reconstructions(model, clips)
    rolled = mean_rollouts(model, clips[:, : model.context_frames], length)
    rows = np.stack([truth, mean, rolled], axis=1)
    return image_grid.tile(rows.reshape(-1, *rows.shape[2:]))


def _in_parts(
    model: keras.Model,
    context: np.ndarray,
    num_frames: int,
    ids: np.ndarray,
    options: dict,
    latents: np.ndarray | None = None,
) -> np.ndarray:
    """Mean frames of one rollout for each row, of as many rows at once as fit: `[R, n, H, W, C]`.

    Args:
      model: A model of videos.
      context: uint8 `[R, c, H, W, C]`.
      num_frames: Frames `n`.
      ids: uint32 `[R, 1, 2]`.
      options: Of `model.rollout`, the same for all rows.
      latents: `[R, 1, n, latent_size]`, or None.
    """
    height, width, channels = model.image_shape
    values = num_frames * height * width * model.likelihood.params_channels(channels)
    rows = max(1, _VALUES_AT_ONCE // values)
    frames = np.empty((len(context), num_frames, *model.image_shape), np.uint8)
    for first in range(0, len(context), rows):
        part = slice(first, first + rows)
        more = {} if latents is None else {"latents": latents[part]}
        x = unit_interval(context[part])
        params = model.rollout(x, num_frames, ids[part], **options, **more)
        frames[part] = image_grid.to_uint8(model.mean_frames(params))[:, 0]
    return frames
