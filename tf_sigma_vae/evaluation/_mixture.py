"""The mixture of all posteriors at a draw of each, its moments, and each less one example.

With `S` examples, `z_i ~ q_i = q(.|x_i)`, an example has two terms, of the mixture with its own
component and of that of the others:

    inclusive_i     = log q_i(z_i) - log [sum_j q_j(z_i) / S]                 at most log S,
    leave_one_out_i = log q_i(z_i) - log [sum_{j != i} q_j(z_i) / (S - 1)],

for the whole latent and for each of its dimensions alone. The terms of two examples share their
mixtures and so are not independent: the standard error is by the delete-one jackknife, which leaves
an example out as a draw and as a component. Where a draw sees hardly more than one component, the
standard deviation of the terms would be up to a third too small. The jackknife estimate of a
variance is too large rather than too small, in expectation (Efron & Stein 1981).

Densities are summed up from squares of differences: the expansion of the square, a matrix product,
cancels where posteriors are narrow, and the densities of single dimensions are needed anyway.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit

BLOCK_NUMBERS = 2**17
"""Pairs of examples at once: what a core's cache holds of them, 1 MB."""


class MixtureTerms(NamedTuple):
    """Means of the terms over the examples, nats, `[L + 1, S + 1]`.

    Row `l` is of dimension `l` alone, the last row of the whole latent. Column 0 is of all
    examples, column `1 + k` of all but example `k`.
    """

    inclusive: np.ndarray
    """Of the mixture with the own component."""
    leave_one_out: np.ndarray
    """Of the mixture without it."""
    own_share: np.ndarray
    """`[S]`, the share of the own component in the mixture of the whole latent, in (0, 1]."""


def mixture_terms(
    loc: np.ndarray,
    scale: np.ndarray,
    z: np.ndarray,
    block_size: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> MixtureTerms:
    """The terms of diagonal Gaussian posteriors, from all `S * S` pairs, in float64.

    Args:
      loc: `[S, L]`, S at least 3.
      scale: `[S, L]`, standard deviations.
      z: `[S, L]`, row `i` drawn from posterior `i`.
      block_size: Draws that are held against all components at once; it changes nothing but
        rounding and speed.
      progress: Called after each block with the number of draws in it.
    """
    num_examples, latent_size = loc.shape
    block_size = block_size or max(1, BLOCK_NUMBERS // num_examples)
    # Rows of one dimension each. The constant of the densities cancels in every term.
    locs, factors, offsets = (
        np.ascontiguousarray(a.T) for a in (loc, np.sqrt(0.5) / scale, -np.log(scale))
    )
    draws = np.ascontiguousarray(z.T)
    terms = np.empty([2, latent_size + 1, num_examples])
    removal = np.zeros_like(terms)
    for first in range(0, num_examples, block_size):
        end = min(first + block_size, num_examples)
        joint, own_joint = np.zeros([end - first, num_examples]), np.zeros(end - first)
        for dim in range(latent_size):
            log_density = _log_density(locs[dim], factors[dim], offsets[dim], draws[dim, first:end])
            own = np.diagonal(log_density, first).copy()
            joint += log_density
            own_joint = own_joint + own
            terms[:, dim, first:end], added = _block_terms(log_density, own, first)
            removal[:, dim] += added
        terms[:, -1, first:end], added = _block_terms(joint, own_joint, first)
        removal[:, -1] += added
        if progress is not None:
            progress(end - first)
    log_count = np.log([num_examples, num_examples - 1, num_examples - 2])
    return MixtureTerms(
        inclusive=_offset(delete_one_means(terms[0], removal[0]), *log_count[:2]),
        leave_one_out=_offset(delete_one_means(terms[1], removal[1]), *log_count[1:]),
        own_share=np.exp(terms[0, -1]),
    )


def delete_one_means(values: np.ndarray, removal: np.ndarray | float = 0.0) -> np.ndarray:
    """Means over all examples and, for the jackknife, over all but each.

    Args:
      values: `[..., S]`.
      removal: `[..., S]`, what leaving out an example adds to the sum of the others' values.

    Returns:
      `[..., S + 1]`: element 0 is of all, element `1 + k` of all but example `k`.
    """
    num_examples = values.shape[-1]
    total = values.sum(axis=-1, keepdims=True)
    without = (total - values + removal) / (num_examples - 1)
    return np.concatenate([total / num_examples, without], axis=-1)


def moment_bound(loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Divergence from N(0, I) of the Gaussian with the mean and covariance of the mixture, nats.

        (tr C + |mu|^2 - d - log det C) / 2,    C = Cov(loc) + E[diag(scale^2)],

    less its bias. With `a` the centered loc of an example, `Y = a a' + diag(scale^2) - C` what it
    adds to `C` and `P = C^-1`, the bias is to first order in 1 / S

        (tr Cov(loc) / 2 + E tr[(P Y)^2] / 4) / S,

    which is `d (d + 3) / (4 S)` for narrow posteriors with C = I, and none where all agree.

    Args:
      loc: `[S, L]`.
      scale: `[S, L]`.

    Returns:
      `[S + 1]` as `delete_one_means` gives them; without an example to first order.
    """
    num_examples, latent_size = loc.shape
    mean, variance = loc.mean(axis=0), np.square(scale)
    centered = loc - mean
    covariance = centered.T @ centered / (num_examples - 1) + np.diag(variance.mean(axis=0))
    precision = np.linalg.inv(covariance)
    squares = np.square(centered).sum(axis=1)
    value = 0.5 * (np.trace(covariance) + mean @ mean - latent_size)
    value -= 0.5 * np.linalg.slogdet(covariance)[1]
    # tr(P a a'), tr(P diag(scale^2)), and tr[(P Y)^2] in their terms: no [S, L, L] is made.
    whitened = centered @ precision
    distance = np.sum(whitened * centered, axis=1)
    spread = variance @ np.diag(precision)
    quadratic = (distance - 1.0) ** 2 + latent_size - 1.0 - 2.0 * spread
    quadratic += np.sum((variance @ precision**2) * variance, axis=1)
    quadratic += 2.0 * np.sum(variance * whitened**2, axis=1)
    bias = (0.5 * squares.sum() / (num_examples - 1) + 0.25 * quadratic.mean()) / num_examples
    influence = 0.5 * (squares + variance.sum(axis=1) - distance - spread) + centered @ mean
    influence -= influence.mean()
    without = value - bias - influence / (num_examples - 1)
    return np.concatenate([[value - bias], without])


def _log_density(
    loc: np.ndarray, half_precision_root: np.ndarray, negative_log_scale: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """Log densities of one dimension but for a constant: of draws `[B]` in components `[S]`."""
    log_density = z[:, np.newaxis] - loc
    log_density *= half_precision_root
    np.square(log_density, out=log_density)
    return np.subtract(negative_log_scale, log_density, out=log_density)


def _block_terms(
    log_density: np.ndarray, own: np.ndarray, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """Terms of a block of draws but for the logarithm of the number of components.

    Args:
      log_density: `[B, S]`, of the draws from number `first` on; overwritten.
      own: `[B]`, its elements of a draw and its own component.
      first: Number of the first draw.

    Returns:
      Pair of the terms `[2, B]`, inclusive and leave-one-out, and of what leaving out each
      component adds to the sum of the other draws' terms, `[2, S]`.
    """
    draw = np.arange(len(own))
    log_density[draw, first + draw] = -np.inf
    # The nearest of the others may be nearly all of their mixture: what remains without it is
    # summed up on its own.
    nearest = log_density.argmax(axis=1)
    largest = log_density[draw, nearest]
    log_density[draw, nearest] = -np.inf
    second = log_density.max(axis=1)
    log_density -= second[:, np.newaxis]
    density = np.exp(log_density, out=log_density)
    log_rest = second + np.log(density.sum(axis=1))
    log_others = np.logaddexp(largest, log_rest)
    log_odds = log_others - own
    # By these factors the densities are shares of the inclusive mixture, and of the others'.
    factor = np.exp(second - log_others)
    factors = np.stack([factor * expit(log_odds), factor])
    # -log(1 - share), by three terms of its series: a share is at most 1/2 here, and there short
    # by 4 %. It enters the standard error alone.
    added, power = factors @ density, np.square(density)
    added += (factors**2 / 2.0) @ power
    power *= density
    added += (factors**3 / 3.0) @ power
    log_all = np.logaddexp(own, log_others)
    np.add.at(added[0], nearest, log_all - np.logaddexp(own, log_rest))
    np.add.at(added[1], nearest, log_others - log_rest)
    return np.stack([-np.logaddexp(0.0, log_odds), -log_odds]), added


def _offset(means: np.ndarray, of_all: float, without_one: float) -> np.ndarray:
    means[..., 0] += of_all
    means[..., 1:] += without_one
    return means
