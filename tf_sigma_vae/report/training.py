"""The training curves, and how the variance converged (Rybkin et al. 2021, Fig. 9)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tf_sigma_vae.report import charts, elements, figures, levels
from tf_sigma_vae.report.content import Content, Run

CURVES = {
    "elbo": "elbo (nats per {example})",
    "elbo_per_frame": "elbo (nats per predicted frame)",
    "distortion": "distortion (nats per {example})",
    "rate": "rate (nats per {example})",
    "bits_per_dim": "bits/dim (density)",
}
"""Metrics of the training that are drawn, and their axes."""

OWN_UNITS = ("elbo", "elbo_per_frame", "distortion")
"""Those that mean another thing under a density, a mass, and what is neither."""

TOLERANCE = 0.05
"""In log_scale: 5 % of the scale, within which it counts as arrived."""

LAST_SHARE = 0.1
DRIFT = 0.01
"""In log_scale: 1 % of the scale, by which it may change over the last share of the steps."""

NOT_CONVERGED = "not converged"

_SPLITS = ("train", "validation")

STANDSTILL = 1e-3
"""In log_scale: less is the rounding of a scale that is fixed."""

HOW_TO_READ = (
    "Lines: means over the training {examples} since the last line of metrics.jsonl. Markers: the "
    "validation {examples}, after each epoch. Larger is better for the elbo, smaller for the rest "
    "but the rate, which is neither."
)
HOW_TO_READ_SCALE = (
    "The standard deviation of the decoder over training steps, in data units (images in [0, 1]), "
    "on a logarithmic axis. A line that is level has converged; how soon it is level is what tells "
    "a learned scale from a computed one. The diamond is the scale stored with the model."
)


def section(content: Content) -> elements.Html:
    """The curves of all runs."""
    drawn, runs = [], content.runs
    for metric, axis in CURVES.items():
        groups: Mapping[str | None, Sequence[int]] = {None: range(len(runs))}
        if metric in OWN_UNITS:
            groups = figures.by_measure(runs)
        for measure, indices in groups.items():
            kind = f", {figures.MEASURE_NAMES[measure]}" if len(groups) > 1 else ""
            axis = axis.format(example="clip" if content.of_videos else "image")
            drawn.append(_curves(runs, indices, metric, axis, f"{metric}{kind}"))
    drawn += map(levels.curves, runs)
    return elements.section(
        "training",
        "Training",
        HOW_TO_READ.format(examples="clips" if content.of_videos else "images"),
        elements.charts(drawn) or elements.notice("No run has a metrics.jsonl."),
    )


def convergence(content: Content) -> elements.Html | None:
    """The scale over steps; None if no run has one."""
    chart = _scales(content.runs)
    if chart is None:
        return None
    equivalent = _curves(
        content.runs,
        range(len(content.runs)),
        "beta_equivalent",
        "beta_equivalent (data², log axis)",
        "beta_equivalent",
        log=True,
    )
    return elements.section(
        "convergence",
        "Convergence of the variance",
        HOW_TO_READ_SCALE,
        elements.charts([chart, equivalent]),
        _arrivals(content.runs),
        elements.note(
            "beta_equivalent = 2 scale² beta: the beta of squared error + beta · rate with the "
            "same optimum. The scale of a per-pixel decoder is its geometric mean. Not converged: "
            f"it changed by more than {DRIFT:.0%} over the last tenth of the steps."
        ),
    )


def _curves(
    runs: Sequence[Run],
    indices: Sequence[int],
    metric: str,
    axis: str,
    title: str,
    log: bool = False,
) -> charts.Chart | None:
    shown = [i for i in indices if any(runs[i].series(s, metric)[0] for s in _SPLITS)]
    if not shown:
        return None

    def plot(axes: Axes) -> None:
        ends = []
        for index in shown:
            look = charts.style(index)
            steps, values = runs[index].series("train", metric)
            axes.plot(steps, values, color=look.color, linestyle=look.line)
            checked = runs[index].series("validation", metric)
            axes.plot(*checked, color=look.color, marker=look.marker, linestyle="none")
            ends.append(((checked[1] or values)[-1], runs[index].name, look))
        axes.set_xlabel("training step")
        axes.set_ylabel(axis)
        if log:
            charts.logarithmic(axes)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        charts.label_ends(axes, ends)

    lasts = [f"{runs[i].name} {_last(runs[i], metric):.5g}" for i in shown]
    alt = f"{axis} over training steps. Last values: {', '.join(lasts)}."
    return charts.draw(
        plot, title, alt, f"Last: {', '.join(lasts)}.", [runs[i].name for i in shown]
    )


def _last(run: Run, metric: str) -> float:
    return (run.series("validation", metric)[1] or run.series("train", metric)[1])[-1]


def _scales(runs: Sequence[Run]) -> charts.Chart | None:
    shown = [i for i, run in enumerate(runs) if run.series("train", "log_scale")[0]]
    if not shown:
        return None

    def plot(axes: Axes) -> None:
        ends = []
        for index in shown:
            look, run = charts.style(index), runs[index]
            steps, values = run.series("train", "log_scale")
            scales = [math.exp(value) for value in values]
            axes.plot(
                steps, scales, color=look.color, linestyle=look.line, marker=".", markersize=3.5
            )
            stored = figures.metric_of("evaluation", "log_scale")(run)
            if stored is not None:
                scales.append(math.exp(stored["value"]))
                axes.plot(steps[-1], scales[-1], color=look.color, marker="D", markersize=5.5)
            ends.append((scales[-1], run.name, look))
        axes.set_xlabel("training step")
        axes.set_ylabel("scale (data unit, log axis)")
        charts.logarithmic(axes)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        charts.label_ends(axes, ends)

    lasts = [
        f"{runs[i].name} {math.exp(runs[i].series('train', 'log_scale')[1][-1]):.4g}" for i in shown
    ]
    caption = f"Last scale in training: {', '.join(lasts)}."
    alt = f"Standard deviation of the decoder over training steps. {caption}"
    return charts.draw(plot, "scale", alt, caption, [runs[i].name for i in shown])


def drift(steps: Sequence[int], values: Sequence[float]) -> float:
    """By how much a series changed over the last tenth of its steps, between its points a line."""
    return abs(values[-1] - float(np.interp((1.0 - LAST_SHARE) * steps[-1], steps, values)))


def _arrivals(runs: Sequence[Run]) -> elements.Html:
    """When each scale was where it stayed."""
    rows = []
    for run in runs:
        steps, values = run.series("train", "log_scale")
        if not steps:
            continue
        away = [i for i, value in enumerate(values) if abs(value - values[-1]) > TOLERANCE]
        arrived = f"{steps[away[-1] + 1] if away else steps[0]:,}"
        if drift(steps, values) > DRIFT:
            arrived = NOT_CONVERGED
        stored = figures.metric_of("evaluation", "log_scale")(run)
        moved = max(values) - min(values) > STANDSTILL
        rows.append(
            [
                run.name,
                f"{math.exp(values[0]):.4g}",
                f"{math.exp(values[-1]):.4g}",
                figures.ABSENT if stored is None else f"{math.exp(stored['value']):.4g}",
                arrived if moved else "fixed",
            ]
        )
    heading = ["run", "first logged", "last logged", "stored", "within 5 % of the last from step"]
    return elements.table("The scale (standard deviation, data unit)", heading, rows)
