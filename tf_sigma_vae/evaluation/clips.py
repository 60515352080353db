"""The figures of a model of videos, clip by clip, as `evaluate` has them of images.

A clip of T frames begins with `context_frames` c that are given and owe nothing; all figures are of
the T' = T - c predicted frames, each predicted from the true frames before it and a latent that has
seen it: `elbo` and its terms are sums over them, nats a clip, and `*_per_frame` those over T'.

Clips of one video look alike, so that the videos alone are taken for independent: standard errors
are of the means of the videos.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tf_sigma_vae import data, noise, rows
from tf_sigma_vae.evaluation import bits, elbo, frame_quality, iwae, reconstruction
from tf_sigma_vae.models import LatentVariableModel, Output

NUM_SAMPLES = 8
"""K of the importance-weighted bound, unless another is asked for: each takes all frames."""
PER_FRAME = ("elbo", "rate", "distortion")
UNIT_PER_FRAME = "nats/frame"
MAX_PSNR = 10.0 * math.log10(12.0 * 255.0**2)
"""dB, of an error as that of rounding to 8 bits: what a closer frame, or an exact copy, counts."""

CONVENTIONS = {
    "videos": "cut from the first frame on into clips of clip_length frames; of each the first "
    "context_frames are given, and neither they nor what the clips leave out count for anything",
    "clips": "x = k / 255, k the 8-bit grey level; for bits_per_dim_density instead "
    "x = (k + u) / 256 of all frames, u uniform in [0, 1), by dequantization_seed and the clip",
    "elbo, rate, distortion, iwae": "nats a clip, summed over its predicted frames; *_per_frame "
    "are over their number (horizon)",
    "posterior_draws": "one z ~ q(z|x) for each clip (num_samples for iwae), drawn by seed and the "
    "clip; every frame is predicted from the true frames before it",
    "log_scale": "log of the standard deviation, averaged over the clip",
    "mse, psnr": "of the mean of p(x|z); psnr is averaged over frames, each at most "
    f"{MAX_PSNR:.2f} dB, the error of rounding to 8 bits",
    "standard_error": "over videos, whose clips are not independent; videos that were cut from one "
    "recording count as independent",
}
"""What an evaluation says of clips in place of the conventions of images."""

MAX_FRAMES = 512
_MAX_NUMBERS = 2**26
"""Numbers in the widest layer of a batch: 270 MB in float32."""
_DEQUANTIZE = 2**30
"""Of the noise of a clip: far from the training steps and from the numbers of drawn samples."""


def batch_size(image_shape: tuple[int, ...], params_channels: int, clip_length: int) -> int:
    """Clips in a batch unless another number is asked for, at least 1.

    Args:
      image_shape: `(H, W, C)` of a frame.
      params_channels: Channels that the decoder emits.
      clip_length: Frames of a clip.
    """
    numbers = math.prod(image_shape[:2]) * max(params_channels, iwae.HIDDEN_CHANNELS)
    return max(1, min(MAX_FRAMES, _MAX_NUMBERS // numbers) // clip_length)


def batch_size_of(model: LatentVariableModel, clip_length: int) -> int:
    """`batch_size` of a model."""
    channels = model.likelihood.params_channels(model.image_shape[-1])
    return batch_size(model.image_shape, channels, clip_length)


def require_videos(source: object) -> data.VideoSource:
    """The source itself.

    Raises:
      ValueError: If these are no videos.
    """
    if not isinstance(source, data.VideoSource):
        raise ValueError(f"a model of videos needs a VideoSource, got {type(source).__name__}")
    return source


def check(model: LatentVariableModel, source: data.VideoSource, clip_length: int) -> None:
    """Checks that a model of videos can be evaluated on clips.

    Raises:
      ValueError: If the videos are of other frames, too short, or fewer than 2.
      NotCalibratedError: If an analytic likelihood holds no scale.
    """
    if tuple(source.video_shape[1:]) != tuple(model.image_shape):
        raise ValueError(
            f"the model takes frames of shape {tuple(model.image_shape)}, got "
            f"{tuple(source.video_shape[1:])}"
        )
    if clip_length <= model.context_frames:
        raise ValueError(
            f"clips of {clip_length} frames leave none to predict after the "
            f"{model.context_frames} context frames"
        )
    data.num_evaluation_clips(source, clip_length)
    if len(source) < 2:
        raise ValueError(f"a standard error needs at least 2 videos, got {len(source)}")
    model.likelihood.require_scale()


def protocol(
    model: LatentVariableModel, source: data.VideoSource, clip_length: int
) -> dict[str, object]:
    """What figures of clips depend on beside what those of images do; fit for JSON."""
    return {
        "context_frames": model.context_frames,
        "clip_length": clip_length,
        "horizon": clip_length - model.context_frames,
        "video_length": source.video_shape[0],
        "clips_per_video": source.video_shape[0] // clip_length,
        "num_clips": data.num_evaluation_clips(source, clip_length),
        "scale_over": model.scale_over,
        "conventions": CONVENTIONS,
    }


def videos_of(source: data.VideoSource, clip_length: int) -> np.ndarray:
    """The number of the video of each clip, int64 `[N]`."""
    clips_per_video = source.video_shape[0] // clip_length
    return np.repeat(np.arange(len(source)), clips_per_video)


def first(
    source: data.VideoSource, clip_length: int, num_clips: int, global_batch_size: int
) -> Iterator[tf.Tensor]:
    """Clips of as many videos as can be, in batches, float32 `[B, T, H, W, C]`.

    The first one of each video, then the second ones; all where there are fewer than `num_clips`.
    """
    left = num_clips
    batches = data.evaluation_clips(
        source, clip_length, global_batch_size=global_batch_size, first_of_each=True
    )
    for x in batches:
        yield x[:left]
        left -= len(x)
        if left <= 0:
            return


def measure(
    model: LatentVariableModel,
    source: data.VideoSource,
    num_samples: int,
    global_batch_size: int,
    clip_length: int,
    seed: int,
    progress: Callable[[int], object] | None,
) -> dict[str, np.ndarray]:
    """The figures of every clip, `[N]`.

    Args:
      model: A `SequenceVAE`; its replicas are all used.
      source: A `VideoSource`.
      num_samples: K of the importance-weighted bound, 0 for none.
      global_batch_size: Clips a batch.
      clip_length: Frames of a clip, the context included.
      seed: Of the dequantization.
      progress: Called after each batch with the number of clips in it, or None.
    """
    spec = [tf.TensorSpec([None, clip_length, *model.image_shape], tf.float32)]

    def compiled(function: Callable[..., Any], *first: object) -> Callable[[tf.Tensor], Any]:
        return rows.over_replicas(
            model.distribute_strategy, functools.partial(function, *first), signature=spec
        )

    most_figures = compiled(_most_figures, model)
    density_bits = compiled(_density_bits, model, seed)
    bound = None
    if num_samples > 0:
        channels = model.likelihood.params_channels(model.image_shape[-1])
        horizon = clip_length - model.context_frames
        chunk = iwae.chunk_size(model.image_shape, channels, global_batch_size, horizon)
        bound = iwae.ImportanceWeightedBound(model, num_samples, chunk, clip_length)
    batches = []
    for x in data.evaluation_clips(source, clip_length, global_batch_size=global_batch_size):
        values = {name: value.numpy() for name, value in most_figures(x).items()}
        if model.likelihood.measure == "density":
            values["bits_per_dim_density"] = density_bits(x).numpy()
        if bound is not None:
            values["iwae"] = bound(x)
        batches.append(values)
        if progress is not None:
            progress(len(x))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def frame_psnr(x: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """PSNR of each frame, dB, at most `MAX_PSNR`: of the shape of the frames' batch."""
    return tf.minimum(frame_quality.psnr(x, predicted), MAX_PSNR)


def _most_figures(model: LatentVariableModel, x: tf.Tensor) -> dict[str, tf.Tensor]:
    """All figures of a batch of clips but the bits/dim by density and the iwae, `[B]`."""
    output = model(x, training=False)
    targets = model.targets(x)
    values = elbo.terms(output)
    values |= {f"{name}_per_frame": values[name] / targets.shape[1] for name in PER_FRAME}
    values |= _plug_in_terms(model, output, targets)
    values["mse"] = reconstruction.mean_squared_error(output, targets)
    # Some distributions lose the size of the channels' axis.
    mean = tf.ensure_shape(output.likelihood.mean(), targets.shape)
    values["psnr"] = tf.reduce_mean(frame_psnr(targets, mean), axis=1)
    log_scale = model.target_likelihood.log_scale(output.likelihood)
    if log_scale is not None:
        values["log_scale"] = log_scale
    values["bits_per_dim_mass"] = bits.by_mass(model, output, x)
    return values


def _plug_in_terms(
    model: LatentVariableModel, output: Output, targets: tf.Tensor
) -> dict[str, tf.Tensor]:
    """See `elbo.plug_in_terms`; where the scale is that of each frame, frames are its examples."""
    if model.scale_over == "clip":
        return elbo.plug_in_terms(model.likelihood, output, targets)
    num_frames = targets.shape[1]
    as_rows = output._replace(
        params=tf.reshape(output.params, [-1, *output.params.shape[2:]]),
        rate=tf.reshape(output.rate_groups, [-1]),
    )
    x = tf.reshape(targets, [-1, *targets.shape[2:]])
    found = elbo.plug_in_terms(model.likelihood, as_rows, x)
    return {
        name: tf.reduce_sum(tf.reshape(values, [-1, num_frames]), axis=1)
        for name, values in found.items()
    }


def _density_bits(model: LatentVariableModel, seed: int, x: tf.Tensor) -> tf.Tensor:
    x = dequantized(x, seed)
    return bits.by_density(model, model(x, training=False), x)


def dequantized(x: tf.Tensor, seed: int) -> tf.Tensor:
    """Clips `(k + u) / 256` of clips `k / 255`, `u` uniform by the seed and the clip alone."""
    ids = noise.fold(noise.example_ids(x), seed, _DEQUANTIZE)
    return (tf.round(255.0 * x) + noise.uniform(ids, x.shape[1:])) / 256.0
