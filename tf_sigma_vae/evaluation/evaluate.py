"""All figures of a model on a split, in one pass over its images or clips.

Every image counts once, whatever the batch it is in. Nothing is drawn from a global generator:
evaluating twice gives the same digits.
"""

import functools
import importlib.metadata
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_sigma_vae import data, objectives, rows
from tf_sigma_vae.evaluation import (
    activity,
    bits,
    clips,
    elbo,
    estimate,
    iwae,
    levels,
    reconstruction,
)
from tf_sigma_vae.models import LatentVariableModel
from tf_sigma_vae.replicas import host_value

DEQUANTIZATION_SEED = 0
NUM_SAMPLES = 64
"""K of the importance-weighted bound of images, unless another is asked for."""
GLOBAL_BATCH_SIZE = 128
"""Images a batch, unless another number is asked for."""
UNITS = {
    "elbo": elbo.UNIT,
    "rate": elbo.UNIT,
    "distortion": elbo.UNIT,
    **{f"{name}_per_frame": clips.UNIT_PER_FRAME for name in clips.PER_FRAME},
    "iwae": elbo.UNIT,
    "bits_per_dim_mass": bits.UNIT,
    "bits_per_dim_density": bits.UNIT,
    "mse": reconstruction.MSE_UNIT,
    "psnr": reconstruction.PSNR_UNIT,
    "active_units": activity.UNIT,
    "log_scale": "log data unit",
    "beta_equivalent": "data^2",
    "elbo_batch_scale": elbo.UNIT,
    "distortion_batch_scale": elbo.UNIT,
    "elbo_image_scale": elbo.UNIT,
    "distortion_image_scale": elbo.UNIT,
}
"""Metrics and their units, in the order of tables and files; see `ordered` for all of them."""

CONVENTIONS = {
    "data_unit": "[0, 1]",
    "images": "x = k / 255, k the 8-bit grey level; for bits_per_dim_density instead "
    "x = (k + u) / 256 with u uniform in [0, 1), drawn by dequantization_seed",
    "posterior_draws": "one z ~ q(z|x) for each image (num_samples for iwae), drawn by seed and "
    "the image",
    "log_scale": "log of the standard deviation, averaged over the image",
    "beta_equivalent": "2 exp(2 mean log_scale) beta",
    "active_units": f"variance over images of E[z|x] above {activity.THRESHOLD}",
    "standard_error": "over images; active_units by bootstrap, beta_equivalent by delta method",
}
_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")


class Evaluation(NamedTuple):
    """What an evaluation found, and how."""

    metrics: dict[str, estimate.Estimate]
    """By the names of `UNITS`, and the rates of the levels of a hierarchy (see `levels`); a metric
    that the likelihood or the latent does not have is absent."""
    protocol: dict[str, Any]
    """What the figures depend on; fit for JSON."""


def ordered(names: Iterable[str]) -> list[str]:
    """Those of the names that are metrics, in the order of tables: rates of levels after the rate.

    Args:
      names: Any names.
    """
    names = set(names)
    found = [name for name in UNITS if name in names]
    after = found.index("rate") + 1 if "rate" in found else 0
    return [*found[:after], *levels.names_among(names), *found[after:]]


def unit_of(name: str) -> str:
    """The unit of a metric.

    Raises:
      KeyError: If there is no such metric.
    """
    return levels.UNIT if name.startswith(levels.PREFIX) else UNITS[name]


def evaluate_model(
    model: LatentVariableModel,
    images: np.ndarray | data.VideoSource,
    num_samples: int | None = None,
    global_batch_size: int | None = None,
    progress: Callable[[int], object] | None = None,
    clip_length: int | None = None,
) -> Evaluation:
    """Evaluates a model with its stored scale.

    Args:
      model: A trained `LatentVariableModel`; one that was made or loaded in the scope of a
        `tf.distribute` strategy is evaluated on all its replicas, to the same figures.
      images: uint8 `[N, H, W, C]`, N at least 2; of a model of videos a source of as many.
      num_samples: K of the importance-weighted bound; 0 leaves it out. `NUM_SAMPLES` by default, of
        clips `clips.NUM_SAMPLES`.
      global_batch_size: Images a batch, `GLOBAL_BATCH_SIZE` by default, or clips, as
        `clips.batch_size` has it. It changes the `*_batch_scale` figures; the others depend on it
        by rounding only.
      progress: Called after each batch with the number of images, or clips, in it.
      clip_length: Of videos: frames of a clip, the context included; whole videos by default.

    Returns:
      An `Evaluation`.

    Raises:
      ValueError: On images of a wrong type or shape, too few of them, or an impossible number.
      NotCalibratedError: If an analytic likelihood holds no scale.
      FloatingPointError: If a figure is not finite; the message names it.
    """
    check_numbers(num_samples, global_batch_size)
    if model.of_videos:
        source = clips.require_videos(images)
        length = source.video_shape[0] if clip_length is None else clip_length
        return _of_videos(model, source, num_samples, global_batch_size, progress, length)
    num_samples = NUM_SAMPLES if num_samples is None else num_samples
    global_batch_size = global_batch_size or GLOBAL_BATCH_SIZE
    images = _checked(model, images)
    per_example = _measure(model, images, num_samples, global_batch_size, progress)
    protocol = _protocol(model, images, num_samples, global_batch_size) | _of_latent(model)
    return Evaluation(_estimates(per_example, model.beta), protocol | _versions())


def _of_videos(
    model: LatentVariableModel,
    source: data.VideoSource,
    num_samples: int | None,
    global_batch_size: int | None,
    progress: Callable[[int], object] | None,
    clip_length: int,
) -> Evaluation:
    """See `evaluate_model`."""
    clips.check(model, source, clip_length)
    num_samples = clips.NUM_SAMPLES if num_samples is None else num_samples
    global_batch_size = global_batch_size or clips.batch_size_of(model, clip_length)
    per_clip = clips.measure(
        model, source, num_samples, global_batch_size, clip_length, DEQUANTIZATION_SEED, progress
    )
    videos = clips.videos_of(source, clip_length)
    protocol = _protocol(model, source, num_samples, global_batch_size)
    protocol |= clips.protocol(model, source, clip_length)
    return Evaluation(_estimates(per_clip, model.beta, videos), protocol | _versions())


def _protocol(
    model: LatentVariableModel,
    examples: np.ndarray | data.VideoSource,
    num_samples: int,
    global_batch_size: int,
) -> dict[str, Any]:
    """What the figures depend on, of images and of videos."""
    return {
        "num_examples": len(examples),
        "num_samples": num_samples,
        "global_batch_size": global_batch_size,
        "seed": model.seed,
        "dequantization_seed": DEQUANTIZATION_SEED,
        "beta": model.beta,
        "measure": model.likelihood.measure,
        "scale": model.likelihood.provenance(),
        "step": None if model.optimizer is None else host_value(model.optimizer.iterations),
        "image_shape": list(model.image_shape),
    }


def _versions() -> dict[str, Any]:
    return {"versions": {name: importlib.metadata.version(name) for name in _PACKAGES}}


def _of_latent(model: LatentVariableModel) -> dict[str, Any]:
    """The conventions of the protocol; of a hierarchy also the shapes of its levels, top first."""
    if model.num_levels == 1:
        return {"conventions": CONVENTIONS}
    shapes = [list(shape) for shape in model.level_shapes]
    return {"level_shapes": shapes, "conventions": {**CONVENTIONS, **levels.CONVENTIONS}}


def _checked(model: LatentVariableModel, images: object) -> np.ndarray:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        found = getattr(images, "dtype", type(images).__name__)
        raise ValueError(f"images must be uint8, got {found}")
    if images.shape[1:] != tuple(model.image_shape):
        raise ValueError(
            f"the model takes images of shape {tuple(model.image_shape)}, got {images.shape[1:]}"
        )
    if len(images) < 2:
        raise ValueError(f"a standard error needs at least 2 images, got {len(images)}")
    model.likelihood.require_scale()
    return images


def check_numbers(num_samples: int | None, global_batch_size: int | None) -> None:
    """Checks the numbers that an evaluation is asked for, as far as they are given.

    Raises:
      ValueError: If one is impossible.
    """
    if num_samples is not None and num_samples < 0:
        raise ValueError(f"num_samples must not be negative (0 for no IWAE), got {num_samples}")
    if global_batch_size is not None and global_batch_size < 1:
        raise ValueError(f"global_batch_size must be at least 1, got {global_batch_size}")


def _measure(
    model: LatentVariableModel,
    images: np.ndarray,
    num_samples: int,
    global_batch_size: int,
    progress: Callable[[int], object] | None,
) -> dict[str, np.ndarray]:
    """The figures of every example, `[N]` (the posterior means `[N, latent_size]`, if flat)."""
    most_figures, density_bits = (_compiled(f, model) for f in (_most_figures, _density_bits))
    exact = data.evaluation_batches(images, global_batch_size=global_batch_size)
    dequantized = data.evaluation_batches(
        images, global_batch_size=global_batch_size, seed=DEQUANTIZATION_SEED, dequantize=True
    )
    bound = None
    if num_samples > 0:
        channels = model.likelihood.params_channels(model.image_shape[-1])
        chunk = iwae.chunk_size(model.image_shape, channels, global_batch_size)
        bound = iwae.ImportanceWeightedBound(model, num_samples, chunk)
    batches = []
    for x, x_dequantized in tf.data.Dataset.zip((exact, dequantized)):
        values = {name: value.numpy() for name, value in most_figures(x).items()}
        if model.likelihood.measure == "density":
            values["bits_per_dim_density"] = density_bits(x_dequantized).numpy()
        if bound is not None:
            values["iwae"] = bound(x)
        batches.append(values)
        if progress is not None:
            progress(len(x))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _most_figures(model: LatentVariableModel, x: tf.Tensor) -> dict[str, tf.Tensor]:
    """All figures of a batch `x` but the bits/dim by density and the iwae."""
    output = model(x, training=False)
    values = elbo.terms(output) | elbo.plug_in_terms(model.likelihood, output, x)
    values["mse"] = reconstruction.mean_squared_error(output, x)
    if model.num_levels > 1:
        values |= model.group_metrics(output)
    else:
        values["posterior_mean"] = output.posterior.mean()
    log_scale = model.likelihood.log_scale(output.likelihood)
    if log_scale is not None:
        values["log_scale"] = log_scale
    values["bits_per_dim_mass"] = bits.by_mass(model, output, x)
    return values


def _density_bits(model: LatentVariableModel, x_dequantized: tf.Tensor) -> tf.Tensor:
    return bits.by_density(model, model(x_dequantized, training=False), x_dequantized)


def _compiled(
    function: Callable[[LatentVariableModel, tf.Tensor], Any], model: LatentVariableModel
) -> Callable[[tf.Tensor], Any]:
    """The function of a batch of images, on all replicas of the model."""
    spec = tf.TensorSpec([None, *model.image_shape], tf.float32)
    # A partial is a function of its own to TensorFlow, which warns where one is traced for many
    # models.
    return rows.over_replicas(
        model.distribute_strategy, functools.partial(function, model), signature=[spec]
    )


def _estimates(
    per_example: dict[str, np.ndarray], beta: float, groups: np.ndarray | None = None
) -> dict[str, estimate.Estimate]:
    """The metrics in the order of tables; of examples in groups as `estimate.mean` has it."""
    means = dict(per_example)
    posterior_means = means.pop("posterior_mean", None)
    if "psnr" not in means:
        means["psnr"] = reconstruction.psnr(means["mse"])
    found = {name: estimate.mean(name, v, unit_of(name), groups) for name, v in means.items()}
    if posterior_means is not None:
        found["active_units"] = activity.active_units(posterior_means)
    if "log_scale" in found:
        log_scale = found["log_scale"]
        value = objectives.beta_equivalent(math.exp(log_scale.value), beta)
        # d/dl of 2 exp(2 l) beta is twice the value.
        error = 2.0 * value * log_scale.standard_error
        unit = UNITS["beta_equivalent"]
        found["beta_equivalent"] = estimate.Estimate(value, error, unit)
    return {name: found[name] for name in ordered(found)}
