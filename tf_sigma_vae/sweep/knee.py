"""Where the information in the latent bends over beta, and whether a calibrated decoder lies there.

As beta falls, the latent is told more and more of the image; first I(x; z) rises, and from some
point the mismatch KL(m, p) as well. Defined so that a program can tell:

* a curve over `log10(beta)` bends at a point of the grid by the change of its slope there, the
  slope towards smaller beta less the slope towards larger beta, in nats a decade;
* the knee of the marginal KL, where it starts to rise, is the point where that is largest; the knee
  of I(x; z), where it levels off, is the point where it is smallest;
* a knee at a point of the grid is known to lie between the two neighbours of the point, no closer.

The quantities are known as intervals. A point is a possible knee if a curve within the intervals
bends there as much as, at least, every other point must; where all points are possible the
intervals say nothing.

Source: Rybkin et al. 2021, Sec. 5.2 and Fig. 4, which speak of an inflection and do not define it.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEWEST_BETAS = 3
"""With fewer there is no bend."""


class Bracket(NamedTuple):
    """A stretch of the axis of beta."""

    low: float
    high: float

    def holds(self, beta: float) -> bool:
        """Whether a beta lies in it."""
        return self.low <= beta <= self.high


class Knee(NamedTuple):
    """Where a curve bends most."""

    beta: float
    """A point of the grid, not one of its ends."""
    bracket: Bracket
    """Its neighbours."""
    bend: float
    """Change of the slope there, nats a decade."""


def bends(betas: Sequence[float], curve: Sequence[float]) -> np.ndarray:
    """Change of slope at each point but the two ends, nats a decade, towards smaller beta.

    Args:
      betas: `[n]`, ascending.
      curve: `[n]`, nats.
    """
    return _weights(betas) @ np.asarray(curve, np.float64)


def knee(betas: Sequence[float], curve: Sequence[float], rises: bool) -> Knee:
    """The knee of a curve.

    Args:
      betas: `[n]`, ascending, n at least `FEWEST_BETAS`.
      curve: `[n]`, nats.
      rises: Whether it is that of a curve that starts to rise as beta falls, or levels off.
    """
    found = bends(betas, curve)
    index = int(np.argmax(found if rises else -found))
    return Knee(betas[index + 1], Bracket(betas[index], betas[index + 2]), float(found[index]))


def possible_knees(
    betas: Sequence[float], lower: Sequence[float], upper: Sequence[float], rises: bool
) -> list[Knee]:
    """The points where a curve between two others may have its knee, with its largest bend there.

    Args:
      betas: `[n]`, ascending, n at least `FEWEST_BETAS`.
      lower: `[n]`, nats, below the curve.
      upper: `[n]`, above it.
      rises: See `knee`.
    """
    weights = _weights(betas) if rises else -_weights(betas)
    low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    positive, negative = np.maximum(weights, 0.0), np.minimum(weights, 0.0)
    most = positive @ high + negative @ low
    least = positive @ low + negative @ high
    return [
        Knee(betas[i + 1], Bracket(betas[i], betas[i + 2]), float(most[i] if rises else -most[i]))
        for i in range(len(most))
        if most[i] >= least.max()
    ]


def _weights(betas: Sequence[float]) -> np.ndarray:
    """The bends as a linear map of the curve, `[n - 2, n]`."""
    if len(betas) < FEWEST_BETAS:
        raise ValueError(f"a bend takes {FEWEST_BETAS} betas, got {len(betas)}")
    steps = np.diff(np.log10(betas))
    weights = np.zeros((len(betas) - 2, len(betas)))
    for i, (left, right) in enumerate(itertools.pairwise(steps)):
        weights[i, i : i + 3] = 1.0 / left, -1.0 / left - 1.0 / right, 1.0 / right
    return weights
