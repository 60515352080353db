"""The information figure: the rate, and the intervals of the parts that it splits into."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from tf_sigma_vae.evaluation.information import SATURATION_SHARE
from tf_sigma_vae.report import charts, elements, figures
from tf_sigma_vae.report.content import Content, Run

HOW_TO_READ = (
    "rate = I(x; z) + KL(m, p): what the latent says of the image, and the mismatch of the "
    "aggregate posterior m and the prior p. Neither part has an unbiased estimate, so each is an "
    "interval that holds the truth with a probability of at least {confidence:.0%}; a wide one "
    "means that S examples do not tell, not that the model is bad. No more than log N nats are "
    "needed to tell N training images apart."
)
INTERVALS = {
    "mutual_information": "I(x; z)",
    "marginal_kl": "KL(m, p)",
    "total_correlation": "total correlation of m",
    "dimension_kl": "sum of KL(m_l, p_l)",
}
"""Intervals of the record, and their names in print."""

FARTHEST_LINE = 1.5
"""Times the right end of the bars: log S and log N that are farther are not drawn."""

ROW_INCHES = 0.62
"""Of height, of a run in the figure."""
SATURATED_NOTE = (
    f"{figures.SATURATED} saturated: own_share is above {SATURATION_SHARE}, so the lower end of "
    "I(x; z) is held down by log S; more examples would raise it."
)


TOP_NOTE = (
    "Of {names}, z is the top level z_0 of a hierarchy alone: I(x; z_0) and KL(m(z_0), p(z_0)), "
    "which sum to the rate of that level and not to that of all levels. What the levels below know "
    "is not in these figures: their posteriors are not one Gaussian for each image."
)
LATENTS = {"whole": "whole", "top": "top level"}
"""What z is, by the protocol of a record."""


def section(content: Content) -> elements.Html | None:
    """The figure and the table; None if no run has the measure."""
    shown = [(i, run) for i, run in enumerate(content.runs) if "information" in run.measures]
    if not shown:
        return None
    protocol = shown[0][1].measures["information"]["protocol"]
    runs = [run for _, run in shown]
    return elements.section(
        "information",
        "Information in the latent",
        HOW_TO_READ.format(confidence=protocol.get("confidence", 0.95)),
        elements.charts([_intervals(shown, content.num_train), _dimensions(shown)]),
        elements.table("Information, nats per image", _heading(runs), _rows(runs)),
        *map(elements.note, notes(runs)),
    )


def notes(runs: Sequence[Run]) -> list[str]:
    """What is to be known of the figures: which are saturated, and which of the top level alone."""
    tops = [run.name for run in runs if _latent(run) == "top"]
    found = [TOP_NOTE.format(names=figures.listed(tops))] if tops else []
    if any(run.measure_named("information").get("saturated") for run in runs):
        found.append(SATURATED_NOTE)
    return found


def _latent(run: Run) -> str:
    """What z is in the record of a run; see `LATENTS`."""
    return run.measure_named("information").get("protocol", {}).get("latent", "whole")


def headline_rows(runs: Sequence[Run]) -> list[list]:
    """The rows of the first table: the two intervals of the rate's parts."""
    if not any("information" in run.measures for run in runs):
        return []
    return _interval_rows(runs, ("mutual_information", "marginal_kl"))


def _heading(runs: Sequence[Run]) -> list[str]:
    return ["quantity", *(run.name for run in runs)]


def _interval_rows(runs: Sequence[Run], names: Iterable[str]) -> list[list]:
    rows = []
    for name in names:
        cells = []
        for run in runs:
            found = run.measure_named("information")
            saturated = name == "mutual_information" and found.get("saturated", False)
            cells.append(figures.interval_cell(found.get(name), saturated))
        rows.append([elements.with_unit(INTERVALS[name], "nats"), *cells])
    return rows


def _rows(runs: Sequence[Run]) -> list[list]:
    records = [run.measures["information"] for run in runs]
    rate = (figures.cell(record["rate"]) for record in records)
    latents, rows = [_latent(run) for run in runs], []
    has_tops = "top" in latents
    if has_tops:
        rows.append(["latent z", *(LATENTS[latent] for latent in latents)])
    # Not the one of the first table, which is of all levels.
    rows.append([elements.with_unit("rate of z" if has_tops else "rate", "nats"), *rate])
    rows += _interval_rows(runs, INTERVALS)
    for name in ("active_units", "own_share"):
        unit = records[0].get(name, {}).get("unit", "")
        cells = (figures.cell(record.get(name)) for record in records)
        rows.append([elements.with_unit(name, unit), *cells])
    examples = [record["protocol"].get("num_examples") for record in records]
    rows.append(["examples S", *(f"{number:,}" if number else "-" for number in examples)])
    return rows


def _intervals(shown: Sequence[tuple[int, Run]], num_train: int) -> charts.Chart:
    """The rate and both intervals of every run, with log S and log N."""
    records = [run.measures["information"] for _, run in shown]
    sizes = {run.measures["information"]["protocol"].get("num_examples") for _, run in shown}
    ceilings = [(f"log S = {math.log(size):.2f}", math.log(size)) for size in sizes if size]
    if num_train:
        ceilings.append((f"log N = {math.log(num_train):.2f}", math.log(num_train)))
    ceilings.sort(key=lambda each: each[1])
    # The bars have the axis; a line far beyond them would leave them no width.
    largest = max(map(_right_end, records))
    drawn = [each for each in ceilings if each[1] <= FARTHEST_LINE * largest]
    beyond = [text for text, value in ceilings if value > FARTHEST_LINE * largest]
    # The last of several bears its label to its right.
    ends = [1.05 * largest, *((1.3 if len(drawn) > 1 else 1.05) * value for _, value in drawn[-1:])]
    right = max(ends) or 1.0

    def plot(axes: Axes) -> None:
        for place, (index, run) in enumerate(shown):
            _draw_run(axes, place, charts.style(index), run.measures["information"])
        axes.set_yticks(range(len(shown)), [charts.shortened(run.name) for _, run in shown])
        axes.set_ylim(len(shown) - 0.5, -0.8)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("nats per image")
        axes.set_xlim(0.0, right)
        for rank, (text, value) in enumerate(drawn):
            charts.reference_line(axes, value, vertical=True)
            # On the side where the other line and the edge are not.
            before = value > right / 2.0 if len(drawn) < 2 else rank == 0
            axes.annotate(
                text,
                (value, 1.0),
                (-3 if before else 3, -1),
                textcoords="offset points",
                xycoords=("data", "axes fraction"),
                ha="right" if before else "left",
                va="top",
                fontsize=8,
            )

    texts = []
    for (_, run), found in zip(shown, records, strict=True):
        parts = (f"{INTERVALS[n]} {figures.interval_cell(found[n])}" for n in list(INTERVALS)[:2])
        texts.append(f"{run.name}: rate {found['rate']['value']:.4g}, {', '.join(parts)}")
    alt = f"Rate, and intervals of its two parts, nats. {'; '.join(texts)}."
    caption = (
        "Of each run, from above: the rate (marker), the interval of I(x; z) (filled), the "
        "interval of KL(m, p) (open)."
    )
    if drawn:
        caption += f" Dashed: {figures.listed(text for text, _ in drawn)} nats."
    if beyond:
        caption += f" Beyond the axis: {figures.listed(beyond)} nats."
    size = (charts.PANEL[0], max(charts.PANEL[1], 1.1 + ROW_INCHES * len(shown)))
    names = [run.name for _, run in shown]
    return charts.draw(plot, "rate and its parts", alt, caption, size=size, left_labels=names)


def _right_end(found: dict) -> float:
    """Of all that is drawn of a record."""
    rate = found["rate"]
    ends = [found[name]["upper"] for name in ("mutual_information", "marginal_kl")]
    return max(rate["value"] + charts.INTERVAL_ERRORS * rate["standard_error"], *ends)


def _draw_run(axes: Axes, place: int, look: charts.Style, found: dict) -> None:
    rate = found["rate"]
    error = charts.INTERVAL_ERRORS * rate["standard_error"]
    axes.errorbar(
        rate["value"], place - 0.27, xerr=error, color=look.color, marker=look.marker, capsize=2
    )
    bars = (("mutual_information", 0.0, look.color), ("marginal_kl", 0.27, "none"))
    for name, offset, face in bars:
        lower, upper = found[name]["lower"], found[name]["upper"]
        axes.barh(
            place + offset,
            upper - lower,
            left=lower,
            height=0.2,
            facecolor=face,
            edgecolor=look.color,
            linewidth=1.3,
        )


def _dimensions(shown: Sequence[tuple[int, Run]]) -> charts.Chart:
    """The rate of every latent dimension, largest first."""
    rates = [
        sorted((d["value"] for d in run.measures["information"]["rate_by_dimension"]), reverse=True)
        for _, run in shown
    ]

    def plot(axes: Axes) -> None:
        ends = []
        for (index, run), values in zip(shown, rates, strict=True):
            look = charts.style(index)
            edges = np.arange(len(values) + 1) + 0.5
            axes.stairs(values, edges, fill=True, color=look.color, alpha=0.13)
            axes.stairs(values, edges, color=look.color, linestyle=look.line, linewidth=1.4)
            ends.append((values[-1], run.name, look))
        axes.set_xlim(0.5, max(map(len, rates)) + 0.5)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("latent dimension, by rate")
        axes.set_ylabel("rate (nats)")
        charts.label_ends(axes, ends)

    texts = [
        f"{run.name} {values[0]:.3g} to {values[-1]:.3g}"
        for (_, run), values in zip(shown, rates, strict=True)
    ]
    caption = f"Rate of each dimension, largest to smallest: {', '.join(texts)} nats."
    return charts.draw(
        plot, "rate of the latent dimensions", caption, caption, [run.name for _, run in shown]
    )
