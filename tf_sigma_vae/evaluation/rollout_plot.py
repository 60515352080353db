"""Pictures of rollouts over their steps, of one run or of several side by side.

Bands are the intervals of 95 % that the records hold. All panels of a picture share the axis of
steps; what a record lacks is left out.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

SIZE_INCHES, DOTS_PER_INCH = (16.0, 8.5), 100
PANELS = (
    ("psnr", "PSNR of mean frames (dB)"),
    ("ssim", "SSIM of mean frames"),
    ("elbo", "elbo (nats per frame)"),
    ("rate", "rate (nats per frame)"),
    ("distortion", "distortion (nats per frame)"),
    ("coverage_90", "share inside the central 90 %"),
    ("variance_ratio", "variance of errors over predicted"),
)
"""Metrics and the labels of their axes, in the order of the panels."""
LABELS = {
    "best": "best of {num_rollouts} rollouts",
    "mean": "mean over rollouts",
    "mean_rollout": "mean rollout",
    "posterior": "posterior, after true frames",
    "rollout": "along a rollout",
    "copy": "last context frame copied",
}
LINES = {
    "best": "-",
    "mean": "--",
    "mean_rollout": "-.",
    "posterior": ":",
    "rollout": "-",
    "copy": (0, (1, 4)),
}
OF_SEVERAL = {"psnr": ("best", "mean"), "ssim": ("best", "mean")}
"""Kinds that are drawn of several runs, where all of them would be too many lines."""
NOMINAL = {"coverage_90": 0.9, "variance_ratio": 1.0}
COLORS = {
    "best": "C0",
    "mean": "C1",
    "mean_rollout": "C2",
    "posterior": "C3",
    "rollout": "C4",
    "copy": "0.35",
}
"""Of the kinds of one run; of several runs each has a color of its own."""


def curves(records: Mapping[str, Mapping]) -> bytes:
    """A picture of the curves of one run, or of several to compare.

    Args:
      records: What their `rollouts.json` hold, by the name of the run, at least one.

    Returns:
      A PNG file.

    Raises:
      ValueError: If there is no record.
    """
    if not records:
        raise ValueError("a picture of rollouts needs the record of at least one run")
    figure = draw(records)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return content.getvalue()


def draw(records: Mapping[str, Mapping]) -> Figure:
    """The figure of `curves`, of 1600 x 850 pixels."""
    panels = [
        (metric, label)
        for metric, label in PANELS
        if any(metric in record["curves"] for record in records.values())
    ]
    columns = max(2, (len(panels) + 1) // 2)
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    figure.suptitle(_title(records), fontsize=14)
    grid = figure.subplots(2, columns, squeeze=False)
    for axes, (metric, label) in zip(grid.flat, panels, strict=False):
        _panel(axes, records, metric)
        axes.set_ylabel(label)
        axes.set_xlabel("step after the context")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        # Below the panel: in it there is no place that no curve goes through.
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
        axes.legend(fontsize=8, ncols=2 if len(records) == 1 else 1, **place)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    return figure


def _title(records: Mapping[str, Mapping]) -> str:
    protocols = [record["protocol"] for record in records.values()]
    names = list(records)
    shown = names[0] if len(names) == 1 else f"{len(names)} runs"
    origins = sorted({f"{p['dataset']} {p['split']}" for p in protocols if "dataset" in p})
    clips = sorted({f"{p['num_clips']} clips of {p['num_videos']} videos" for p in protocols})
    parts = [shown, *origins, "; ".join(clips), "bands: 95 % over videos"]
    return ", ".join(parts)


def _panel(axes: Axes, records: Mapping[str, Mapping], metric: str) -> None:
    several = len(records) > 1
    for number, (name, record) in enumerate(records.items()):
        steps = record["steps"]
        kinds = record["curves"].get(metric, {})
        for kind, curve in kinds.items():
            # What is shown on is the same whatever the model.
            if several and kind == "copy" and number > 0:
                continue
            if several and kind not in (*OF_SEVERAL.get(metric, kinds), "copy"):
                continue
            label = LABELS[kind].format(**record["protocol"])
            if several and kind != "copy":
                label = f"{name}: {label}" if len(kinds) > 1 else name
            color = f"C{number}" if several and kind != "copy" else COLORS[kind]
            style = {"color": color, "linestyle": LINES[kind] if len(kinds) > 1 else "-"}
            _line(axes, steps, curve, label, style)
    if metric in NOMINAL:
        axes.axhline(NOMINAL[metric], color=COLORS["copy"], linewidth=1.0, label="calibrated")


def _line(
    axes: Axes,
    steps: Sequence[int],
    curve: Mapping[str, Sequence[float]],
    label: str,
    style: dict[str, Any],
) -> None:
    value, low, high = (curve[name] for name in ("value", "low", "high"))
    marker = "o" if len(steps) == 1 else None
    axes.plot(steps, value, label=label, marker=marker, **style)
    axes.fill_between(steps, low, high, color=style["color"], alpha=0.15, linewidth=0.0)
