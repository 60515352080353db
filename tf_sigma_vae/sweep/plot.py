"""The rate-distortion picture of a sweep: where the calibrated decoders lie on the curve of beta.

On the left the distortion is the squared error of the mean image, and not nats: distortions in
nats under different scales are different functions of the error, hence no common axis.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from tf_sigma_vae.sweep.results import Result, Summary, summaries
from tf_sigma_vae.sweep.tables import About, seeds_of
from tf_sigma_vae.workdir import atomic_file

SIZE_INCHES, DOTS_PER_INCH = (16.0, 7.0), 100
MARKERS = "sDv^P*Xhp<>dH8"
GRID_COLOR = "0.35"
SHARED_LABEL_PIXELS = 45.0
"""Points closer than this share a label."""
LABEL_PIXELS = (90.0, 40.0)
"""Room that a label takes beside its point."""
LETTER_PIXELS = 11.0

Point = tuple[float, float, float | None, float | None]
"""x, y and their standard errors."""


def rate_distortion(about: About, results: Sequence[Result]) -> Figure:
    """Squared error against rate, and the bound against beta, as means over seeds.

    Args:
      about: The sweep.
      results: Its evaluated runs.

    Returns:
      A figure of 1600 x 700 pixels: on each panel a curve through the grid and a point for each
      other row that has the figures.
    """
    found = summaries(results)
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(f"{about.config.dataset}: {about.budget}, {seeds_of(results)}", fontsize=14)
    left.set_yscale("log")
    _panel(left, found, "rate", "squared_error", every_row=True)
    for axis_formatter in (left.yaxis.set_major_formatter, left.yaxis.set_minor_formatter):
        axis_formatter(LogFormatter(minor_thresholds=(2.0, 0.5)))
    left.set_xlabel(f"rate (nats per {about.split} image)")
    left.set_ylabel("squared error of the mean image (data², summed)")
    left.set_title("Rate and distortion (not in nats: their unit changes with the scale)")
    right.set_xscale("log")
    _panel(right, found, "beta_equivalent", "nll", every_row=False)
    right.set_xlabel("beta of squared error + beta · rate: given, or learned (2 scale²)")
    right.set_ylabel(f"-elbo (nats per {about.split} image), bound on -log p")
    right.set_title("The bound over beta")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=10, framealpha=0.9)
    # The labels are placed in pixels, which the layout decides.
    figure.draw_without_rendering()
    _label_betas(left, found, "rate", "squared_error")
    _label_betas(right, found, "beta_equivalent", "nll")
    return figure


def save(figure: Figure, path: str) -> None:
    """Writes a PNG file in one move.

    Raises:
      OSError: If it cannot be written; an old file is intact then.
    """
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=DOTS_PER_INCH)


def _point(summary: Summary, x: str, y: str) -> Point | None:
    """Where a row lies; None if it lacks a figure."""
    figures = summary.figures
    if x not in figures or y not in figures:
        return None
    error = figures[x].standard_error if summary.row.beta is None or x == "rate" else None
    return figures[x].value, figures[y].value, error, figures[y].standard_error


def _grid(found: Sequence[Summary], x: str, y: str) -> list[tuple[float, Point]]:
    """The betas of the grid, and where their rows lie."""
    return [
        (summary.row.beta, point)
        for summary in found
        if summary.row.beta is not None and (point := _point(summary, x, y)) is not None
    ]


def _panel(axes: Axes, found: Sequence[Summary], x: str, y: str, every_row: bool) -> None:
    """The curve of the grid and the points of the other rows."""
    # Limits are set below: matplotlib's own warn at a value that stands alone.
    axes.set_autoscale_on(False)
    points = [point for _, point in sorted(_grid(found, x, y), key=lambda each: each[0])]
    if points:
        _draw(axes, points, "beta-VAEs of the grid", "o-", color=GRID_COLOR)
    rest = [s for s in found if s.row.beta is None]
    for index, summary in enumerate(rest):
        point = _point(summary, x, y)
        if point is None or not (every_row or summary.row.has_one_scale):
            continue
        label = summary.row.name
        if summary.row.has_one_scale and "beta_equivalent" in summary.figures:
            label += f" (beta_equivalent {summary.figures['beta_equivalent'].value:.3g})"
        # Later ones are smaller, so that none is hidden.
        size = 13.0 - 6.0 * index / max(len(rest) - 1, 1)
        style = {"color": f"C{index % 10}", "markersize": size, "markeredgecolor": "black"}
        style |= {"alpha": 0.8, "zorder": 3}
        _draw(axes, [point], label, MARKERS[index % len(MARKERS)], **style)
        points.append(point)
    if points:
        # At both sides there must be room for a label.
        ends_x = [end for p in points for end in _bar(p[0], p[2])]
        ends_y = [end for p in points for end in _bar(p[1], p[3])]
        axes.set_xlim(_limits(ends_x, axes.get_xscale(), (0.15, 0.17)))
        axes.set_ylim(_limits(ends_y, axes.get_yscale(), (0.1, 0.1)))


def _bar(value: float, error: float | None) -> list[float]:
    """The ends of an error bar; on a logarithmic axis one that reaches 0 is cut at its value."""
    ends = [value - (error or 0.0), value + (error or 0.0)]
    return ends if value <= 0.0 or ends[0] > 0.0 else [value, ends[1]]


def _limits(
    values: Sequence[float], scale: str, margins: tuple[float, float]
) -> tuple[float, float]:
    """The ends of an axis, with parts of the span of the values as margins."""
    places = np.log10(values) if scale == "log" else np.asarray(values)
    low, high = places.min(), places.max()
    span = high - low
    if span <= 1e-6 * max(abs(low), abs(high)):
        span = max(abs(low), 1.0)
    ends = np.array([low - margins[0] * span, high + margins[1] * span])
    first, last = (10.0**ends if scale == "log" else ends).tolist()
    return first, last


def _draw(axes: Axes, points: Sequence[Point], label: str, form: str, **style: Any) -> None:
    x, y, *errors = zip(*points, strict=True)
    x_errors, y_errors = (None if None in each else np.asarray(each) for each in errors)
    axes.errorbar(x, y, xerr=x_errors, yerr=y_errors, label=label, fmt=form, capsize=3, **style)


def _label_betas(axes: Axes, found: Sequence[Summary], x: str, y: str) -> None:
    """Writes the betas beside the curve; points that lie together share a label."""
    rest = [_point(s, x, y) for s in found if s.row.beta is None]
    others = [axes.transData.transform(point[:2]) for point in rest if point]
    groups: list[tuple[np.ndarray, tuple[float, float], list[str]]] = []
    for beta, point in sorted(_grid(found, x, y), key=lambda each: each[1][0]):
        place = point[:2]
        pixels = axes.transData.transform(place)
        text = f"{beta:.6g}"
        if groups and np.hypot(*(pixels - groups[-1][0])) < SHARED_LABEL_PIXELS:
            groups[-1][2].append(text)
        else:
            groups.append((pixels, place, [text]))
    for index, (pixels, place, texts) in enumerate(groups):
        # On the side of the curve from which it turns away, to the right if that is free.
        text = f"β = {', '.join(texts)}"
        has_room = pixels[0] - axes.bbox.x0 > LETTER_PIXELS * len(text)
        leftwards = has_room and any(_is_under_label(other - pixels) for other in others)
        rises = index + 1 < len(groups) and groups[index + 1][0][1] > pixels[1]
        axes.annotate(
            text,
            place,
            xytext=(-7 if leftwards else 7, -10 if rises else 7),
            ha="right" if leftwards else "left",
            textcoords="offset points",
            va="top" if rises else "bottom",
            fontsize=11,
            color=GRID_COLOR,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 1},
        )


def _is_under_label(offset: np.ndarray) -> bool:
    """Whether a point this far from a labelled one, in pixels, would lie under its label."""
    return 0.0 <= offset[0] < LABEL_PIXELS[0] and abs(offset[1]) < LABEL_PIXELS[1]
