"""How fast the scale of each decoder arrives: its variance over the steps (the paper's Fig. 9)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.table import number
from tf_sigma_vae.sweep import orderings, plot, tables
from tf_sigma_vae.sweep.results import Curve, Result, over_seeds
from tf_sigma_vae.sweep.tables import About, seeds_of
from tf_sigma_vae.training import metrics_log

TOLERANCE = 0.05
"""Part of the final scale within which the scale has arrived."""
FRACTIONS = (0.1, 0.25, 0.5, 1.0)
"""Of the budget, at which the bound is shown."""
STILL = 0.05
"""Part of all its change (in log) that a scale may make in the last tenth and has arrived."""
LEARNED = "gaussian_shared"
"""The row that the paper holds against the reference."""
REFERENCE = "gaussian_optimal"
"""The row whose final scale the others are held against."""
NOTE = (
    "- Of each run's log of its training: means over the steps since the line before, here every "
    "{every} steps. The scale has arrived at the first line from which on it stays within "
    f"{TOLERANCE:.0%}; one that makes more than {STILL:.0%} of its change in the last tenth of the "
    "steps is still moving, and has no final value to arrive at. -elbo: of "
    "the first line at or after the step, of training images under the scale of that time, which "
    "for gaussian_optimal is that of the batch itself. Mean ± standard error over seeds."
)


def read(path: str) -> Curve | None:
    """The training lines of a `metrics.jsonl`; None if there is none with a scale."""
    steps, log_scale, nll = [], [], []
    for line in metrics_log.read(path):
        if line["split"] == "train" and {"log_scale", "elbo"} <= set(line):
            steps.append(int(line["step"]))
            log_scale.append(float(line["log_scale"]))
            nll.append(-float(line["elbo"]))
    return Curve(tuple(steps), tuple(log_scale), tuple(nll)) if steps else None


def arrival(curve: Curve, target: float) -> int | None:
    """The step of the first line from which on the scale stays close to a target; None if never."""
    away = np.flatnonzero(np.abs(np.exp(curve.log_scale) / target - 1.0) > TOLERANCE)
    first = int(away[-1]) + 1 if away.size else 0
    return curve.steps[first] if first < len(curve.steps) else None


def nll_at(curve: Curve, step: float) -> float:
    """-elbo of the first line at or after a step, or of the last."""
    return curve.nll[min(int(np.searchsorted(curve.steps, step)), len(curve.steps) - 1)]


def curves_by_row(results: Sequence[Result]) -> dict[str, list[Curve]]:
    """The curves of each row's seeds, for the rows that have a curve."""
    found: dict[str, list[Curve]] = {}
    for result in results:
        if result.curve is not None:
            found.setdefault(result.row.name, []).append(result.curve)
    return found


def text(about: About, results: Sequence[Result]) -> list[str]:
    """The table of the convergence, as lines of Markdown; nothing without curves."""
    by_row = curves_by_row(results)
    if not by_row:
        return []
    steps = [fraction * about.num_steps for fraction in FRACTIONS]
    heading = ["row", "seeds", "final scale", f"steps to within {TOLERANCE:.0%} of it"]
    target = None
    if REFERENCE in by_row:
        target = float(np.mean([_final(curve) for curve in by_row[REFERENCE]]))
        heading.append(f"to within {TOLERANCE:.0%} of {target:.4g}, that of {REFERENCE}")
    heading += [f"-elbo at step {step:,.0f}" for step in steps]
    lines = ["## Convergence of the scale", "", tables.line(heading)]
    lines.append(tables.line(["---", *["---:"] * (len(heading) - 1)]))
    for name, curves in by_row.items():
        cells = [name, str(len(curves)), _cell([_final(curve) for curve in curves])]
        # Close to the reference for good, a scale has arrived, even if little by little.
        away = [c for c in curves if target is None or arrival(c, target) is None]
        moving = any(is_moving(curve) for curve in away)
        arrivals = [arrival(curve, _final(curve)) for curve in curves]
        cells.append("still moving" if moving else _cell(arrivals))
        if target is not None:
            cells.append(_cell([arrival(curve, target) for curve in curves]))
        cells += [_cell([nll_at(curve, step) for curve in curves]) for step in steps]
        lines.append(tables.line(cells))
    note = NOTE.format(every=about.config.log_every_steps)
    return [*lines, "", *_ordering(about, by_row, target), note]


def is_moving(curve: Curve) -> bool:
    """Whether the scale still changes at the end: its pace there, for a tenth of the steps."""
    if len(curve.steps) < 2:
        return False
    tenth = 0.1 * (curve.steps[-1] - curve.steps[0])
    last = int(np.searchsorted(curve.steps, curve.steps[-1] - tenth))
    last = min(last, len(curve.steps) - 2)
    pace = (curve.log_scale[-1] - curve.log_scale[last]) / (curve.steps[-1] - curve.steps[last])
    return bool(abs(pace * tenth) > STILL * abs(curve.log_scale[-1] - curve.log_scale[0]))


def _ordering(about: About, by_row: dict[str, list[Curve]], target: float | None) -> list[str]:
    """Whether the computed scale arrives before the learned one, as in the paper's Fig. 9."""
    if target is None or LEARNED not in by_row:
        return []
    entries = []
    # The paper's figure has no numbers: 0 before 1.
    for name, paper in ((REFERENCE, 0.0), (LEARNED, 1.0)):
        arrivals = [arrival(curve, target) for curve in by_row[name]]
        # What has not arrived does so after the last step, at the earliest.
        steps = tuple(about.num_steps + 1.0 if step is None else float(step) for step in arrivals)
        entries.append(orderings.Entry(name, paper, steps))
    (cell, _) = orderings.cells(entries)
    return [
        f"- The paper's Fig. 9: the scale of {REFERENCE} arrives before that of {LEARNED}. "
        f"ordering holds? {cell}. A seed that does not arrive counts as arriving after the last "
        "step."
    ]


def figure(about: About, results: Sequence[Result]) -> Figure:
    """The variance over the steps, a line for each row: mean and range over seeds.

    Args:
      about: The sweep.
      results: Its runs; those without a curve are passed over.

    Returns:
      A figure of 1600 x 700 pixels: all of the training, and its beginning over a log axis.
    """
    drawn = Figure(figsize=plot.SIZE_INCHES, dpi=plot.DOTS_PER_INCH, layout="constrained")
    drawn.suptitle(f"{about.config.dataset}: {about.budget}, {seeds_of(results)}", fontsize=14)
    whole, beginning = drawn.subplots(1, 2, sharey=True)
    whole.xaxis.set_major_locator(MaxNLocator(integer=True))
    beginning.set_xscale("log")
    for axes, title in ((whole, "Variance over the steps"), (beginning, "The same, log axis")):
        axes.set_yscale("log")
        for index, (name, curves) in enumerate(curves_by_row(results).items()):
            _draw(axes, curves, name, f"C{index % 10}")
        for axis in (axes.yaxis, beginning.xaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        axes.set_title(title)
        axes.set_xlabel(f"step (of {about.config.global_batch_size} images)")
        axes.grid(alpha=0.3, which="both")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=11)
    whole.set_ylabel("variance s² of the decoder (data²); beta_equivalent is twice it")
    return drawn


def _draw(axes: Axes, curves: Sequence[Curve], name: str, color: str) -> None:
    """The mean over seeds and, behind it, their range, at the steps that all have."""
    shared = sorted(set.intersection(*(set(curve.steps) for curve in curves)))
    if not shared:
        return
    variances = []
    for curve in curves:
        variance = dict(zip(curve.steps, np.exp(2.0 * np.array(curve.log_scale)), strict=True))
        variances.append([variance[step] for step in shared])
    axes.fill_between(
        shared, np.min(variances, axis=0), np.max(variances, axis=0), color=color, alpha=0.2
    )
    # A line of one point would not be seen.
    form = "-" if len(shared) > 1 else "o"
    axes.plot(shared, np.mean(variances, axis=0), form, color=color, label=name)


def _final(curve: Curve) -> float:
    """The scale of the last line."""
    return float(np.exp(curve.log_scale[-1]))


def _cell(values: Sequence[float | None]) -> str:
    """Mean and standard error over seeds, or in how many of them there is no value."""
    known = [value for value in values if value is not None]
    missing = len(values) - len(known)
    if missing:
        return "not reached" + (f" by {missing} of {len(values)} seeds" if len(values) > 1 else "")
    found = over_seeds(known)
    return number(Estimate(found.value, found.standard_error or 0.0, ""))
