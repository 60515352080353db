"""Charts as SVG text: one look, one color a run everywhere, the same bytes for the same data.

Words and axes are drawn in the color of text, which follows the reader's light or dark theme; the
colors of runs are read on both, and told apart by the color-blind too (Okabe & Ito 2008). Where
there are more runs than colors, the colors come again with broken lines.
"""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.typing import LineStyleType

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LINES: Sequence[LineStyleType] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
MARKERS = "osD^vP"
PANEL = (4.7, 3.1)
"""Size of a chart in inches; small, so that its words can be read on a phone too."""
MAP = (2.3, 2.75)
"""Of a map."""
PIXELS_PER_INCH = 96
"""Of CSS."""

INTERVAL_ERRORS = 1.96
"""Standard errors on each side of an error bar: 95 % of normal errors."""
LONGEST_NAME = 20
"""Letters of a name in a chart; the rest is in the key and in the tables."""

# Replaced by `currentColor`; no other color may be equal to it.
_INK = "#010203"
_LIGHT_INK, _DARK_INK = "#24292f", "#d8dee4"
GRAY = "#8a8f98"
_SETTINGS: "dict[RcKeyType, Any]" = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tf-sigma-vae",
    "font.family": "sans-serif",
    # Others would only be named in the file; the reader's own follows.
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    # A fixed place: to find one, matplotlib would lay out all other words first.
    "axes.titley": 1.03,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRAY,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.5,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    **dict.fromkeys(
        ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), _INK
    ),
}
_REFERENCE: dict[str, Any] = {
    "color": _INK,
    "linewidth": 0.9,
    "linestyle": (0, (5, 3)),
    "zorder": 1.5,
}
"""Of what others are held against."""
_THEME = (
    f"<style>svg{{color:{_LIGHT_INK}}}"
    f"@media (prefers-color-scheme:dark){{svg{{color:{_DARK_INK}}}}}</style>"
)
_MARGINS = {"left": 0.74, "right": 0.15, "bottom": 0.5, "top": 0.3}
"""Inches around the axes."""
_DASH, _NAME = (0.07, 0.25), 0.31
"""Inches to the right of the axes: ends of a label's line, and where its name begins."""
_EDGE = 0.08
"""Inches between a name and the edge."""
_LABEL_GAP = 0.145
"""Inches from one label to the next."""
_LABEL_FONT = 8.0
_TICK = 0.12
"""Inches that a tick on the vertical axis takes."""
_NARROW = 4.0
"""Ratio of the ends of a logarithmic axis below which it is widened: it would bear one label."""


class Chart(NamedTuple):
    """A chart with all that goes with it."""

    svg: str
    """The picture."""
    size: tuple[int, int]
    """Width and height, CSS pixels."""
    alt: str
    """What it shows, with the main numbers, for who cannot see it."""
    caption: str
    """Below it."""


class Style(NamedTuple):
    """How a run is drawn."""

    color: str
    line: LineStyleType
    marker: str


def style(index: int) -> Style:
    """How the run of an index is drawn, in every chart."""
    color = index % len(COLORS)
    return Style(COLORS[color], LINES[index // len(COLORS) % len(LINES)], MARKERS[color])


def draw(
    plot: Callable[[Axes], object],
    title: str,
    alt: str,
    caption: str,
    labels: Sequence[str] = (),
    size: tuple[float, float] = PANEL,
    left_labels: Sequence[str] = (),
) -> Chart:
    """Draws a chart.

    Args:
      plot: Draws into the axes.
      title: Above them.
      alt: What the chart shows, in words.
      caption: Below the chart.
      labels: Names that `label_ends` will write, to leave room for them.
      size: Inches, (width, height).
      left_labels: Names that the vertical axis bears, to leave room for them.
    """
    margins = dict(_MARGINS)
    if labels:
        margins["right"] = _NAME + _EDGE + max(_inches(name, _LABEL_FONT) for name in labels)
    if left_labels:
        widest = max(_inches(name, _SETTINGS["font.size"]) for name in left_labels)
        margins["left"] = _EDGE + widest + _TICK
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=size)
        box = (
            margins["left"] / size[0],
            margins["bottom"] / size[1],
            1.0 - (margins["left"] + margins["right"]) / size[0],
            1.0 - (margins["bottom"] + margins["top"]) / size[1],
        )
        axes = figure.add_axes(box)
        plot(axes)
        # At the edge, whatever the length of the numbers beside it.
        middle = box[1] + box[3] / 2.0
        axes.yaxis.set_label_coords(0.14 / size[0], middle, transform=figure.transFigure)
        axes.set_title(title, loc="left", x=-margins["left"] / (size[0] * box[2]) + 0.03)
        return _chart(figure, alt, caption)


def color_map(
    values: np.ndarray, ticks: dict[float, str], colors: str, title: str, alt: str, caption: str
) -> Chart:
    """Draws a small map, pixel by pixel, with its color bar below.

    Args:
      values: `[H, W]`; NaN is left empty.
      ticks: Values marked on the color bar and their labels; the outer ones are its ends.
      colors: Name of a color map of matplotlib.
      title: Above it.
      alt: What the map shows, in words.
      caption: Below it.
    """
    height = MAP[1]
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=MAP)
        axes = figure.add_axes((0.04, 0.45 / height, 0.92, (height - 0.75) / height))
        image = axes.imshow(values, colors, interpolation="none", vmin=min(ticks), vmax=max(ticks))
        axes.set_axis_off()
        axes.set_title(title)
        bar = figure.add_axes((0.12, 0.3 / height, 0.76, 0.09 / height))
        figure.colorbar(image, cax=bar, orientation="horizontal", ticks=list(ticks))
        bar.set_xticks(list(ticks), list(ticks.values()), fontsize=8)
        bar.minorticks_off()
        return _chart(figure, alt, caption)


def _chart(figure: Figure, alt: str, caption: str) -> Chart:
    width, height = (round(PIXELS_PER_INCH * side) for side in figure.get_size_inches())
    return Chart(_svg(figure), (width, height), alt, caption)


def _svg(figure: Figure) -> str:
    """The figure as an element without what depends on the day, in the reader's colors."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    opening = text.index(">") + 1
    return text[:opening] + _THEME + text[opening:]


def shortened(name: str) -> str:
    """A name that is no longer than `LONGEST_NAME`."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _inches(name: str, size: float) -> float:
    """How wide a name is, as it is shown in a chart."""
    font = FontProperties(family="DejaVu Sans", size=size)
    return text_to_path.get_text_width_height_descent(shortened(name), font, False)[0] / 72.0


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, Style]]) -> None:
    """Writes names to the right of the axes, each at the height of its line, none over another.

    Args:
      axes: With everything drawn: their limits are kept from here on.
      ends: Value at the end of the line, name, and style of the line.
    """
    # The limits are not known before they are asked for.
    right, _ = axes.get_xlim()[1], axes.get_ylim()
    axes.set_autoscale_on(False)
    points = [(right, value) for value, _, _ in ends]
    if not points:
        return
    places = axes.transAxes.inverted().transform(axes.transData.transform(points))[:, 1]
    figure = axes.figure
    assert isinstance(figure, Figure), "no chart has a figure in a figure"
    box, sides = axes.get_position(), figure.get_size_inches()
    width, height = box.width * sides[0], box.height * sides[1]
    places = spread(np.clip(places, 0.0, 1.0), _LABEL_GAP / height)
    for place, (_, name, look) in zip(places, ends, strict=True):
        axes.plot(
            [1.0 + end / width for end in _DASH],
            [place, place],
            color=look.color,
            linestyle=look.line,
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(
            1.0 + _NAME / width,
            place,
            shortened(name),
            transform=axes.transAxes,
            va="center",
            fontsize=_LABEL_FONT,
        )


def spread(places: Sequence[float] | np.ndarray, gap: float) -> np.ndarray:
    """Places moved as little as it takes to be `gap` apart, in their order, from 0 to 1 if it fits.

    Args:
      places: `[N]`.
      gap: The least distance.
    """
    order = np.argsort(places, kind="stable")
    offsets = gap * np.arange(len(order))
    # With the offsets subtracted, "at least a gap apart" is "not falling": each is the mean of a
    # block that is level (the pool adjacent violators algorithm).
    blocks: list[list[float]] = []
    for value in np.asarray(places, np.float64)[order] - offsets:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    level = np.concatenate([np.full(len(block), np.mean(block)) for block in blocks])
    level = np.clip(level, 0.0, max(1.0 - offsets[-1], 0.0)) + offsets
    moved = np.empty(len(order))
    moved[order] = level
    return moved


def reference_line(axes: Axes, value: float, vertical: bool = False) -> None:
    """A thin line at a value that others are held against."""
    add = axes.axvline if vertical else axes.axhline
    add(value, **_REFERENCE)


def logarithmic(axes: Axes, name: str = "y") -> None:
    """Makes an axis logarithmic, with room around values that are all the same.

    Labels are plain numbers: of powers of ten, and between them as many as there is room for.
    """
    axes.set(**{f"{name}scale": "log"})
    low, high = getattr(axes, f"get_{name}lim")()
    if high / low < _NARROW:
        middle = np.sqrt(low * high)
        low, high = middle / np.sqrt(_NARROW), middle * np.sqrt(_NARROW)
        axes.set(**{f"{name}lim": (low, high)})
    decades = np.log10(high / low)
    labeled = (2, 3, 5) if decades < 1.0 else (2, 5) if decades < 2.0 else ()

    def between(value: float, _: float) -> str:
        leading = round(value / 10.0 ** np.floor(np.log10(value)))
        return f"{value:.3g}" if leading in labeled else ""

    axis = getattr(axes, f"{name}axis")
    axis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axis.set_minor_formatter(between)


def identity_line(axes: Axes, low: float, high: float) -> None:
    """Where both axes are equal, from one value to another."""
    axes.plot([low, high], [low, high], **_REFERENCE)
