"""A table of evaluations on the screen, and their file."""

import json
import math
from collections.abc import Mapping, Sequence

from tf_sigma_vae.evaluation import levels
from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.evaluate import Evaluation, ordered, unit_of

DATA_SCALE = ("_batch_scale", "_image_scale")
DATA_SCALE_NOTE = (
    "*_batch_scale, *_image_scale: the scale is computed from the evaluated examples themselves, "
    "as in\n  the paper's code. These are not likelihoods."
)
UNNORMALISED_NOTE = (
    "{}: log_prob of grey values is no likelihood, so neither are its elbo, distortion and iwae;\n"
    "  its bits_per_dim_mass is of the same family, normalised over the 256 levels."
)
DISCRETE_NOTE = (
    "The elbo of a discrete likelihood is of probabilities, that of a continuous one of\n"
    "  densities: compare the two by bits_per_dim_mass."
)
LEVELS_NOTE = (
    "rate_level_<i>: of level i of a hierarchy, 0 at the top, given the levels above it; they sum "
    "to the\n  rate. active_units is of flat latents alone."
)
ABSENT = "-"


def to_json(evaluation: Evaluation) -> str:
    """The text of `evaluation.json`: `metrics` and `protocol`.

    Raises:
      ValueError: If a number is not finite.
    """
    metrics = {name: estimate._asdict() for name, estimate in evaluation.metrics.items()}
    content = {"metrics": metrics, "protocol": evaluation.protocol}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def number(estimate: Estimate) -> str:
    """`value ± standard error`, with two digits of the error."""
    value, error = estimate.value, estimate.standard_error
    # An error of rounding alone says that the figure is the same for every example.
    if error <= 1e-9 * abs(value):
        return f"{value:.6g}"
    decimals = min(max(1 - math.floor(math.log10(error)), 0), 9)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def table(evaluations: Mapping[str, Evaluation]) -> str:
    """A text table: a row for each metric, a column for each run.

    Args:
      evaluations: By the name of the run.

    Returns:
      Lines: the heading, the metrics, the protocol's main numbers and, where they appear, a note
      on the figures that are no likelihoods.
    """
    runs = list(evaluations.values())
    names = ordered(name for run in runs for name in run.metrics)
    rows = [["metric", "unit", *evaluations]]
    for name in names:
        estimates = [run.metrics.get(name) for run in runs]
        cells = [ABSENT if e is None else number(e) for e in estimates]
        rows.append([name, unit_of(name), *cells])
    lines = aligned(rows)
    lines.insert(1, "-" * max(len(line) for line in lines))
    lines += [lines[1], *_protocol_lines(evaluations)]
    if any(name.endswith(DATA_SCALE) for name in names):
        lines.append(DATA_SCALE_NOTE)
    if levels.names_among(names):
        lines.append(LEVELS_NOTE)
    measures = {run: evaluation.protocol["measure"] for run, evaluation in evaluations.items()}
    unnormalised = [run for run, measure in measures.items() if measure is None]
    if unnormalised:
        lines.append(UNNORMALISED_NOTE.format(", ".join(unnormalised)))
    if {"mass", "density"} <= set(measures.values()):
        lines.append(DISCRETE_NOTE)
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, the first two columns to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
        padded += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join(padded))
    return lines


def _protocol_lines(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """What the figures of each run were measured on; one line where all runs agree."""
    described: dict[str, list[str]] = {}
    for run, evaluation in evaluations.items():
        protocol = evaluation.protocol
        origin = " ".join(str(protocol[key]) for key in ("dataset", "split") if key in protocol)
        samples = protocol["num_samples"]
        examples, over = f"{protocol['num_examples']} images", "images"
        if "clip_length" in protocol:
            examples, over = _clips_line(protocol), "videos"
        bound = f"iwae of {samples} samples" if samples else "no iwae"
        line = f"{examples}, {bound}; mean ± standard error over {over}"
        described.setdefault(f"{origin}: {line}" if origin else line, []).append(run)
    if len(described) == 1:
        return list(described)
    return [f"{', '.join(runs)}: {line}" for line, runs in described.items()]


def _clips_line(protocol: Mapping[str, object]) -> str:
    """`"12 clips of 30 frames (2 given, 28 predicted) of 6 videos"`."""
    frames = f"{protocol['context_frames']} given, {protocol['horizon']} predicted"
    clips = f"{protocol['num_clips']} clips of {protocol['clip_length']} frames"
    return f"{clips} ({frames}) of {protocol['num_examples']} videos"
