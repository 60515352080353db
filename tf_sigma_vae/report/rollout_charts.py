"""The charts of rollouts: quality, rate, distortion and calibration over the future step."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tf_sigma_vae.report import charts, figures
from tf_sigma_vae.report.content import Run

Shown = Sequence[tuple[int, Run]]
Line = tuple[str, charts.Style, Run, dict]
"""Label, style, run and curve."""
"""Runs with the measure, and their indices among all."""

KINDS = {
    "best": "best of N",
    "mean": "mean of N",
    "mean_rollout": "mean rollout",
    "posterior": "posterior",
    "rollout": "rollout",
    "copy": "copy",
}
"""What a curve is of, and its name in print."""
BASELINE = "copy"
"""Of no model: the last given frame, repeated."""

QUANTITIES = {
    "psnr": ("PSNR", "dB, larger is better"),
    "ssim": ("SSIM", "larger is better"),
    "elbo": ("elbo", "nats per frame, larger is better"),
    "rate": ("rate", "nats per frame"),
    "distortion": ("distortion", "nats per frame"),
    "coverage_90": ("90 % coverage", "share inside the 90 % interval"),
    "variance_ratio": ("variance ratio", "residual over predicted variance"),
}
"""Their names in print and their axes."""
WANTED = {"coverage_90": 0.9, "variance_ratio": 1.0}
"""Of a calibrated decoder."""
OWN_UNITS = ("elbo", "distortion")
"""Those that mean another thing under a density, a mass, and what is neither."""

_BASELINE_STYLE = charts.Style(charts.GRAY, (0, (4, 2)), "x")


def all_charts(shown: Shown) -> list[charts.Chart]:
    """Of one run, a chart of each quantity; of several, one of each kind of it."""
    found = []
    for quantity in QUANTITIES:
        kinds = [k for k in KINDS if any(curve(run, quantity, k) is not None for _, run in shown)]
        if len(shown) == 1 and kinds:
            found.append(_of_one_run(*shown[0], quantity, kinds))
            continue
        for kind in kinds:
            if kind != BASELINE:
                found += _of_runs(shown, quantity, kind)
    return found


def curve(run: Run, quantity: str, kind: str) -> dict | None:
    """A curve of the record of a run; None where it is not there."""
    return run.measure_named("rollouts").get("curves", {}).get(quantity, {}).get(kind)


def _of_one_run(index: int, run: Run, quantity: str, kinds: Sequence[str]) -> charts.Chart:
    """The kinds of a quantity, a color each."""
    lines = []
    for place, kind in enumerate(kinds):
        look = _BASELINE_STYLE if kind == BASELINE else charts.style(place)
        found = curve(run, quantity, kind)
        if found is not None:
            lines.append((KINDS[kind], look, run, found))
    name, _ = QUANTITIES[quantity]
    return _chart(lines, quantity, f"{name}, {charts.shortened(run.name)}")


def _of_runs(shown: Shown, quantity: str, kind: str) -> list[charts.Chart]:
    """One kind of a quantity, the runs in their colors; apart where they do not compare."""
    groups: Sequence[Sequence[int]] = [range(len(shown))]
    if quantity in OWN_UNITS:
        groups = list(figures.by_measure([run for _, run in shown]).values())
    found = []
    for group in groups:
        members = [shown[place] for place in group]
        lines = [
            (run.name, charts.style(i), run, line)
            for i, run in members
            if (line := curve(run, quantity, kind)) is not None
        ]
        if not lines:
            continue
        first = lines[0][2]
        copied = curve(first, quantity, BASELINE)
        if copied is not None:
            lines.append((KINDS[BASELINE], _BASELINE_STYLE, first, copied))
        what = "" if len(groups) == 1 else f", {figures.MEASURE_NAMES[first.measure]}"
        title = f"{QUANTITIES[quantity][0]}: {KINDS[kind]}{what}"
        found.append(_chart(lines, quantity, title))
    return found


def _chart(lines: Sequence[Line], quantity: str, title: str) -> charts.Chart:
    """Lines over the future step with their intervals.

    Args:
      lines: Label, style, run and curve of each.
      quantity: One of `QUANTITIES`.
      title: Of the chart.
    """
    trained = {trained_steps(run) for _, _, run, _ in lines}
    last = trained.pop() if len(trained) == 1 else None
    end = max(max(run.measures["rollouts"]["steps"]) for _, _, run, _ in lines)

    def plot(axes: Axes) -> None:
        ends = []
        if quantity in WANTED:
            charts.reference_line(axes, WANTED[quantity])
        if last is not None and last < end:
            charts.reference_line(axes, last, vertical=True)
        for label, look, run, line in lines:
            steps, values = run.measures["rollouts"]["steps"], _numbers(line["value"])
            axes.plot(steps, values, color=look.color, linestyle=look.line)
            low, high = _interval(line)
            axes.fill_between(steps, low, high, color=look.color, alpha=0.15, linewidth=0)
            ends.append((values[-1], label, look))
        if quantity == "variance_ratio":
            charts.logarithmic(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("future step")
        axes.set_ylabel(QUANTITIES[quantity][1])
        charts.label_ends(axes, [end for end in ends if np.isfinite(end[0])])

    texts = [f"{label} {_ends(line)}" for label, _, _, line in lines]
    alt = f"{title} over the future step, first to last: {'; '.join(texts)}."
    caption = _caption(texts, quantity, last if last is None or last < end else None)
    return charts.draw(plot, title, alt, caption, [line[0] for line in lines])


def trained_steps(run: Run) -> int | None:
    """Steps that a clip of the training had after its context; None where it is not known."""
    given = run.measure_named("rollouts").get("protocol", {}).get("context_frames")
    frames = run.config.get("train_frames")
    return None if given is None or frames is None else frames - given


def _caption(texts: Sequence[str], quantity: str, last: int | None) -> str:
    """First and last values, and what the broken lines are.

    Args:
      texts: Of each line.
      quantity: One of `QUANTITIES`.
      last: The last step of the training, if there is a line at it.
    """
    caption = f"First step to last: {'; '.join(texts)}."
    if quantity in WANTED:
        caption += f" Dashed: calibrated, {WANTED[quantity]:g}."
    return caption if last is None else f"{caption} Vertical line: the last step of training."


def _ends(line: dict) -> str:
    """The first and the last value of a curve."""
    values = line["value"]
    return " to ".join(
        figures.ABSENT if value is None else f"{value:.4g}" for value in (values[0], values[-1])
    )


def _numbers(values: Iterable) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _interval(line: dict) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the intervals of a curve: its own, or those of normal errors."""
    if "low" in line:
        return _numbers(line["low"]), _numbers(line["high"])
    values = _numbers(line["value"])
    errors = _numbers(line.get("standard_error") or np.zeros(len(values)))
    return values - charts.INTERVAL_ERRORS * errors, values + charts.INTERVAL_ERRORS * errors
