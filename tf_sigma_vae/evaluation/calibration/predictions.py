"""The calibration of a model, and of distributions that come from anywhere."""

import functools
import math
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import data, distributions, rows
from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS, LEVEL_TOLERANCE
from tf_sigma_vae.evaluation.calibration import elements
from tf_sigma_vae.evaluation.calibration.record import Calibration, summarize
from tf_sigma_vae.evaluation.calibration.tally import Tally
from tf_sigma_vae.models import LatentVariableModel

MEASURES = ("density", "mass", None)
MAX_CDFS = 10**8
"""Values of the CDFs of densities that CRPS and sharpness_90 may take: some 500 images of 28x28."""
_MAX_NUMBERS = 2**22
"""Decoder outputs worked on at once: what the CDFs hold in float64 is of their size."""
_NUMBERS_PER_ELEMENT = 32
"""Least that an element counts for among them."""


def model_calibration(
    model: LatentVariableModel,
    images: np.ndarray,
    global_batch_size: int = 128,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Calibration:
    """Measures the calibration of a model's decoder, with its stored scale.

    Two thousand images of 28x28 take some 10 s on a core; a Student-t, whose CDF is slow, minutes.

    Args:
      model: A trained `LatentVariableModel`; one that was made or loaded in the scope of a
        `tf.distribute` strategy is evaluated on all its replicas.
      images: uint8 `[N, H, W, C]`, N at least 2, that the model was not trained on.
      global_batch_size: Images a batch at most; large heads take fewer. The figures depend on it by
        rounding only.
      seed: Of the randomization of the PIT.
      progress: Called after each batch with the number of images in it.

    Raises:
      ValueError: On images of a wrong type or shape, too few of them, or an impossible number.
      NotCalibratedError: If an analytic likelihood holds no scale.
      FloatingPointError: If a figure is not finite; the message names it and the image.
    """
    _check(model, images, global_batch_size, seed)
    is_density = model.likelihood.measure == "density"
    num_over_levels = int(min(len(images), _most_over_levels(model.image_shape, is_density)))
    figures = [
        rows.over_replicas(
            model.distribute_strategy,
            functools.partial(_model_figures, model, over_levels),
            signature=[
                tf.TensorSpec([None, *model.image_shape], dtype)
                for dtype in (tf.float32, tf.float64)
            ],
        )
        for over_levels in (False, True)
    ]
    found = Tally()
    batch_size = rows_at_once(model, global_batch_size)
    for x in data.evaluation_batches(images, global_batch_size=batch_size):
        over_levels = found.num_images < num_over_levels
        values = figures[over_levels](x, elements.draws(x, seed))
        found.add({name: value.numpy() for name, value in values.items()})
        if progress is not None:
            progress(len(x))
    protocol = {
        "global_batch_size": global_batch_size,
        "seed": seed,
        "posterior_seed": model.seed,
        "measure": model.likelihood.measure,
        "scale": model.likelihood.provenance(),
    }
    return summarize(found, num_over_levels, protocol)


def from_predictions(
    batches: Iterable[tuple[tfd.Distribution, object]],
    measure: str | None = "density",
    cdf: Callable = distributions.grey_level_cdf,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Calibration:
    """Measures the calibration of distributions, given what was then seen.

    Args:
      batches: Pairs of a distribution, batch shape `[B]` and event shape `[H, W, C]`, and of images
        `[B, H, W, C]`, the values `k / 255`; at least 2 images in all.
      measure: What the distributions are, as `Likelihood.measure`: of a `"density"` the mean and
        variance are its own, else those of the grey level by `cdf`.
      cdf: Maps a distribution and its images to the CDF of grey levels; `grey_level_cdf` of a
        likelihood, or that of the library for what needs none. Of a density it takes
        `open_tails=False`, as the library's does: coverage and PIT are of the density itself.
      seed: Of the randomization of the PIT.
      progress: Called after each batch with the number of images in it.

    Raises:
      ValueError: On values that are no grey levels, shapes that do not fit, or too few images.
      TypeError: If a distribution has no CDF.
      FloatingPointError: If a figure is not finite; the message names it and the image.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {MEASURES}, got {measure!r}")
    _check_seed(seed)
    is_density = measure == "density"
    found, image_shape, most_over_levels = Tally(), None, math.inf
    for distribution, x in batches:
        x = np.asarray(x)
        image_shape = image_shape or x.shape[1:]
        _check_pair(distribution, x, image_shape)
        most_over_levels = _most_over_levels(image_shape, is_density)
        over_levels = found.num_images < most_over_levels
        # As a graph the levels are gone through several times as fast.
        figures = tf.function(
            functools.partial(_figures, cdf, distribution, is_density, over_levels),
            autograph=False,
        )
        x = tf.constant(x, tf.float32)
        found.add(
            {name: value.numpy() for name, value in figures(x, elements.draws(x, seed)).items()}
        )
        if progress is not None:
            progress(len(x))
    if found.num_images < 2:
        raise ValueError(f"a standard error needs at least 2 images, got {found.num_images}")
    num_over_levels = int(min(found.num_images, most_over_levels))
    return summarize(found, num_over_levels, {"seed": seed, "measure": measure})


def _model_figures(
    model: LatentVariableModel, over_levels: bool, x: tf.Tensor, v: tf.Tensor
) -> dict[str, tf.Tensor]:
    distribution = model(x, training=False).likelihood
    is_density = model.likelihood.measure == "density"
    cdf = model.likelihood.grey_level_cdf
    return _figures(cdf, distribution, is_density, over_levels, x, v)


def _figures(
    cdf: Callable[..., Callable[..., tf.Tensor]],
    distribution: tfd.Distribution,
    is_density: bool,
    over_levels: bool,
    x: TensorLike,
    v: TensorLike,
) -> dict[str, tf.Tensor]:
    return elements.figures(cdf(distribution, x), distribution, x, v, is_density, over_levels)


def _most_over_levels(image_shape: tuple[int, ...], is_density: bool) -> float:
    """Images whose CDFs may be taken at all levels."""
    if not is_density:
        return math.inf
    return max(2, MAX_CDFS // (GREY_LEVELS * math.prod(image_shape)))


def rows_at_once(model: LatentVariableModel, most: int) -> int:
    """Images (or frames) whose figures are made at once, at most `most`, at least 1."""
    height, width, channels = model.image_shape
    emitted = model.likelihood.params_channels(channels)
    numbers = height * width * max(emitted, _NUMBERS_PER_ELEMENT * channels)
    return max(1, min(most, _MAX_NUMBERS // numbers))


def _check(model: LatentVariableModel, images: object, global_batch_size: int, seed: int) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise ValueError(f"images must be uint8, got {getattr(images, 'dtype', type(images))}")
    if images.shape[1:] != tuple(model.image_shape):
        raise ValueError(
            f"the model takes images of shape {tuple(model.image_shape)}, got {images.shape[1:]}"
        )
    if len(images) < 2:
        raise ValueError(f"a standard error needs at least 2 images, got {len(images)}")
    if global_batch_size < 1:
        raise ValueError(f"global_batch_size must be at least 1, got {global_batch_size}")
    _check_seed(seed)
    model.likelihood.require_scale()


def _check_seed(seed: object) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be an integer from 0, got {seed!r}")


def _check_pair(
    distribution: tfd.Distribution, x: np.ndarray, image_shape: tuple[int, ...]
) -> None:
    if x.ndim != 4 or x.shape[1:] != image_shape or 0 in x.shape:
        raise ValueError(f"images must be [B, H, W, C] of one shape, got {x.shape}")
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"images must be float values k / 255, got {x.dtype}")
    levels = x.astype(np.float64) * (GREY_LEVELS - 1)
    off = np.abs(levels - np.clip(np.round(levels), 0, GREY_LEVELS - 1))
    if not np.all(off <= LEVEL_TOLERANCE):
        value = x.ravel()[np.argmin(off.ravel() <= LEVEL_TOLERANCE)]
        raise ValueError(f"images must hold the values k / 255, got {value}")
    found = tuple(distribution.batch_shape) + tuple(distribution.event_shape)
    if found != x.shape or distribution.batch_shape.rank != 1:
        raise ValueError(
            f"the distribution must have batch shape [B] and event shape [H, W, C] of the images "
            f"{x.shape}, got {distribution.batch_shape} and {distribution.event_shape}"
        )
