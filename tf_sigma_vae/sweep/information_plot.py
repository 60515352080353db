"""The information picture of a sweep: the rate over beta, split into what is told and mismatch."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tf_sigma_vae.sweep import inflection, plot
from tf_sigma_vae.sweep.inflection import Point
from tf_sigma_vae.sweep.results import Result
from tf_sigma_vae.sweep.tables import About, is_of_top, seeds_of

PANELS = {
    "mutual_information": "What the latent knows of the image: I(x; z)",
    "marginal_kl": "What the prior lacks: marginal KL of the posteriors from the prior",
}
COLORS = {"mutual_information": "C0", "marginal_kl": "C1"}
COLORS_OF_ROWS = ("C2", "C4", "C5", "C6", "C8", "C9")
MARGIN = 0.06
"""Above the highest mark, as a part of the axis."""
CROWDED = 0.02
"""Rows closer than this part of the axis of beta are drawn side by side."""


def figure(about: About, results: Sequence[Result]) -> Figure:
    """The intervals of I(x; z) and of the marginal KL over beta, as means over seeds of their ends.

    Args:
      about: The sweep.
      results: Its runs; those that were not measured for information are passed over.

    Returns:
      A figure of 1600 x 700 pixels: a panel for each quantity, with the rate that bounds it.
    """
    grid, rest = inflection.split(inflection.points(results))
    measured = [result for result in results if result.information is not None]
    drawn = Figure(figsize=plot.SIZE_INCHES, dpi=plot.DOTS_PER_INCH, layout="constrained")
    panels = drawn.subplots(1, 2)
    title = f"{about.config.dataset}: {about.budget}, {seeds_of(results)}"
    if is_of_top(measured):
        title += "; z is the top level of a hierarchy alone, and the rate is that level's"
    drawn.suptitle(title, fontsize=14)
    for axes, name in zip(panels, PANELS, strict=True):
        axes.set_xscale("log")
        axes.set_title(PANELS[name])
        axes.set_xlabel("beta of squared error + beta · rate: given, or learned (2 scale²)")
        axes.set_ylabel(f"nats per {about.split} image")
        axes.grid(alpha=0.3)
        # Limits are set below: matplotlib's own warn at a value that stands alone.
        axes.set_autoscale_on(False)
        if grid or rest:
            _set_limits(axes, [*grid, *rest], name)
        if grid:
            _draw_grid(axes, grid, name)
        _draw_rest(axes, rest, name)
        if name == "mutual_information":
            _draw_ceilings(axes, about, measured)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=10, framealpha=0.9)
    return drawn


def _set_limits(axes: Axes, points: Sequence[Point], name: str) -> None:
    decades = np.log10([point.beta for point in points])
    margin = MARGIN * max(float(np.ptp(decades)), 1.0)
    axes.set_xlim(10.0 ** (decades.min() - margin), 10.0 ** (decades.max() + margin))
    highest = max(max(point.rate, point.intervals[name].highest) for point in points)
    axes.set_ylim(0.0, (1.0 + MARGIN) * max(highest, 1.0))


def _draw_grid(axes: Axes, grid: Sequence[Point], name: str) -> None:
    """The rate, the band between the ends, and at each beta the extremes over seeds."""
    betas = [point.beta for point in grid]
    ends = [point.intervals[name] for point in grid]
    rates = [point.rate for point in grid]
    axes.plot(betas, rates, "o--", color=plot.GRID_COLOR, label="rate, the sum of both")
    axes.fill_between(
        betas,
        [end.lower for end in ends],
        [end.upper for end in ends],
        color=COLORS[name],
        alpha=0.25,
        label=f"{inflection.TITLES[name]} lies in here (95 %)",
    )
    axes.vlines(
        betas,
        [end.lowest for end in ends],
        [end.highest for end in ends],
        color=COLORS[name],
        label="lowest and highest end of the seeds",
    )
    saturated = [point for point in grid if point.saturated]
    end = "lower" if name == "mutual_information" else "upper"
    if saturated:
        axes.plot(
            [point.beta for point in saturated],
            [getattr(point.intervals[name], end) for point in saturated],
            "x",
            color="C3",
            markersize=9,
            label=f"saturated: this {end} end is the estimator's, not the model's",
        )


def _draw_rest(axes: Axes, rest: Sequence[Point], name: str) -> None:
    """The calibrated decoders, at the beta that they learned; aside where they would overlap."""
    taken: list[float] = []
    low, high = np.log10(axes.get_xlim())
    apart = CROWDED * (high - low) / 2.0
    for index, point in enumerate(rest):
        place = math.log10(point.beta)
        while near := [other for other in taken if abs(place - other) < 0.99 * apart]:
            place = max(near) + apart
        taken.append(place)
        ends, color = point.intervals[name], COLORS_OF_ROWS[index % len(COLORS_OF_ROWS)]
        style: dict[str, Any] = {"color": color, "capsize": 5, "linewidth": 2, "zorder": 3}
        middle = (ends.lower + ends.upper) / 2.0
        axes.errorbar(
            [10.0**place],
            [middle],
            yerr=[[middle - ends.lower], [ends.upper - middle]],
            fmt="none",
            label=f"{point.row.name} (beta_equivalent {point.beta:.3g})",
            **style,
        )
        marker = plot.MARKERS[index % len(plot.MARKERS)]
        label = "rate of a calibrated decoder" if index == 0 else None
        axes.plot(
            [10.0**place], [point.rate], marker, color=color, markeredgecolor="black", label=label
        )


def _draw_ceilings(axes: Axes, about: About, measured: Sequence[Result]) -> None:
    """Log S, which the estimator cannot exceed, and log N, which I(x; z) of the training cannot."""
    records = [run.information for run in measured if run.information is not None]
    sizes = {record["protocol"]["num_examples"] for record in records}
    for size in sorted(sizes):
        label = f"log S = {math.log(size):.3g}: ceiling of the lower end (S = {size:,} images)"
        axes.axhline(math.log(size), color="C3", linestyle=":", label=label)
    if about.num_train:
        label = (
            f"log N = {math.log(about.num_train):.3g}: naming one of the N = {about.num_train:,} "
            "training images"
        )
        axes.axhline(math.log(about.num_train), color="0.2", linestyle="-.", label=label)
