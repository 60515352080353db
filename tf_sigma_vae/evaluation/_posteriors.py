"""Posteriors of a model as arrays, with the draws that its elbo is made of."""

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from scipy.stats import chi2
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import data, noise, rows
from tf_sigma_vae.evaluation.estimate import NotMeasurableError
from tf_sigma_vae.models import LatentVariableModel

MIN_EXAMPLES = 32
MIN_EXAMPLES_PER_DIMENSION = 8
"""Below it the correction of the moment bound leaves more than a tenth of its bias."""
# Probability that the noise of true draws is refused.
_FALSE_ALARM = 1e-9

LATENTS = ("whole", "top")
"""What of a model's latent the information can be asked of."""


def measurable_latent(model: LatentVariableModel) -> str:
    """What the information of a model can be asked of, of `LATENTS`: the top of a hierarchy."""
    return "top" if model.num_levels > 1 else "whole"


def require_measurable(model: LatentVariableModel) -> None:
    """Checks on an image of one gray that a model has the posteriors that the bounds are made of.

    Raises:
      NotMeasurableError: If not; the message says why.
    """
    _posterior(model, np.full([1, *model.image_shape], 0.5, np.float32))


class Draws(NamedTuple):
    """Diagonal Gaussian posteriors and one draw from each, `[S, L]` each."""

    loc: np.ndarray
    """Means."""
    scale: np.ndarray
    """Standard deviations."""
    z: np.ndarray
    """Row `i` is drawn from posterior `i`."""


def posterior_draws(
    model: LatentVariableModel,
    images: np.ndarray,
    global_batch_size: int = 128,
    latent: str = "whole",
) -> Draws:
    """Posteriors of images, and of each the draw that the elbo of an evaluation is made of.

    Args:
      model: A model with a diagonal Gaussian posterior and a standard normal prior.
      images: uint8 `[S, H, W, C]`.
      global_batch_size: Images encoded at once.
      latent: Of `LATENTS`: the whole of it, or of a hierarchy its top level, where the posterior of
        that depends on the image alone.

    Raises:
      NotMeasurableError: On another posterior or prior, or a latent that has none of each image.
      ValueError: On images of another type or shape.
    """
    _require_flat(model, latent)
    if images.shape[1:] != tuple(model.image_shape):
        raise ValueError(
            f"the model takes images of shape {tuple(model.image_shape)}, got {images.shape[1:]}"
        )
    batches = data.evaluation_batches(images, global_batch_size=global_batch_size)
    prior = _normal(model.prior, "prior")
    if np.any(prior.loc != 0.0) or np.any(prior.scale != 1.0):
        raise NotMeasurableError(f"the prior must be standard normal, got {model.prior}")
    # Not where it is traced, which would make another error of this one.
    _posterior(model, next(iter(batches))[:1])
    draw = rows.over_replicas(
        model.distribute_strategy,
        functools.partial(_draw, model),
        signature=[tf.TensorSpec([None, *model.image_shape], tf.float32)],
    )
    parts = [[part.numpy() for part in draw(x)] for x in batches]
    return Draws(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def require_draws(loc: ArrayLike, scale: ArrayLike, z: ArrayLike) -> Draws:
    """The arrays in float64, as far as bounds can be made of them.

    Args:
      loc: `[S, L]`.
      scale: `[S, L]`.
      z: `[S, L]`.

    Raises:
      NotMeasurableError: If examples are too few.
      ValueError: If the shapes differ, a scale is not positive, or `z` is not drawn from the
        posteriors.
      FloatingPointError: If a number is not finite.
    """
    found = Draws(*(np.asarray(array, np.float64) for array in (loc, scale, z)))
    arrays = found._asdict()
    shapes = {name: array.shape for name, array in arrays.items()}
    loc, scale, z = found
    if loc.ndim != 2 or len(set(shapes.values())) > 1 or loc.shape[1] < 1:
        raise ValueError(f"loc, scale and z must be of one shape [S, L], got {shapes}")
    least = max(MIN_EXAMPLES, MIN_EXAMPLES_PER_DIMENSION * loc.shape[1])
    if len(loc) < least:
        raise NotMeasurableError(
            f"{loc.shape[1]} latent dimensions need at least {least} examples, got {len(loc)}"
        )
    for name, array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise FloatingPointError(f"{name} is not finite everywhere")
    if not np.all(scale > 0):
        raise ValueError(f"scale must be positive, got {scale.min()}")
    square = np.sum(np.square((z - loc) / scale))
    if not _FALSE_ALARM / 2 < chi2.cdf(square, z.size) < 1.0 - _FALSE_ALARM / 2:
        raise ValueError(
            "z must be drawn from the posteriors: the mean of ((z - loc) / scale)^2 is 1 but for "
            f"chance, got {square / z.size:.6g}"
        )
    return found


def _draw(model: LatentVariableModel, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
    posterior = _posterior(model, x)
    loc, scale = posterior.loc, posterior.scale
    draws = noise.normal(model.posterior_noise_ids(x, training=False), loc.shape[1:])
    return loc, scale, loc + scale * draws


def _posterior(model: LatentVariableModel, x: TensorLike) -> tfd.Normal:
    """q(z|x), or that of the top level."""
    try:
        posterior = model.top_posterior(x)
    except ValueError as error:
        raise NotMeasurableError(str(error)) from error
    return _normal(posterior, "posterior")


def _require_flat(model: LatentVariableModel, latent: str) -> None:
    """Checks that what is asked of has one posterior for each image, whatever was drawn."""
    if latent not in LATENTS:
        raise ValueError(f"latent must be one of {', '.join(LATENTS)}, got {latent!r}")
    if latent == "whole" and model.num_levels > 1:
        raise NotMeasurableError(
            f"q(z|x) of a hierarchy of {model.num_levels} levels is no Gaussian of each image: "
            "below the top it depends on what was drawn above, so that the posterior of one image "
            "at the draw of another takes a pass of the network for each pair of images, for a "
            "bound that S images let be log S at most, far below the rate of all levels. "
            "latent='top' asks of the top level, where each image has one Gaussian"
        )


def _normal(distribution: tfd.Distribution, name: str) -> tfd.Normal:
    normal = getattr(distribution, "distribution", None)
    if not isinstance(normal, tfd.Normal):
        raise NotMeasurableError(
            f"the {name} must be independent normal numbers, got {distribution}"
        )
    return normal
