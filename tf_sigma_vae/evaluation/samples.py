"""Pictures of what a model has learned: labelled grids, the same for the same seed.

Means are `p(x|z).mean()`; "noisy" pictures are draws from `p(x|z)`, with the decoder's noise. The
two are never mixed unsaid.
"""

import math

import numpy as np
from PIL import Image

from tf_sigma_vae import image_grid
from tf_sigma_vae.evaluation import _labels
from tf_sigma_vae.evaluation.levels import shape_text
from tf_sigma_vae.models import LatentVariableModel

RECONSTRUCTIONS = 16
INTERPOLATIONS = 8
INTERPOLATION_STEPS = 9
TRAVERSED_DIMENSIONS = 20
TRAVERSAL_RADIUS = 3.0
TRAVERSAL_STEPS = 9
RATE_IMAGES = 512
"""Images over which the rate of each latent dimension is averaged to order them."""
RATE_BATCH = 64
"""Of them at once."""


def prior(
    model: LatentVariableModel, num_samples: int = 64, seed: int = 0, temperature: float = 1.0
) -> dict[str, Image.Image]:
    """`prior_mean` and `prior_noisy`: samples from the prior, the same z in the same places."""
    mean, noisy = image_grid.prior_images(model, num_samples, seed, temperature)
    subtitle = f"{num_samples} samples z ~ p(z), {_drawn(seed, temperature)}"
    return {
        "prior_mean": _labels.picture(
            image_grid.near_square(mean), "Prior samples: mean of p(x|z)", subtitle
        ),
        "prior_noisy": _labels.picture(
            image_grid.near_square(noisy),
            "Prior samples: draws from p(x|z), with the decoder's noise",
            f"{subtitle}, same z as prior_mean",
        ),
    }


def reconstructions(model: LatentVariableModel, images: np.ndarray, seed: int = 0) -> Image.Image:
    """Originals, mean reconstructions and noisy ones, in columns.

    Args:
      model: A `LatentVariableModel`.
      images: uint8 `[N, H, W, C]`, from which up to 16 are chosen by seed.
      seed: Of the choice and of the decoder's noise.
    """
    chosen = _choose(images, RECONSTRUCTIONS, seed)
    return _labels.picture(
        image_grid.reconstruction_images(model, chosen, seed),
        "Reconstructions, z ~ q(z|x)",
        f"noisy: a draw from p(x|z), with the decoder's noise; seed {seed}",
        row_labels=("original", "mean", "noisy"),
    )


def levels(
    model: LatentVariableModel, images: np.ndarray, seed: int = 0, temperature: float = 1.0
) -> Image.Image:
    """What each level of a hierarchy adds: originals, and row by row one level more from q.

    Args:
      model: A `LatentVariableModel` of several levels.
      images: uint8 `[N, H, W, C]`, from which up to 16 are chosen by seed, as for
        `reconstructions`.
      seed: Of the choice.
      temperature: Factor on the scales of the prior.
    """
    chosen = _choose(images, RECONSTRUCTIONS, seed)
    shapes = map(shape_text, model.level_shapes)
    labels = [f"{level}: {shape}" for level, shape in enumerate(shapes)]
    return _labels.picture(
        image_grid.level_images(model, chosen, temperature),
        "Levels: mean of p(x|z), upper levels z ~ q(z|x), those below from the prior",
        f"each row has one level more from q(z|x), of the given shape; {_drawn(seed, temperature)}",
        row_labels=("original", "none", *labels),
    )


def interpolations(model: LatentVariableModel, images: np.ndarray, seed: int = 0) -> Image.Image:
    """Mean images along great circles between the posterior means of pairs of images.

    Of a hierarchy only the top level goes along them; the others, whose priors are not centered at
    0, go straight.

    Args:
      model: A `LatentVariableModel`.
      images: uint8 `[N, H, W, C]`, N at least 2, from which up to 8 pairs are chosen by seed.
      seed: Of the choice.

    Raises:
      ValueError: If there is one image only.
    """
    if len(images) < 2:
        raise ValueError(f"an interpolation needs at least 2 images, got {len(images)}")
    chosen = _choose(images, 2 * INTERPOLATIONS, seed)
    chosen = chosen[: len(chosen) // 2 * 2]
    first, last = chosen[::2], chosen[1::2]
    start, end = (_posterior_means(model, part) for part in (first, last))
    fractions = np.linspace(0.0, 1.0, INTERPOLATION_STEPS)
    z = np.stack([_between(model, start, end, fraction) for fraction in fractions], axis=1)
    between = _decoded_means(model, z)
    labels = ["original", *(f"{fraction:.3g}" for fraction in fractions), "original"]
    return _labels.picture(
        np.concatenate([first[:, None], between, last[:, None]], axis=1),
        "Interpolations: mean of p(x|z) between posterior means, spherical"
        f"{' at the top, straight below' if model.num_levels > 1 else ''}",
        f"the originals at the ends, fraction of the way above; seed {seed}",
        column_labels=labels,
    )


def traversals(model: LatentVariableModel, images: np.ndarray, seed: int = 0) -> Image.Image:
    """Mean images of one image's posterior mean with one latent dimension moved at a time.

    The dimensions are ordered by their mean rate over the first images, highest first; up to 20. Of
    a hierarchy they are those of the top level, and the levels below stay as they are.

    Args:
      model: A `LatentVariableModel`.
      images: uint8 `[N, H, W, C]`.
      seed: Of the choice of the image.
    """
    start = _posterior_means(model, _choose(images, 1, seed))[0]
    rates = _top_rates(model, images[:RATE_IMAGES])
    where = " of the top level" if model.num_levels > 1 else ""
    order = np.argsort(-rates, kind="stable")[:TRAVERSED_DIMENSIONS]
    values = np.linspace(-TRAVERSAL_RADIUS, TRAVERSAL_RADIUS, TRAVERSAL_STEPS)
    z = np.tile(start, (len(order), len(values), 1))
    z[np.arange(len(order)), :, order] = values
    return _labels.picture(
        _decoded_means(model, z),
        "Traversals: mean of p(x|z), one dimension of z set to the value above (prior s.d.)",
        f"{len(order)} of {len(rates)} dimensions{where} by rate (nats); "
        f"the others at the posterior mean of one image; seed {seed}",
        row_labels=[f"z{dimension}: {rates[dimension]:.2f}" for dimension in order],
        column_labels=[f"{value:.3g}" for value in values],
    )


def spherical_interpolation(first: np.ndarray, last: np.ndarray, fraction: float) -> np.ndarray:
    """Points between vectors along great circles, in which the typical length of z is kept.

    `sin((1 - t) w) / sin(w) first + sin(t w) / sin(w) last` with w the angle between the two;
    straight where the angle is (nearly) 0 or pi, or a vector vanishes.

    Args:
      first: `[N, latent_size]`.
      last: `[N, latent_size]`.
      fraction: t from 0 (first) to 1 (last).

    Returns:
      float64 `[N, latent_size]`.

    Source: White 2016, "Sampling generative networks".
    """
    first, last = np.asarray(first, np.float64), np.asarray(last, np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(last, axis=1)
    cosine = np.sum(first * last, axis=1) / np.where(lengths > 0, lengths, 1.0)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    straight = (lengths == 0) | (np.sin(angle) < 1e-6)
    sine = np.where(straight, 1.0, np.sin(angle))
    weights = [
        np.where(straight, part, np.sin(part * angle) / sine)[:, None]
        for part in (1.0 - fraction, fraction)
    ]
    return weights[0] * first + weights[1] * last


def _between(
    model: LatentVariableModel, first: np.ndarray, last: np.ndarray, fraction: float
) -> np.ndarray:
    """Latents `[N, latent_size]` on the way between two; see `interpolations`."""
    top, straight = model.top_size, (1.0 - fraction) * first + fraction * last
    arc = spherical_interpolation(first[:, :top], last[:, :top], fraction)
    return np.concatenate([arc, straight[:, top:]], axis=1)


def _top_rates(model: LatentVariableModel, images: np.ndarray) -> np.ndarray:
    """Mean rate of each dimension of the latent, or of its top level: `[top_size]`, nats."""
    rates = []
    for start in range(0, len(images), RATE_BATCH):
        output = model(_unit_interval(images[start : start + RATE_BATCH]), training=False)
        if model.num_levels == 1:
            rates.append(output.rate_groups.numpy())
            continue
        loc, scale = output.posterior.mean().numpy(), output.posterior.stddev().numpy()
        loc, scale = loc[:, : model.top_size], scale[:, : model.top_size]
        rates.append(0.5 * (np.square(loc) + np.square(scale) - 1.0) - np.log(scale))
    return np.mean(np.concatenate(rates), axis=0)


def _drawn(seed: int, temperature: float) -> str:
    """How draws from the prior were made, in words."""
    return f"seed {seed}" if temperature == 1.0 else f"temperature {temperature:g}, seed {seed}"


def _choose(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Up to `count` of the images, by seed, without repetition."""
    places = np.random.default_rng(seed).permutation(len(images))[:count]
    return images[places]


def _unit_interval(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / np.float32(255.0)


def _posterior_means(model: LatentVariableModel, images: np.ndarray) -> np.ndarray:
    return model.encode(_unit_interval(images)).mean().numpy()


def _decoded_means(model: LatentVariableModel, z: np.ndarray) -> np.ndarray:
    """Mean images of latents `[rows, columns, latent_size]`: uint8 `[rows, columns, H, W, C]`."""
    flat = z.reshape(math.prod(z.shape[:2]), z.shape[2]).astype(np.float32)
    images = image_grid.to_uint8(model.decode(flat).mean())
    return images.reshape(*z.shape[:2], *images.shape[1:])
