"""Whether the decoder's distribution is as wide as the errors it makes, on held-out images."""

from collections.abc import Sequence

from tf_sigma_vae.report import calibration_charts, elements, figures
from tf_sigma_vae.report.content import Content, Run

HEADLINE = ("coverage_90", "variance_ratio", "effective_pixels")
"""Metrics of the first table."""

EIGHT_BIT = "coverage_8bit_90"

HOW_TO_READ = (
    "Measured with z ~ q(z|x) on {images}. A calibrated decoder has "
    "variance_ratio 1 (above: too sure of itself), intervals that hold as many pixels as they say, "
    "a flat PIT histogram (a hill: its distribution is too wide or, at variance_ratio 1, its tails "
    "are too light; a valley: it is too narrow), no bias_share, and residuals without correlation, "
    "which the likelihood takes for granted."
)
HELD_OUT = "images of the {split} split, that the scale was not set by"
TRAINED_ON = "the images that the model was trained on and its scale set by: on others it fits less"
EIGHT_BIT_NOTE = (
    "coverage_* of a density is that of the density itself; coverage_8bit_90 is of the 256 gray "
    "levels, of which black and white (share_at_ends of the pixels) are given the tails."
)
"""Below the table, where it has a row of the latter."""

MAPS = {
    "variance_ratio": "Residual over predicted variance (blue below 1, red above)",
    "coverage_90": "Share inside the central 90 % interval",
    "autocorrelation": "Correlation of residuals by offset",
}


def section(content: Content) -> elements.Html | None:
    """The charts and tables of all runs; None if no run has the measure."""
    shown = [(i, run) for i, run in enumerate(content.runs) if "calibration" in run.measures]
    if not shown:
        return None
    runs = [run for _, run in shown]
    names = list(dict.fromkeys(n for r in runs for n in r.measures["calibration"]["metrics"]))
    heading = ["metric", *(run.name for run in runs)]
    drawn = [
        calibration_charts.coverage(shown),
        calibration_charts.pit(shown),
        calibration_charts.autocorrelation(shown),
        calibration_charts.by_intensity(shown),
        calibration_charts.coverage_by_intensity(shown),
        calibration_charts.by_scale(shown),
    ]
    return elements.section(
        "calibration",
        "Calibration of the decoder",
        HOW_TO_READ.format(images=_images(content.split)),
        elements.charts(drawn),
        elements.table(
            "Calibration: mean ± standard error over images",
            heading,
            figures.metric_rows(runs, "calibration", names),
        ),
        elements.note(EIGHT_BIT_NOTE) if EIGHT_BIT in names else None,
        *_sentences(runs),
        _channels(runs),
        *_maps(shown),
    )


def _images(split: str) -> str:
    """What the images of a split are to the scale."""
    return TRAINED_ON if split == "train" else HELD_OUT.format(split=split)


def headline_rows(runs: Sequence[Run]) -> list[list]:
    """The rows of the first table."""
    return figures.metric_rows(runs, "calibration", HEADLINE)


def _sentences(runs: Sequence[Run]) -> list[elements.Html]:
    """What the correlation of residuals means for the likelihood of each run."""
    found = [(run.name, run.measures["calibration"].get("sentence")) for run in runs]
    return [
        elements.element("p", elements.element("b", f"{name}: "), sentence)
        for name, sentence in found
        if sentence
    ]


def _channels(runs: Sequence[Run]) -> elements.Html | None:
    """A row for each channel of each run; nothing for images of one channel."""
    columns = ("variance_ratio", "coverage_90", "rms_residual", "rms_scale")
    rows = []
    for run in runs:
        channels = run.measures["calibration"].get("by_channel") or []
        if len(channels) < 2:
            continue
        rows.append([run.name])
        for channel in channels:
            cells = (channel.get(name) for name in columns)
            cells = (figures.ABSENT if value is None else f"{value:.4g}" for value in cells)
            rows.append([f"channel {channel['channel']}", *cells])
    if not rows:
        return None
    return elements.table("Calibration of the channels", ["channel", *columns], rows)


def _maps(shown: Sequence[tuple[int, Run]]) -> list[elements.Html]:
    """The maps of each run, on the same colors for all."""
    limit = calibration_charts.ratio_limit([run for _, run in shown])
    parts = []
    for _, run in shown:
        record = run.measures["calibration"]
        drawn = [
            calibration_charts.ratio_map(record, limit, MAPS["variance_ratio"], run.name),
            calibration_charts.coverage_map(record, MAPS["coverage_90"], run.name),
            calibration_charts.offset_map(record, MAPS["autocorrelation"], run.name),
        ]
        grid = elements.charts(drawn, small=True)
        if grid is not None:
            parts += [elements.element("h3", f"Maps of {run.name}"), grid]
    return parts
