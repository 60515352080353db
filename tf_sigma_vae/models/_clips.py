"""Checks of the clips and options of a sequence model, and its noise frame by frame."""

import tensorflow as tf
from tensorflow.types.experimental import TensorLike

from tf_sigma_vae import noise

PRIORS = ("learned", "fixed")
SCALES_OVER = ("clip", "frame")

_FRAMES = 2
"""Stream of the noise of frames, beside those of `noise.fold`'s other callers."""


def check_options(
    context_frames: object,
    feature_size: object,
    lstm_units: object,
    prior: object,
    scale_over: object,
) -> None:
    """Checks the options of `SequenceVae`.

    Raises:
      ValueError: Naming the option, its value and what is allowed.
    """
    sizes = {"context_frames": context_frames, "feature_size": feature_size}
    for name, value in {**sizes, "lstm_units": lstm_units}.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
    for name, value, allowed in (("prior", prior, PRIORS), ("scale_over", scale_over, SCALES_OVER)):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")


def require_clips(x: TensorLike, image_shape: tuple[int, ...], context_frames: int) -> None:
    """Checks the shape of a batch of clips.

    Args:
      x: `[B, T, H, W, C]`.
      image_shape: `(H, W, C)`.
      context_frames: Frames that are given; T must be larger.

    Raises:
      ValueError: On a wrong rank or size, when the graph is traced.
      tf.errors.InvalidArgumentError: On too short clips of a length unknown then, when it runs.
    """
    shape = tf.convert_to_tensor(x).shape
    if shape.rank != 5 or not shape[2:].is_compatible_with(image_shape):
        height, width, channels = image_shape
        raise ValueError(
            f"clips must have shape [B, T, {height}, {width}, {channels}], got {tuple(shape)}"
        )
    message = f"clips must be longer than the {context_frames} context frames"
    if shape[1] is None:
        tf.debugging.assert_greater(tf.shape(x)[1], context_frames, message)
    elif shape[1] <= context_frames:
        raise ValueError(f"{message}, got {shape[1]} frames")


def frame_noise(ids: tf.Tensor, num_frames: int | tf.Tensor, size: int) -> tf.Tensor:
    """Standard normal noise of frames, float32 `[R, num_frames, size]`.

    Args:
      ids: uint32 `[R, 2]`.
      num_frames: Frames, an integer or a scalar tensor; the first do not depend on it.
      size: Numbers for each frame.
    """
    rows = tf.repeat(ids, num_frames, axis=0)
    numbers = tf.tile(tf.range(num_frames), [tf.shape(ids)[0]])
    draws = noise.normal(noise.fold(rows, _FRAMES, numbers), [size])
    return tf.reshape(draws, [-1, num_frames, size])
