"""How much the residuals of an image depend on one another, which the likelihood does not count.

Residuals are taken over their predicted scale, and each element less its own mean over the images
and over its own standard deviation, so that with `r_i` the `D` residuals of image `i`,
`R = E[r r']` is their matrix of correlations. A bias that an element has in every image is no
dependence; `bias_share` tells of it. Elements whose residual varies by less than the rounding of 8
bits say nothing: they drop out of everything else here.

**Effective pixels**, the participation ratio of R (for Gaussian residuals the degrees of freedom of
their sum of squares, hence the number of independent residuals that tell as much of a scale):

    D^2 / sum_{de} R_de^2 = (tr R)^2 / tr(R^2).

The plain estimate squares the noise of R and finds at most N. Products of different images have no
such bias. About a known mean `E[(r_i . r_j)^2] = tr(R^2)` for i != j; about that of the same images

    tr(R^2) = <(r_i . r_j)^2> - 2 <(r_i . r_j) (r_j . r_k)> + <(r_i . r_j) (r_k . r_l)>,

means over different images, has none either. The diagonal, known to be 1, is left out by the same
of each element alone.

An image with larger residuals than others weighs more, as it does in the likelihood; that alone
makes nothing of R, since a factor of the whole image has no correlation between signs.

**Correlation cost**, what a Gaussian with the same means would gain that predicts each residual
from those before it (rows from the top, channels innermost) up to `RADIUS` pixels away, by weights
that are the same everywhere, over independent Gaussians of the same sizes of residuals:

    sum_d -log(e_d) / 2,    e_d the part of the mean square that the prediction leaves.

It is a lower bound of `-log det(R) / 2`, and that where such a predictor is the best one (a field
that is autoregressive on those neighbors). The weights of one half of the images predict the other,
each half about its own mean, so that nothing is gained by their number. What fitting them to few
images costs, and chance, can make the estimate negative. The integral of the log-spectrum (Szego)
gives the same for an infinite image; of a small one the spectrum is smeared out by the borders,
which hides what it is asked for, and says nothing of correlations between channels.

Source: Kay 1993, Sec. 3 (prediction and determinant); Bretherton et al. 1999 (effective number);
Chen, Zhang & Zhong 2010 (the trace without bias).
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tf_sigma_vae.evaluation import estimate
from tf_sigma_vae.evaluation.estimate import Estimate

RADIUS = 3
"""Pixels within which residuals predict one another."""
MIN_IMAGES = 4
"""Fewest images about whose mean correlations can be told."""
MAX_OFFSET = 8
"""Pixels up to which the autocorrelation is kept."""
_ROWS_AT_ONCE = 2**16
"""Pixels whose neighbors are gathered at a time."""


class Residuals(NamedTuple):
    """Standardized residuals of a data set; see the module's docstring."""

    values: np.ndarray
    """float32 `[N, H, W, C]`; of mean 0 and mean square 1 over the images, 0 where not active."""
    is_active: np.ndarray
    """`[H, W, C]`."""
    rounding: np.ndarray
    """`[H, W, C]`: the part of the variance that is the rounding of 8 bits, at most 1."""


def standardize(residuals: np.ndarray, rounding: np.ndarray) -> Residuals:
    """Takes each element about its mean over the images, over its standard deviation.

    Args:
      residuals: float32 `[N, H, W, C]`, over their predicted scales.
      rounding: `[H, W, C]`, the part of the residuals' variance that is the rounding of 8 bits.
    """
    residuals = residuals - residuals.mean(axis=0, dtype=np.float64).astype(np.float32)
    mean_squares = np.mean(np.square(residuals), axis=0, dtype=np.float64)
    is_active = (rounding < 1.0) & (mean_squares > 0.0)
    factors = np.where(is_active, 1.0 / np.sqrt(np.where(is_active, mean_squares, 1.0)), 0.0)
    return Residuals(residuals * factors.astype(np.float32), is_active, rounding)


def bias_share(residuals: np.ndarray) -> Estimate | None:
    """Share of the mean squared residual that is a bias: the square of the mean of its element.

    The mean of N residuals has a square by chance, their variance over N, which is taken off: so
    it is negative by chance where there is no bias. There its standard error is 1.4 times too
    large, as that of `effective_pixels`.

    Args:
      residuals: `[N, H, W, C]` in the unit of the data, N at least 2.

    Returns:
      The share; None if all residuals are 0.
    """
    flat = residuals.reshape(len(residuals), -1)
    num_images = len(flat)
    squares = np.sum(np.square(flat), axis=1, dtype=np.float64)
    if not np.any(squares):
        return None
    # Of each image: the mean product with another one.
    products = flat @ np.sum(flat, axis=0, dtype=np.float64) - squares
    products /= num_images - 1
    value = products.mean() / squares.mean()
    # To first order: an image is in two of the factors of a product.
    parts = (2.0 * products - value * squares) / squares.mean()
    return estimate.mean("bias_share", parts, "1")._replace(value=float(value))


def effective_pixels(residuals: Residuals, block_size: int = 512) -> Estimate | None:
    """Number of independent residuals that those of an image amount to.

    The standard error is that of the delete-one jackknife, means and standard deviations held
    fixed. For residuals without correlation, where it is least, it is 1.4 times too large.

    Args:
      residuals: Of N images.
      block_size: Images held against all others at once.

    Returns:
      The number, at most that of the active elements; None if none is active, or N is below
      `MIN_IMAGES`.
    """
    flat = residuals.values[:, residuals.is_active]
    num_images, num_dims = flat.shape
    if num_dims == 0 or num_images < MIN_IMAGES:
        return None
    squared_correlations, by_image = _squared_correlations(flat, block_size)
    # Mean squares are 1 over N, variances over N - 1.
    unbiased = (1.0 - 1.0 / num_images) ** 2
    deleted = unbiased * by_image * num_images / (num_images - 2.0)
    error = np.sqrt((num_images - 1) * np.var(deleted))
    # Squares are not negative, whatever chance makes of their estimate.
    value = num_dims**2 / (num_dims + max(unbiased * squared_correlations, 0.0))
    return Estimate(float(value), float(error * value**2 / num_dims**2), "scalars")


def _squared_correlations(flat: np.ndarray, block_size: int) -> tuple[float, np.ndarray]:
    """The sum over d != e of the squared covariances of two elements, without bias.

    Args:
      flat: `[N, D]`, of mean 0 over the images.
      block_size: As of `effective_pixels`.

    Returns:
      The estimate, and `[N]` what each image has a part in: with a pair, in that of both.
    """
    num_images = len(flat)
    # Of each image, d = e left out: the sum of squared products with the others, and that with
    # itself.
    others, selves = np.empty(num_images), np.empty(num_images)
    totals = np.sum(np.square(flat), axis=0, dtype=np.float64)
    for start in range(0, num_images, block_size):
        block = slice(start, start + block_size)
        own = flat[block]
        products = np.square(own @ flat.T, dtype=np.float64).sum(axis=1)
        squares = np.square(own, dtype=np.float64)
        norms = np.square(squares.sum(axis=1))
        others[block] = products - norms - np.sum(squares * (totals - squares), axis=1)
        selves[block] = norms - np.sum(np.square(squares), axis=1)
    # A residual times the others of its element, summed, is less its own square: so the means over
    # three and four images are of these sums too.
    pairs = num_images * (num_images - 1.0)
    triples = pairs * (num_images - 2.0)
    fours = triples * (num_images - 3.0)
    others *= 1.0 / pairs + 2.0 / triples + 2.0 / fours
    selves *= 2.0 / triples + 4.0 / fours
    product_of_totals = np.square(totals.sum()) - np.sum(np.square(totals))
    value = others.sum() - selves.sum() + product_of_totals / fours
    return float(value), 2.0 * others - selves


def autocorrelation(residuals: Residuals) -> tuple[np.ndarray, Estimate | None]:
    """Mean correlation of two residuals of a channel, by the offset of their pixels.

    Returns:
      Float64 `[2 m + 1, 2 m + 1]` for the offsets -m ... m of rows and columns, `m` at most
      `MAX_OFFSET`, 1 in the middle (0 if no element is active), NaN at offsets of no pair; and the
      mean of the neighbors to the right and below, None where there is none.
    """
    values, is_active = residuals.values, residuals.is_active
    height, width = is_active.shape[:2]
    largest = min(MAX_OFFSET, height - 1, width - 1)
    size = (2 * height, 2 * width)
    power = np.zeros((size[0], width + 1))
    for image in values:
        power += np.sum(np.abs(np.fft.rfft2(image, s=size, axes=(0, 1))) ** 2, axis=-1)
    counted = np.abs(np.fft.rfft2(is_active.astype(np.float64), s=size, axes=(0, 1))) ** 2
    sums, counts = (np.fft.irfft2(p, s=size) for p in (power, counted.sum(axis=-1)))
    counts = len(values) * np.round(counts)
    found = np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0.5)
    offsets = np.arange(-largest, largest + 1)
    return found[np.ix_(offsets, offsets)], _between_neighbors(residuals)


def _between_neighbors(residuals: Residuals) -> Estimate | None:
    values, is_active = residuals.values, residuals.is_active
    by_direction = []
    for axis in (0, 1):
        first, second = _without_end(is_active, axis)
        if count := np.sum(first & second):
            first, second = _without_end(values, axis + 1)
            products = np.sum(first * second, axis=(1, 2, 3), dtype=np.float64)
            by_direction.append(products / count)
    if not by_direction:
        return None
    return estimate.mean("autocorrelation_1", np.mean(by_direction, axis=0), "1")


def _without_end(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """All but the last and all but the first along an axis."""
    places = np.arange(values.shape[axis])
    return np.take(values, places[:-1], axis), np.take(values, places[1:], axis)


def correlation_cost(residuals: Residuals) -> Estimate | None:
    """Nats of an image by which predicting residuals from their neighbors raises the likelihood.

    Returns:
      The cost, negative by chance or by that of fitting the weights; None if no element is
      active, or N is below `MIN_IMAGES`.
    """
    is_active = residuals.is_active
    pixels = np.any(is_active, axis=-1)
    if not np.any(pixels) or len(residuals.values) < MIN_IMAGES:
        return None
    # Each about its own mean: about that of all, one half would tell of the other.
    halves = [residuals.values[start::2] for start in (0, 1)]
    halves = [half - half.mean(axis=0, dtype=np.float64).astype(np.float32) for half in halves]
    moments = [_moments(half, pixels) for half in halves]
    left = np.zeros(residuals.values[:, pixels].shape, np.float32)
    before = np.zeros_like(left)
    for half, values in enumerate(halves):
        weights = _prediction_weights(moments[1 - half], is_active.shape[-1])
        left[half::2] = np.concatenate(
            [patches @ weights for patches in _patches(values, pixels)]
        ).reshape(len(values), *left.shape[1:])
        before[half::2] = values[:, pixels]
    rounding = residuals.rounding[pixels]
    # An element may vary between the halves alone.
    counted = is_active[pixels] & (np.mean(np.square(before), axis=0) > rounding)
    if not np.any(counted):
        return None
    before, left = (np.square(v[:, counted], dtype=np.float64) for v in (before, left))
    # No prediction is better than the values are known.
    mean_before = before.mean(axis=0)
    mean_left = np.maximum(left.mean(axis=0), rounding[counted])
    value = 0.5 * np.sum(np.log(mean_before / mean_left))
    # To first order, with the mean squares before and after both found from these images.
    parts = 0.5 * np.sum(before / mean_before - left / mean_left, axis=1)
    return estimate.mean("correlation_cost", parts, "nats")._replace(value=float(value))


def _patches(values: np.ndarray, pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks `[n M, P]` of the residuals before each of the M pixels, then its own.

    Residuals off the image are 0, their mean.
    """
    before = [(dy, dx) for dy in range(-RADIUS, 1) for dx in range(-RADIUS, RADIUS + 1)]
    offsets = [offset for offset in before if offset < (0, 0)]
    height, width, channels = values.shape[1:]
    block = max(1, _ROWS_AT_ONCE // (height * width))
    for start in range(0, len(values), block):
        part = values[start : start + block]
        padded = np.pad(part, ((0, 0), (RADIUS, 0), (RADIUS, RADIUS), (0, 0)))
        shifted = [
            padded[:, RADIUS + dy : RADIUS + dy + height, RADIUS + dx : RADIUS + dx + width]
            for dy, dx in [*offsets, (0, 0)]
        ]
        gathered = np.concatenate(shifted, axis=-1)[:, pixels]
        yield gathered.reshape(-1, len(shifted) * channels)


def _moments(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Sums of products of the residuals of a patch, float64 `[P, P]`."""
    patches = (patch.astype(np.float64) for patch in _patches(values, pixels))
    return functools.reduce(np.add, (patch.T @ patch for patch in patches))


def _prediction_weights(moments: np.ndarray, channels: int) -> np.ndarray:
    """`[P, C]`: what is left of each channel is its own residual less the weighted ones before."""
    num = len(moments) - channels
    weights = np.zeros((len(moments), channels))
    for channel in range(channels):
        end = num + channel
        # The pseudo-inverse: residuals may repeat others, and those off a small image are 0.
        inverse = np.linalg.pinv(moments[:end, :end], rcond=1e-7, hermitian=True)
        weights[:end, channel] = -inverse @ moments[:end, end]
        weights[end, channel] = 1.0
    return weights.astype(np.float32)
