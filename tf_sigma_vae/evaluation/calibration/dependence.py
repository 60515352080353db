"""How much the residuals of an image depend on one another, which the likelihood does not count.

Residuals are taken over their predicted scale, and each element over its own root mean square, so
that with `r_i` the `D` residuals of image `i`, `R = E[r r']` is their matrix of correlations about
the predicted mean. Elements whose residual is below the rounding of 8 bits say nothing: they drop
out of everything here.

**Effective pixels**, the participation ratio of R (for Gaussian residuals the degrees of freedom of
their sum of squares, hence the number of independent residuals that tell as much of a scale):

    D^2 / sum_{de} R_de^2 = (tr R)^2 / tr(R^2).

The plain estimate squares the noise of R and finds at most N. Products of two different images have
no such bias, `E[(r_i . r_j)^2] = tr(R^2)` for i != j, and the diagonal is known to be 1:

    sum_{d != e} R_de^2 = mean_{i != j} [(r_i . r_j)^2 - sum_d r_id^2 r_jd^2].

An image with larger residuals than others weighs more, as it does in the likelihood; that alone
makes nothing of R, since a factor of the whole image has no correlation between signs.

**Correlation cost**, what a Gaussian with the same means would gain that predicts each residual
from those before it (rows from the top, channels innermost) up to `RADIUS` pixels away, by weights
that are the same everywhere:

    sum_d -log(e_d) / 2,    e_d the mean square of what the prediction leaves.

It is a lower bound of `-log det(R) / 2`, and that where such a predictor is the best one (a field
that is autoregressive on those neighbors). The weights of one half of the images predict the other,
so that nothing is gained by their number (about as many nats are lost as there are weights, over
N). The integral of the log-spectrum (Szego) gives the same
for an infinite image; of a small one the spectrum is smeared out by the borders, which hides what
it is asked for, and says nothing of correlations between channels.

Source: Kay 1993, Sec. 3 (prediction and determinant); Bretherton et al. 1999 (effective number).
"""

from typing import NamedTuple

import numpy as np

from tf_sigma_vae.evaluation import estimate
from tf_sigma_vae.evaluation.estimate import Estimate

RADIUS = 3
"""Pixels within which residuals predict one another."""
MAX_OFFSET = 8
"""Pixels up to which the autocorrelation is kept."""
_ROWS_AT_ONCE = 2**16
"""Pixels whose neighbors are gathered at a time."""


class Residuals(NamedTuple):
    """Standardized residuals of a data set; see the module's docstring."""

    values: np.ndarray
    """float32 `[N, H, W, C]`; of mean square 1 over the images, 0 where not active."""
    is_active: np.ndarray
    """`[H, W, C]`."""
    rounding: np.ndarray
    """`[H, W, C]`: the part of the mean square that is the rounding of 8 bits, at most 1."""


def standardize(residuals, rounding) -> Residuals:
    """Divides each element by its root mean square.

    Args:
      residuals: float32 `[N, H, W, C]`, over their predicted scales.
      rounding: `[H, W, C]`, the part of the mean square residual that is the rounding of 8 bits.
    """
    mean_squares = np.mean(np.square(residuals), axis=0, dtype=np.float64)
    is_active = (rounding < 1.0) & (mean_squares > 0.0)
    factors = np.where(is_active, 1.0 / np.sqrt(np.where(is_active, mean_squares, 1.0)), 0.0)
    return Residuals(residuals * factors.astype(np.float32), is_active, rounding)


def effective_pixels(residuals: Residuals, block_size: int = 512) -> Estimate | None:
    """Number of independent residuals that those of an image amount to.

    The standard error is that of the delete-one jackknife, the root mean squares held fixed. For
    residuals without correlation, where it is least, it is 1.4 times too large.

    Args:
      residuals: Of N images.
      block_size: Images held against all others at once.

    Returns:
      The number, at most that of the active elements; None if none is active, or N is below 3.
    """
    flat = residuals.values[:, residuals.is_active]
    num_images, num_dims = flat.shape
    if num_dims == 0 or num_images < 3:
        return None
    # Of each image: the sum over the others of what the mean above is of.
    sums = np.empty(num_images)
    totals = np.sum(np.square(flat), axis=0, dtype=np.float64)
    for start in range(0, num_images, block_size):
        own = flat[start : start + block_size]
        products = np.square(own @ flat.T, dtype=np.float64).sum(axis=1)
        squares = np.square(own, dtype=np.float64)
        products -= np.square(squares.sum(axis=1))
        sums[start : start + block_size] = products - np.sum(squares * (totals - squares), axis=1)
    pairs = num_images * (num_images - 1)
    squared_correlations = sums.sum() / pairs
    deleted = (sums.sum() - 2.0 * sums) / (pairs - 2.0 * (num_images - 1))
    error = np.sqrt((num_images - 1) * np.mean(np.square(deleted - deleted.mean())))
    # Squares are not negative, whatever chance makes of their estimate.
    value = num_dims**2 / (num_dims + max(squared_correlations, 0.0))
    return Estimate(float(value), float(error * value**2 / num_dims**2), "scalars")


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


def _without_end(values, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """All but the last and all but the first along an axis."""
    places = np.arange(values.shape[axis])
    return np.take(values, places[:-1], axis), np.take(values, places[1:], axis)


def correlation_cost(residuals: Residuals) -> Estimate | None:
    """Nats of an image by which predicting residuals from their neighbors raises the likelihood.

    Returns:
      The cost, negative by chance only; None if no element is active.
    """
    is_active = residuals.is_active
    pixels = np.any(is_active, axis=-1)
    if not np.any(pixels):
        return None
    halves = [residuals.values[start::2] for start in (0, 1)]
    moments = [_moments(half, pixels) for half in halves]
    left = np.zeros(residuals.values[:, pixels].shape, np.float32)
    for half, values in enumerate(halves):
        weights = _prediction_weights(moments[1 - half], is_active.shape[-1])
        left[half::2] = np.concatenate(
            [patches @ weights for patches in _patches(values, pixels)]
        ).reshape(len(values), *left.shape[1:])
    left = np.square(left[:, is_active[pixels]], dtype=np.float64)
    before = np.square(residuals.values[:, is_active], dtype=np.float64)
    # No prediction is better than the values are known.
    mean_squares = np.maximum(left.mean(axis=0), residuals.rounding[is_active])
    value = -0.5 * np.sum(np.log(mean_squares))
    # To first order, with the mean squares before and after both found from these images.
    parts = 0.5 * np.sum(before - left / mean_squares, axis=1)
    return estimate.mean("correlation_cost", parts, "nats")._replace(value=float(value))


def _patches(values, pixels):
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


def _moments(values, pixels) -> np.ndarray:
    """Sums of products of the residuals of a patch, float64 `[P, P]`."""
    patches = (patch.astype(np.float64) for patch in _patches(values, pixels))
    return sum(patch.T @ patch for patch in patches)


def _prediction_weights(moments, channels: int) -> np.ndarray:
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
