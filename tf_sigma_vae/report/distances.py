"""Distances of samples from images, side by side only where they were measured alike."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from tf_sigma_vae.evaluation.fid import Protocol, ProtocolMismatchError, require_comparable
from tf_sigma_vae.report import charts, elements, figures
from tf_sigma_vae.report.content import Content, Run

METRICS = ("frechet", "kid", "frechet_extrapolated")
PREFIXES = {"": "", "clip_": "whole clips, "}
"""Of the names of the metrics, and of what they are beside images or frames."""
HOW_TO_READ = (
    "How far samples of the model are from images of the data, in the features of a network: "
    "smaller is better, 0 for equal sets. Only the network of 2015 gives FID; figures of different "
    "networks, sample counts or kinds of samples are different quantities and never share a row."
)
HOW_TO_READ_VIDEOS = (
    " Samples are frames of one rollout of each clip, images the true frames at the same steps; "
    "frames of a clip are alike, so that the errors are too small."
)


def groups(runs: Sequence[Run], prefix: str = "") -> list[tuple[Protocol, list[int]]]:
    """Indices of the runs whose distances compare with one another, with the first's protocol.

    Args:
      runs: All runs.
      prefix: One of `PREFIXES`: of which distances.
    """
    found: list[tuple[Protocol, list[int]]] = []
    for index, run in enumerate(runs):
        protocol = protocol_of(run, prefix)
        if protocol is None:
            continue
        for first, members in found:
            if are_comparable(first, protocol):
                members.append(index)
                break
        else:
            found.append((protocol, [index]))
    return found


def protocol_of(run: Run, prefix: str = "") -> Protocol | None:
    """The protocol of a run's distances, or of those between clips; None without them."""
    record = run.measure_named("distances").get("protocol")
    if prefix and record is not None:
        record = record.get("clips")
    if record is None:
        return None
    return Protocol.from_dict({key: record[key] for key in ("extraction", "reference", "samples")})


def are_comparable(first: Protocol, second: Protocol) -> bool:
    """Whether the smaller of two distances is the better."""
    try:
        require_comparable(first, second)
    except ProtocolMismatchError:
        return False
    return True


def headline_rows(runs: Sequence[Run]) -> list[list]:
    """The rows of the first table: of each protocol a row of its own for each distance."""
    return [row for prefix in PREFIXES for row in _rows(runs, prefix)]


def _rows(runs: Sequence[Run], prefix: str) -> list[list]:
    found = groups(runs, prefix)
    rows = []
    for place, (protocol, members) in enumerate(found, 1):
        suffix = f", protocol {place}" if len(found) > 1 else ""
        for name in METRICS:
            metrics = [
                figures.metric_of("distances", prefix + name)(run) if index in members else None
                for index, run in enumerate(runs)
            ]
            units = [metric.get("unit", "") for metric in metrics if metric is not None]
            if units:
                label = f"{PREFIXES[prefix]}{protocol.label(name)}{suffix}"
                rows.append([elements.with_unit(label, units[0]), *map(figures.cell, metrics)])
    return rows


def section(content: Content) -> elements.Html | None:
    """The distances of all runs; None if no run has any."""
    parts = [part for prefix in PREFIXES for part in _parts(content, prefix)]
    if not parts:
        return None
    how_to_read = HOW_TO_READ + (HOW_TO_READ_VIDEOS if content.of_videos else "")
    return elements.section("distances", "Distances of samples", how_to_read, *parts)


def _parts(content: Content, prefix: str) -> list[elements.Html | None]:
    """Charts and tables of the distances of a prefix."""
    found = groups(content.runs, prefix)
    parts: list[elements.Html | None] = []
    mixed = len(found) > 1
    if mixed:
        parts.append(elements.notice(_why_apart(found)))
    for place, (protocol, members) in enumerate(found, 1):
        runs = [content.runs[index] for index in members]
        things = ("clips" if prefix else "frames") if content.of_videos else "images"
        title = _described(protocol, things)
        title = f"protocol {place}: {title}" if mixed else title
        shown = [_chart(content.runs, members, prefix, name, protocol) for name in METRICS]
        heading = ["distance", *(run.name for run in runs)]
        parts += [
            elements.charts(shown),
            elements.table(f"Distances, {title}", heading, _rows(runs, prefix)),
        ]
    return parts


def _why_apart(found: Sequence[tuple[Protocol, list[int]]]) -> str:
    """What tells the protocols apart, in the words of the check."""
    try:
        require_comparable(found[0][0], found[1][0])
    except ProtocolMismatchError as error:
        return f"Not all runs were measured alike, and they are shown apart: {error}."
    raise AssertionError("groups of one protocol")


def _described(protocol: Protocol, things: str) -> str:
    """A protocol in one line, of images, frames or clips."""
    samples, reference = protocol.samples, protocol.reference
    kind = {"mean": f"mean {things}", "noisy": f"{things} with the decoder's noise"}[samples.draw]
    levels = "8-bit" if samples.eight_bit else "not rounded"
    size = f" to {'x'.join(map(str, protocol.extraction.size))}" if protocol.extraction.size else ""
    origin = " ".join(part for part in (reference.dataset, reference.split) if part)
    return (
        f"{samples.num_images:,} samples ({kind}, {levels}) against {reference.num_images:,} "
        f"{things}{f' of {origin}' if origin else ''}; {protocol.extraction.label}, "
        f"resize {protocol.extraction.resize}{size}"
    )


def _chart(
    runs: Sequence[Run], members: list[int], prefix: str, name: str, protocol: Protocol
) -> charts.Chart | None:
    wanted = figures.metric_of("distances", prefix + name)
    shown = [(i, metric) for i in members if (metric := wanted(runs[i])) is not None]
    if not shown:
        return None
    names = [runs[index].name for index, _ in shown]
    label = f"{PREFIXES[prefix]}{protocol.label(name)}"

    def plot(axes: Axes) -> None:
        for place, (index, metric) in enumerate(shown):
            look = charts.style(index)
            error = charts.INTERVAL_ERRORS * (metric.get("standard_error") or 0.0)
            axes.barh(place, metric["value"], height=0.62, color=look.color, alpha=0.75)
            axes.errorbar(metric["value"], place, xerr=error, color=charts.GRAY, capsize=3)
        axes.set_yticks(range(len(shown)), [charts.shortened(each) for each in names])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(left=min(0.0, *(metric["value"] for _, metric in shown)))
        axes.set_xlabel(label)

    texts = ", ".join(
        f"{run} {figures.cell(metric)}" for run, (_, metric) in zip(names, shown, strict=True)
    )
    caption = f"{label}: {texts}. Bars: ± 1.96 standard errors."
    size = (charts.PANEL[0], max(1.7, 1.0 + 0.32 * len(shown)))
    return charts.draw(plot, "", caption, caption, size=size, left_labels=names)
