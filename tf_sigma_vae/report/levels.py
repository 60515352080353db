"""The levels of hierarchies: the rate of each, over the levels and in training, and what each adds.

Runs with a flat latent have none of it.
"""

import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tf_sigma_vae.evaluation.levels import PREFIX, names_among, shape_text
from tf_sigma_vae.report import charts, elements, figures, pictures
from tf_sigma_vae.report.content import Content, Run

HOW_TO_READ = (
    "What each level of a hierarchy costs, given the levels above it: the top level first, labeled "
    "height x width x channels of its latent. The bars sum to the rate. A level without a rate is "
    "not used: its posterior is its prior."
)
HOW_TO_READ_PICTURES = (
    "Rows from above: original; an image of which no level is from q(z|x), but all from the "
    "prior; then one level more from q(z|x) in each row, from the top, down to the reconstruction. "
    "All are means of p(x|z)."
)

BAR_INCHES = 0.2
"""Of height, of a level."""
_FRAME_INCHES = 1.0
_ENDS = (charts.COLORS[0], charts.COLORS[1])
"""Colors of the top level and of the last."""


def shapes_of(run: Run) -> list[str]:
    """Shapes of the levels of a run, top first; none of a flat latent, or where it is not known."""
    shapes = run.measure_named("evaluation").get("protocol", {}).get("level_shapes", [])
    return [shape_text(shape) for shape in shapes]


def section(content: Content) -> elements.Html | None:
    """Rates and pictures; None if no run has levels."""
    drawn = elements.charts(_rates(index, run) for index, run in enumerate(content.runs))
    grids = pictures.level_grids(content.runs)
    if drawn is None and grids is None:
        return None
    lead = None
    if grids is not None:
        text = f"{HOW_TO_READ_PICTURES} Images of the {content.split} split."
        lead = elements.element("p", text, class_="lead")
    return elements.section("levels", "Levels of the latent", HOW_TO_READ, drawn, lead, grids)


def _rates(index: int, run: Run) -> charts.Chart | None:
    """The rate of each level of a run."""
    metrics = run.measure_named("evaluation").get("metrics", {})
    names = names_among(metrics)
    if not names:
        return None
    rates = [metrics[name] for name in names]
    labels = [f"{level}: {shape}" for level, shape in enumerate(shapes_of(run))]
    values = [rate["value"] for rate in rates]
    errors = [charts.INTERVAL_ERRORS * rate["standard_error"] for rate in rates]

    def plot(axes: Axes) -> None:
        color = charts.style(index).color
        axes.barh(range(len(values)), values, height=0.7, color=color, alpha=0.75)
        axes.errorbar(
            values, range(len(values)), xerr=errors, fmt="none", ecolor=charts.GRAY, capsize=2
        )
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("rate (nats per image)")

    texts = [f"{label} {figures.cell(rate)}" for label, rate in zip(labels, rates, strict=True)]
    alt = f"Rate of each level of {run.name}, nats, top first: {'; '.join(texts)}."
    caption = f"Level and its shape; together {sum(values):.4g} nats. Whiskers: 95 % of the errors."
    size = (charts.PANEL[0], max(2.0, _FRAME_INCHES + BAR_INCHES * len(values)))
    title = f"rate of the levels, {charts.shortened(run.name)}"
    return charts.draw(plot, title, alt, caption, size=size, left_labels=labels)


def curves(run: Run) -> charts.Chart | None:
    """The rate of each level over the steps of training; None with less than two levels."""
    names = names_among({name for line in run.history for name in line})
    series = [run.series("train", name) for name in names]
    if len(names) < 2 or not all(steps for steps, _ in series):
        return None
    labels = [name.removeprefix(PREFIX) for name in names]
    shapes = shapes_of(run)
    if len(shapes) == len(labels):
        labels = [f"{label}: {shape}" for label, shape in zip(labels, shapes, strict=True)]

    def plot(axes: Axes) -> None:
        ends = []
        for label, color, (steps, values) in zip(labels, _shades(len(names)), series, strict=True):
            axes.plot(steps, values, color=color, linewidth=1.2)
            ends.append((values[-1], label, charts.Style(color, "-", "o")))
        axes.set_xlabel("training step")
        axes.set_ylabel("rate (nats per image)")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        charts.label_ends(axes, ends)

    lasts = [f"{label} {values[-1]:.3g}" for label, (_, values) in zip(labels, series, strict=True)]
    alt = f"Rate of each level of {run.name} over training steps. Last: {', '.join(lasts)}."
    caption = "Each level, from the top (0, blue) to the last (orange)."
    title = f"rate of the levels, {charts.shortened(run.name)}"
    return charts.draw(plot, title, alt, caption, labels)


def _shades(number: int) -> list[str]:
    """Colors from the top level to the last, in between one another."""
    ends = np.array([matplotlib.colors.to_rgb(color) for color in _ENDS])
    shares = np.linspace(0.0, 1.0, number)[:, np.newaxis]
    return [matplotlib.colors.to_hex(c) for c in (1.0 - shares) * ends[0] + shares * ends[1]]


def described(run: Run) -> str:
    """The latent of a run, in words."""
    shapes = shapes_of(run)
    if not shapes:
        return f"latent_size {run.config['latent_size']}"
    return f"{len(shapes)} levels of latents from {shapes[0]} to {shapes[-1]}"
