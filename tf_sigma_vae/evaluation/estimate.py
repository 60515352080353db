"""A figure with its standard error and unit, over the examples of a split."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

BOOTSTRAP_RESAMPLES = 200
BOOTSTRAP_SEED = 0


class NotMeasurableError(ValueError):
    """A figure that this model, or so few examples, cannot give; the message says why."""


class Estimate(NamedTuple):
    """A figure estimated from a sample of examples."""

    value: float
    """The estimate."""
    standard_error: float
    """Its standard deviation over samples of examples of the same size."""
    unit: str
    """Of both."""


def require_finite(name: str, values: ArrayLike) -> np.ndarray:
    """The values as float64.

    Raises:
      FloatingPointError: If one is not finite; the message names the metric and the example.
    """
    values = np.asarray(values, np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise FloatingPointError(
            f"{name} is not finite for {bad.size} of {values.size} examples "
            f"(first: {values.flat[bad[0]]} at example {bad[0]})"
        )
    return values


def mean(name: str, values: ArrayLike, unit: str, groups: ArrayLike | None = None) -> Estimate:
    """Mean over examples, with its standard error.

    Of independent examples the error is `std / sqrt(N)`. Of groups of examples, where only the
    groups are independent, with `d_g` the sum over a group of the deviations from the mean,

        sqrt(G / (G - 1) sum_g d_g^2) / N,

    which for G groups of one size is the error of the mean of the means of the groups.

    Args:
      name: Name of the metric, for the error.
      values: `[N]`, one number for each example, N at least 2.
      unit: Unit of the values.
      groups: `[N]` integers from 0, the group of each example, at least 2 of them; None where each
        is one.

    Raises:
      FloatingPointError: If a value is not finite.
      ValueError: If there are fewer than 2 examples, or groups.
    """
    values = require_finite(name, values)
    if values.size < 2:
        raise ValueError(f"{name} needs at least 2 examples, got {values.size}")
    if groups is None:
        error = values.std(ddof=1) / np.sqrt(values.size)
        return Estimate(float(values.mean()), float(error), unit)
    _, places = np.unique(groups, return_inverse=True)
    deviations = np.bincount(places, values - values.mean())
    num_groups = deviations.size
    if num_groups < 2:
        raise ValueError(f"{name} needs at least 2 independent groups of examples, got 1")
    error = np.sqrt(num_groups / (num_groups - 1) * np.sum(deviations**2)) / values.size
    return Estimate(float(values.mean()), float(error), unit)


def bootstrap(statistic: Callable[[np.ndarray], np.ndarray], num_examples: int) -> float:
    """Standard error of a statistic that is not a mean, from a fixed seed.

    Args:
      statistic: Maps weights of the examples `[R, N]`, which sum to one in each row, to the
        statistic of each weighted sample, `[R]`.
      num_examples: N.

    Returns:
      Standard deviation of the statistic over `BOOTSTRAP_RESAMPLES` samples with replacement.

    Source: Efron 1979.
    """
    random = np.random.default_rng(BOOTSTRAP_SEED)
    probabilities = np.full(num_examples, 1.0 / num_examples)
    counts = random.multinomial(num_examples, probabilities, size=BOOTSTRAP_RESAMPLES)
    return float(np.std(statistic(counts / num_examples), ddof=1))
