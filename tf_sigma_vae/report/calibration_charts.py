"""The charts of calibration: coverage, PIT, maps, curves by intensity and scale, correlation."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tf_sigma_vae.report import charts
from tf_sigma_vae.report.content import Run

Shown = Sequence[tuple[int, Run]]
_Points = tuple[int, Run, Sequence[float], Sequence[float]]
"""Index, run, and what is drawn of it along both axes."""
"""Runs with the measure, and their indices among all."""

MOST_IN_A_CAPTION = 4
"""Runs whose figures are written out; those of more are in the alternative text alone."""

FEWEST_IN_A_BIN = 100
"""Pixels of a bin of intensity, below which it shows chance."""


def coverage(shown: Shown) -> charts.Chart:
    """Observed over nominal coverage of the central intervals."""
    lines = [(i, run, run.measures["calibration"]["coverage"]) for i, run in shown]
    texts = []
    for _, run, points in lines:
        at_90 = [p["value"] for p in points if p["nominal"] == 0.9]
        texts += [f"{run.name} {value:.1%}" for value in at_90]
    caption = (
        f"Pixels inside the central interval; at 90 %: {', '.join(texts)}. Dashed: calibrated. "
        "Bars: ± 1.96 standard errors over images."
    )

    def plot(axes: Axes) -> None:
        charts.identity_line(axes, 0.0, 1.0)
        ends = []
        for index, run, points in lines:
            look = charts.style(index)
            values = [point["value"] for point in points]
            errors = [charts.INTERVAL_ERRORS * point["standard_error"] for point in points]
            nominal = [point["nominal"] for point in points]
            _line(axes, look, nominal, values, errors)
            ends.append((values[-1], run.name, look))
        axes.set_xlim(0.45, 1.01)
        low = min([0.45, *(end[0] - 0.03 for end in ends), *_lowest(lines)])
        axes.set_ylim(low, 1.02)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("nominal coverage")
        axes.set_ylabel("observed coverage")
        charts.label_ends(axes, ends)

    return charts.draw(plot, "coverage", caption, caption, _names(shown))


def _lowest(lines: Sequence[tuple[int, Run, list[dict[str, float]]]]) -> list[float]:
    return [point["value"] - 0.03 for _, _, points in lines for point in points]


def pit(shown: Shown) -> charts.Chart | None:
    """Histogram of the probability integral transform, with what chance leaves of a flat one."""
    lines = [
        (index, run, record)
        for index, run in shown
        if (record := run.measures["calibration"].get("pit"))
    ]
    if not lines:
        return None
    # Of the run whose bins are the most uncertain, so that no run is accused by chance.
    error = max(float(np.median(record["standard_error"])) for _, _, record in lines)

    def plot(axes: Axes) -> None:
        ends = []
        for index, run, record in lines:
            look = charts.style(index)
            density = np.asarray(record["share"]) / np.diff(record["edges"])
            axes.stairs(density, record["edges"], color=look.color, linestyle=look.line)
            ends.append((density[-1], run.name, look))
        bins = len(lines[0][2]["share"])
        half = charts.INTERVAL_ERRORS * error * bins
        axes.axhspan(1.0 - half, 1.0 + half, color=charts.GRAY, alpha=0.35, linewidth=0)
        charts.reference_line(axes, 1.0)
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("probability below the observed value")
        axes.set_ylabel("density of pixels")
        charts.label_ends(axes, ends)

    texts = []
    for _, run, record in lines:
        share = np.asarray(record["share"])
        ends, middle = share[[0, -1]].sum(), share[len(share) // 4 : -(len(share) // 4)].sum()
        texts.append(f"{run.name} {ends:.1%} in both outer bins, {middle:.1%} in the middle half")
    band = "Gray band: where 95 % of the bins of a calibrated decoder lie."
    outer = 2 / len(lines[0][2]["share"])
    alt = f"PIT: {'; '.join(texts)} (calibrated: {outer:.0%} and 50 %). {band}"
    caption = alt if len(lines) <= MOST_IN_A_CAPTION else band
    return charts.draw(plot, "PIT histogram", alt, caption, _names(shown))


def by_intensity(shown: Shown) -> charts.Chart | None:
    """Size of the residuals over the size that the decoder predicts, by the predicted mean."""

    def ratio(bin_: dict[str, float]) -> float | None:
        scale = bin_.get("rms_scale")
        return bin_["rms_residual"] / scale if scale else None

    return _by_intensity(
        shown,
        ratio,
        "residual over predicted scale",
        "by predicted intensity: error",
        "Root mean square of the residuals over that of the predicted scale, by the predicted "
        "mean. Dashed: calibrated; above, the decoder is too sure of itself.",
        1.0,
    )


def coverage_by_intensity(shown: Shown) -> charts.Chart | None:
    """Coverage of the central 90 % interval by the predicted mean."""
    return _by_intensity(
        shown,
        lambda bin_: bin_.get("coverage_90"),
        "inside the 90 % interval",
        "by predicted intensity: coverage",
        "Share of pixels inside the central 90 % interval, by the predicted mean. Dashed: "
        "calibrated.",
        0.9,
    )


def _by_intensity(
    shown: Shown,
    value: Callable[[dict[str, float]], float | None],
    axis: str,
    title: str,
    caption: str,
    wanted: float,
) -> charts.Chart | None:
    lines: list[_Points] = []
    for index, run in shown:
        bins = run.measures["calibration"].get("by_intensity") or []
        bins = [bin_ for bin_ in bins if bin_["count"] >= FEWEST_IN_A_BIN]
        points = [
            ((bin_["low"] + bin_["high"]) / 2.0, size)
            for bin_ in bins
            if (size := value(bin_)) is not None
        ]
        if points:
            places, values = zip(*points, strict=True)
            lines.append((index, run, places, values))
    if not lines:
        return None

    def plot(axes: Axes) -> None:
        charts.reference_line(axes, wanted)
        ends = []
        for index, run, places, values in lines:
            look = charts.style(index)
            _line(axes, look, places, values)
            ends.append((values[-1], run.name, look))
        axes.set_xlabel("predicted mean (data unit)")
        axes.set_ylabel(axis)
        charts.label_ends(axes, ends)

    ranges = [f"{run.name} {min(v):.3g} to {max(v):.3g}" for _, run, _, v in lines]
    alt = f"{caption} Ranges: {', '.join(ranges)}."
    return charts.draw(plot, title, alt, caption, [run.name for _, run, _, _ in lines])


def by_scale(shown: Shown) -> charts.Chart | None:
    """Residuals against the scale predicted for them; only of decoders whose scale varies."""
    lines: list[_Points] = []
    for index, run in shown:
        bins = run.measures["calibration"].get("by_scale") or []
        points = [(b["rms_scale"], b["rms_residual"]) for b in bins]
        points = [point for point in points if min(point) > 0.0]
        if points:
            scales, residuals = zip(*points, strict=True)
            lines.append((index, run, scales, residuals))
    if not lines:
        return None

    def plot(axes: Axes) -> None:
        ends = []
        for index, run, scales, residuals in lines:
            look = charts.style(index)
            _line(axes, look, scales, residuals)
            ends.append((residuals[-1], run.name, look))
        known = [scale for line in lines for scale in line[2]]
        charts.identity_line(axes, min(known), max(known))
        for name in "xy":
            charts.logarithmic(axes, name)
        axes.set_xlabel("predicted scale (data unit, log axis)")
        axes.set_ylabel("RMS residual (log axis)")
        charts.label_ends(axes, ends)

    caption = (
        "Root mean square residual against the predicted scale, in bins of as many pixels each. "
        "Dashed: calibrated; above the line the decoder is too sure of itself."
    )
    names = [run.name for _, run, _, _ in lines]
    alt = f"{caption} Runs: {', '.join(names)}."
    return charts.draw(plot, "error against predicted scale", alt, caption, names)


def autocorrelation(shown: Shown) -> charts.Chart | None:
    """Correlation of residuals over the offset, mean of below and right."""
    lines = []
    for index, run in shown:
        found = run.measures["calibration"].get("autocorrelation")
        if found:
            square = np.asarray(found, np.float64)
            middle = len(square) // 2
            values = (square[middle, middle:] + square[middle:, middle]) / 2.0
            lines.append((index, run, values))
    if not lines:
        return None

    def plot(axes: Axes) -> None:
        charts.reference_line(axes, 0.0)
        ends = []
        for index, run, values in lines:
            look = charts.style(index)
            _line(axes, look, range(len(values)), values)
            ends.append((values[-1], run.name, look))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("offset (pixels, right or below)")
        axes.set_ylabel("correlation of residuals")
        charts.label_ends(axes, ends)

    texts = [f"{run.name} {values[1]:.3g}" for _, run, values in lines if len(values) > 1]
    caption = f"Correlation of residuals; neighbors: {', '.join(texts)}. Dashed: independent."
    names = [run.name for _, run, _ in lines]
    return charts.draw(plot, "autocorrelation of residuals", caption, caption, names)


def ratio_limit(runs: Sequence[Run]) -> float:
    """How far from 0 the maps of log10(variance ratio) go, from 0.1 to 1.5."""
    found = [_map(run.measures["calibration"], "variance_ratio") for run in runs]
    logs = [np.abs(np.log10(np.clip(m, 1e-6, 1e6))).ravel() for m in found if m is not None]
    if not logs:
        return 1.0
    return float(np.clip(np.nanquantile(np.concatenate(logs), 0.99), 0.1, 1.5))


def ratio_map(record: dict, limit: float, title: str, name: str) -> charts.Chart | None:
    """Where in the image the residuals are larger than predicted, on a logarithmic color scale."""
    values = _map(record, "variance_ratio")
    if values is None:
        return None
    ends = (10.0**-limit, 10.0**limit)
    logs = np.log10(np.clip(values, *ends))
    ticks = {-limit: f"{ends[0]:.2g}", 0.0: "1", limit: f"{ends[1]:.2g}"}
    caption = f"{title}. Quartiles: {_quartiles(values)}."
    alt = f"{name}: {caption}"
    return charts.color_map(logs, ticks, "RdBu_r", "variance ratio", alt, caption)


def coverage_map(record: dict, title: str, name: str) -> charts.Chart | None:
    """Where in the image the intervals hold too few pixels."""
    values = _map(record, "coverage_90")
    if values is None:
        return None
    caption = f"{title} (white: 90 %, red: fewer). Quartiles: {_quartiles(values)}."
    ticks = {0.8: "80 %", 0.9: "90 %", 1.0: "100 %"}
    alt = f"{name}: {caption}"
    return charts.color_map(values, ticks, "RdBu", "coverage at 90 %", alt, caption)


def offset_map(record: dict, title: str, name: str) -> charts.Chart | None:
    """Correlation of residuals by vertical and horizontal offset."""
    values = record.get("autocorrelation")
    if not values:
        return None
    reach = len(values) // 2
    caption = f"{title}: up to {reach} pixels each way; the middle is 1."
    ticks = {-1.0: "-1", 0.0: "0", 1.0: "1"}
    array = np.asarray(values, np.float64)
    return charts.color_map(array, ticks, "PuOr_r", "correlation", f"{name}: {caption}", caption)


def _map(record: dict, name: str) -> np.ndarray | None:
    """A map `[H, W]`, mean over the channels in which it is defined; NaN where in none."""
    found = record.get("maps", {}).get(name)
    if not found:
        return None
    values = np.asarray(found, np.float64)
    known = np.isfinite(values)
    if not known.any():
        return None
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _quartiles(values: np.ndarray) -> str:
    low, middle, high = np.nanquantile(values, (0.25, 0.5, 0.75))
    return f"{low:.3g}, {middle:.3g}, {high:.3g}"


def _names(shown: Shown) -> list[str]:
    return [run.name for _, run in shown]


def _line(
    axes: Axes,
    look: charts.Style,
    x: Sequence[float],
    y: Sequence[float] | np.ndarray,
    errors: Sequence[float] | None = None,
) -> None:
    axes.errorbar(
        x,
        y,
        yerr=errors,
        color=look.color,
        linestyle=look.line,
        marker=look.marker,
        capsize=2,
        elinewidth=1.0,
    )
