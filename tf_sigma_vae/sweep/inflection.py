"""The information of a sweep's rows over beta, and what it says of the calibrated decoders."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_sigma_vae.sweep import knee, studies, tables
from tf_sigma_vae.sweep.results import INTERVALS, Result

ENDS = ("lower", "upper")
TITLES = {"mutual_information": "I(x; z)", "marginal_kl": "marginal KL"}
RISES = {"mutual_information": False, "marginal_kl": True}
"""Whether the knee is where a quantity starts to rise as beta falls, or where it levels off."""

INTRODUCTION = (
    "Does the calibrated decoder sit at the inflection? Defined here as the knee: the beta of the "
    "grid at which the slope over log10(beta) changes most as beta falls, upwards for the marginal "
    "KL (it starts to rise), downwards for I(x; z) (it levels off). A grid tells no more than that "
    "the knee lies between the neighbours of that beta; this one has {} betas over {:.2g} decades. "
    "The quantities are known as intervals, of which both ends have a knee:"
)


class Ends(NamedTuple):
    """An interval over the seeds of a row, nats."""

    lower: float
    """Mean of the lower ends."""
    upper: float
    """Mean of the upper ends."""
    lowest: float
    """Smallest lower end."""
    highest: float
    """Largest upper end."""


class Point(NamedTuple):
    """A row that was measured for information."""

    row: studies.Row
    beta: float
    """Of the grid, or the mean of the learned `beta_equivalent`."""
    rate: float
    """Mean, nats, of the images that the information was measured on."""
    intervals: dict[str, Ends]
    """By the names of `INTERVALS`."""
    saturated: bool
    """Whether the estimate of a seed is."""


def points(results: Sequence[Result]) -> list[Point]:
    """The rows with one scale for all pixels, and so with a place on the axis of beta.

    Args:
      results: Of a sweep; those that were not measured for information are passed over.
    """
    by_row: dict[str, list[Result]] = {}
    for result in results:
        has_place = "beta_equivalent" in result.evaluation.metrics
        if result.information is not None and has_place and result.row.has_one_scale:
            by_row.setdefault(result.row.name, []).append(result)
    return [_point(runs) for runs in by_row.values()]


def _point(runs: Sequence[Result]) -> Point:
    row = runs[0].row
    learned = np.mean([run.evaluation.metrics["beta_equivalent"].value for run in runs])
    records = [run.information for run in runs if run.information is not None]
    intervals = {}
    for name in INTERVALS:
        lower, upper = ([record[name][end] for record in records] for end in ENDS)
        intervals[name] = Ends(
            float(np.mean(lower)), float(np.mean(upper)), float(min(lower)), float(max(upper))
        )
    return Point(
        row,
        float(learned) if row.beta is None else row.beta,
        float(np.mean([record["rate"]["value"] for record in records])),
        intervals,
        any(record["saturated"] for record in records),
    )


def split(found: Sequence[Point]) -> tuple[list[Point], list[Point]]:
    """The grid in the order of beta, and the other rows."""
    grid = [point for point in found if point.row.beta is not None]
    rest = [point for point in found if point.row.beta is None]
    return sorted(grid, key=lambda point: point.beta), rest


def text(results: Sequence[Result]) -> list[str]:
    """Where the calibrated decoders lie, as lines of Markdown.

    Args:
      results: Of a sweep.

    Returns:
      Nothing if there is no grid with a bend, or no calibrated decoder, measured for information.
    """
    grid, rest = split(points(results))
    # A scale that is given is not a decoder's own choice of beta.
    rest = [point for point in rest if point.row.likelihood != studies.GRID_LIKELIHOOD]
    if len(grid) < knee.FEWEST_BETAS or not rest:
        return []
    betas = [point.beta for point in grid]
    names = [f"{point.row.name} (beta_equivalent {point.beta:.3g})" for point in rest]
    heading = ["curve", "knee at beta", "so it lies in", "change of slope (nats a decade)", *names]
    rule = ["---", *["---:"] * (len(heading) - 1)]
    decades = math.log10(betas[-1] / betas[0])
    lines = ["## The inflection", "", INTRODUCTION.format(len(betas), decades), ""]
    lines += [tables.line(heading), tables.line(rule)]
    for name in INTERVALS:
        for end in ENDS:
            curve = [getattr(point.intervals[name], end) for point in grid]
            found = knee.knee(betas, curve, RISES[name])
            cells = [f"{TITLES[name]}, {end} end", f"{found.beta:g}", _range(found.bracket)]
            cells += [f"{found.bend:+.3g}", *(_place(p.beta, found.bracket) for p in rest)]
            lines.append(tables.line(cells))
    lines += ["", *(_answer(name, grid, rest) for name in INTERVALS)]
    if any(point.saturated for point in grid):
        lines.append(
            "- Where the estimate is saturated the lower end of I(x; z) is that of the estimator, "
            "log S, and its knee with it."
        )
    return lines


def _answer(name: str, grid: Sequence[Point], rest: Sequence[Point]) -> str:
    """A sentence: where the knee may be, and whether each calibrated decoder is there."""
    betas = [point.beta for point in grid]
    # Of any seed, so that the spread over seeds counts.
    lowest = [point.intervals[name].lowest for point in grid]
    highest = [point.intervals[name].highest for point in grid]
    found = knee.possible_knees(betas, lowest, highest, RISES[name])
    possible = ", ".join(f"{each.beta:g}" for each in found)
    whole = knee.Bracket(found[0].bracket.low, found[-1].bracket.high)
    verdicts = []
    for point in rest:
        inside = [each.bracket.holds(point.beta) for each in found]
        verdict = "yes" if all(inside) else "undecided" if any(inside) else "no"
        verdicts.append(f"{point.row.name} {verdict}")
    any_point = " (any point: the intervals do not tell)" if len(found) == len(betas) - 2 else ""
    return (
        f"- {TITLES[name]}: a curve within the intervals of all seeds may have its knee at beta = "
        f"{possible}{any_point}, hence in {_range(whole)}. There (for all of these knees, not just "
        f"for some)? {', '.join(verdicts)}."
    )


def _range(bracket: knee.Bracket) -> str:
    return f"{bracket.low:g} to {bracket.high:g}"


def _place(beta: float, bracket: knee.Bracket) -> str:
    if bracket.holds(beta):
        return "inside"
    return "below" if beta < bracket.low else "above"
