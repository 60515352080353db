"""Distances between two sets of features, with their standard errors.

Frechet distance of the Gaussians fitted to the sets (Heusel et al. 2017, "GANs trained by a two
time-scale update rule", Eq. 6):

    |m_1 - m_2|^2 + tr C_1 + tr C_2 - 2 tr (C_1 C_2)^(1/2)

Its estimate is biased upwards by about `a / N`, and much more where N is below the number of
features: it can be compared at equal N only. `extrapolated_frechet` removes that bias.

Kernel distance (Binkowski et al. 2018, "Demystifying MMD GANs"): the squared maximum mean
discrepancy, estimated without bias, hence also negative where the sets are alike.
"""

from collections.abc import Sequence

import numpy as np

from tf_sigma_vae.evaluation.estimate import Estimate, NotMeasurableError
from tf_sigma_vae.evaluation.fid.statistics import Statistics, require_same_size

FRECHET_UNIT = "feature^2"
KERNEL_UNIT = "MMD^2"
NUM_BLOCKS = 10
"""Parts of a set, from whose differences a standard error comes: good to 1 / sqrt(18) = 24 %."""
BLOCK_SEED = 0
_ROWS = 4096
"""Features that are held in float64 at a time."""
_EPSILON = np.finfo(np.float64).eps


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """Squared Frechet distance of the fitted Gaussians, never negative.

    The trace of the root is the sum of the square roots of the eigenvalues of `A^T C_2 A` with
    `A A^T = C_1`: a symmetric matrix, so that they are real and, where a covariance has no full
    rank, rounding cannot make them complex, as it does for a general matrix square root.

    Args:
      first: Of one set.
      second: Of the other; the result is the same the other way round.

    Raises:
      ValueError: If the features are of different sizes, or a set is smaller than 2.
    """
    require_same_size(first, second)
    if second.num_examples < first.num_examples:
        # The smaller set may have the smaller rank, which is the size of the matrix below.
        first, second = second, first
    _, factor = _eigen_factor(first.covariance)
    eigenvalues = np.linalg.eigvalsh(factor.T @ second.covariance @ factor)
    return _distance(first, second, _roots(eigenvalues))


def frechet(
    first: Statistics, second: Statistics, first_features: np.ndarray, second_features: np.ndarray
) -> Estimate:
    """Frechet distance with its standard error over the images of both sets.

    The standard error is that of a smooth function of means and covariances (the delta method):
    the distance answers to one more x in the first set, to first order, as

        2 (m_1 - m_2)^T (x - m_1) + (x - m_1)^T (I - T) (x - m_1)

    where `T` is the linear map that takes the first Gaussian to the second; likewise for the
    second set, with the inverse map. Nothing is assumed of the distribution of the features.

    Args:
      first: Of one set.
      second: Of the other.
      first_features: `[N, D]`, what `first` is of.
      second_features: `[M, D]`, what `second` is of.

    Raises:
      ValueError: If the features are of different sizes, or a set is smaller than 2.

    Source: Olkin & Pukelsheim 1982, "The distance between two random vectors" (the map).
    """
    require_same_size(first, second)
    if second.num_examples < first.num_examples:
        first, second = second, first
        first_features, second_features = second_features, first_features
    variances, factor = _eigen_factor(first.covariance)
    eigenvalues, rotation = np.linalg.eigh(factor.T @ second.covariance @ factor)
    roots = _roots(eigenvalues)
    # With M = A^T C_2 A and A = V L^(1/2): T = V L^(-1/2) M^(1/2) L^(-1/2) V^T, and its inverse
    # is A M^(-1/2) A^T; on the span of the first set where that is not the whole space.
    forward, backward = (factor / variances) @ rotation, factor @ rotation
    kept = roots > np.sqrt(len(roots) * _EPSILON) * roots.max(initial=0.0)
    inverse = np.divide(1.0, roots, out=np.zeros_like(roots), where=kept)
    shift = first.mean - second.mean
    square = _response_variance(first_features, first, shift, forward, roots) / first.num_examples
    square += (
        _response_variance(second_features, second, -shift, backward, inverse) / second.num_examples
    )
    return Estimate(_distance(first, second, roots), float(np.sqrt(square)), FRECHET_UNIT)


def extrapolated_frechet(
    first: Statistics,
    second: Statistics,
    first_features: np.ndarray,
    second_features: np.ndarray,
    num_blocks: int = NUM_BLOCKS,
) -> Estimate:
    """Frechet distance for infinitely many images in both sets, by the jackknife over blocks.

    Both sets are cut into blocks by chance; the k-th is left out of both. Unbiased where the bias
    is `a / N`; its own bias, of the order of `1 / N^2`, is about half of what a straight line
    through N and N / 2 would leave. It is negative by chance where the sets are alike.

    Args:
      first: Of one set.
      second: Of the other.
      first_features: `[N, D]`, what `first` is of.
      second_features: `[M, D]`, what `second` is of.
      num_blocks: Number of blocks, at least 2. The cost is that of as many distances.

    Raises:
      ValueError: If a set is too small for the blocks, or the features are of different sizes.

    Source: Chong & Forsyth 2020, "Effectively unbiased FID and Inception Score" (the bias);
    Quenouille 1956 (the jackknife).
    """
    left_out = []
    pairs = zip(
        blocks(first.num_examples, num_blocks), blocks(second.num_examples, num_blocks), strict=True
    )
    for rows in pairs:
        parts = [
            whole.without(Statistics.from_features(np.asarray(features)[kept]))
            for whole, features, kept in zip(
                (first, second), (first_features, second_features), rows, strict=True
            )
        ]
        left_out.append(frechet_distance(*parts))
    return extrapolate(frechet_distance(first, second), left_out, FRECHET_UNIT)


def extrapolate(value: float, left_out: Sequence[float], unit: str) -> Estimate:
    """The jackknife: removes a bias `a / N`, and gives a standard error.

    Args:
      value: A statistic of N examples.
      left_out: The same without the k-th of K equal blocks of the examples, K at least 2.
      unit: Of both.
    """
    values = np.asarray(left_out, np.float64)
    num_blocks, mean = len(values), np.mean(values)
    error = np.sqrt((num_blocks - 1) / num_blocks * np.sum((values - mean) ** 2))
    return Estimate(float(num_blocks * value - (num_blocks - 1) * mean), float(error), unit)


def kernel_distance(
    first_features: np.ndarray, second_features: np.ndarray, num_blocks: int = NUM_BLOCKS
) -> Estimate:
    """Kernel distance: mean over blocks of the sets, with the standard error of that mean.

    Blocks share no image, so that their estimates are independent and the error is an honest one;
    the usual subsets drawn over and over from the same images are not.

    Args:
      first_features: `[N, D]`.
      second_features: `[M, D]`.
      num_blocks: Number of blocks, at least 2.

    Raises:
      ValueError: If a set has fewer than two images for each block.

    Source: Binkowski et al. 2018; Zaremba, Gretton & Blaschko 2013, "B-tests" (the blocks).
    """
    first, second = (np.asarray(f) for f in (first_features, second_features))
    values = [
        squared_mmd(first[rows], second[columns])
        for rows, columns in zip(
            blocks(len(first), num_blocks), blocks(len(second), num_blocks), strict=True
        )
    ]
    error = np.std(values, ddof=1) / np.sqrt(num_blocks)
    return Estimate(float(np.mean(values)), float(error), KERNEL_UNIT)


def squared_mmd(first_features: np.ndarray, second_features: np.ndarray) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy, kernel `(x^T y / D + 1)^3`.

    Args:
      first_features: `[N, D]`, N at least 2.
      second_features: `[M, D]`, M at least 2.

    Source: Gretton et al. 2012, "A kernel two-sample test", Eq. 3.
    """
    first, second = (np.asarray(f, np.float64) for f in (first_features, second_features))

    def mean_of_pairs(features: np.ndarray) -> float:
        kernel = _kernel(features, features)
        return (kernel.sum() - np.trace(kernel)) / (len(features) * (len(features) - 1))

    between = _kernel(first, second).mean()
    return float(mean_of_pairs(first) + mean_of_pairs(second) - 2.0 * between)


def blocks(num_examples: int, num_blocks: int) -> list[np.ndarray]:
    """The places of examples in blocks of equal size (to one), drawn by chance, always the same.

    By chance, because a set may be in the order of its classes.

    Raises:
      ValueError: If there are fewer than two blocks, or than two examples for each.
    """
    if num_blocks < 2:
        raise ValueError(f"a standard error needs at least 2 blocks, got {num_blocks}")
    if num_examples < 2 * num_blocks:
        raise NotMeasurableError(
            f"{num_blocks} blocks need at least {2 * num_blocks} images, got {num_examples}"
        )
    places = np.random.default_rng(BLOCK_SEED).permutation(num_examples)
    return np.array_split(places, num_blocks)


def _eigen_factor(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues `[R]` above rounding and `A` `[D, R]` with `A A^T` the covariance."""
    variances, vectors = np.linalg.eigh(covariance)
    kept = variances > len(variances) * _EPSILON * variances.max()
    return variances[kept], vectors[:, kept] * np.sqrt(variances[kept])


def _roots(eigenvalues: np.ndarray) -> np.ndarray:
    return np.sqrt(np.clip(eigenvalues, 0.0, None))


def _distance(first: Statistics, second: Statistics, roots: np.ndarray) -> float:
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    distance = np.sum((first.mean - second.mean) ** 2) + traces - 2.0 * np.sum(roots)
    # Not below zero but for rounding.
    return float(max(distance, 0.0))


def _response_variance(
    features: np.ndarray,
    statistics: Statistics,
    shift: np.ndarray,
    directions: np.ndarray,
    weights: np.ndarray,
) -> float:
    """Variance over a set of `2 s^T y + y^T y - sum_j w_j (d_j^T y)^2`, `y = x - m`."""
    responses = []
    for start in range(0, len(features), _ROWS):
        y = np.asarray(features[start : start + _ROWS], np.float64) - statistics.mean
        squares = np.sum(y**2, axis=1) - (y @ directions) ** 2 @ weights
        responses.append(2.0 * y @ shift + squares)
    return float(np.var(np.concatenate(responses), ddof=1))


def _kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first @ second.T / first.shape[1] + 1.0) ** 3
