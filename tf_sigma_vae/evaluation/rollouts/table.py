"""A short table of rollouts on the screen."""

from collections.abc import Mapping

from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.table import ABSENT, aligned, number

STEPS = (1, 5, 10)
"""Shown of all; the last is, too."""
KINDS = ("best", "mean", "copy")
METRICS = ("psnr", "ssim")


def table(records: Mapping[str, Mapping]) -> str:
    """PSNR and SSIM at a few steps, a column for each run.

    Args:
      records: What their `rollouts.json` hold, by the name of the run; at least one.
    """
    horizons = [record["steps"][-1] for record in records.values()]
    steps = sorted({step for step in STEPS if step <= max(horizons)} | set(horizons))
    rows = [["rollouts", "step", *records]]
    for metric in METRICS:
        for kind in KINDS:
            for step in steps:
                cells = [_cell(record, metric, kind, step) for record in records.values()]
                if any(cell != ABSENT for cell in cells):
                    rows.append([f"{metric} {kind}", str(step), *cells])
    lines = aligned(rows)
    lines.insert(1, "-" * max(map(len, lines)))
    lines.append(lines[1])
    described: dict[str, list[str]] = {}
    for name, record in records.items():
        protocol = record["protocol"]
        line = (
            f"best and mean of {protocol['num_rollouts']} rollouts of each of "
            f"{protocol['num_clips']} clips; copy: the last context frame shown on; mean ± "
            "standard error over videos"
        )
        described.setdefault(line, []).append(name)
    if len(described) == 1:
        return "\n".join([*lines, *described])
    return "\n".join([*lines, *(f"{', '.join(n)}: {line}" for line, n in described.items())])


def _cell(record: Mapping, metric: str, kind: str, step: int) -> str:
    curve = record["curves"].get(metric, {}).get(kind)
    if curve is None or step > len(curve["value"]):
        return ABSENT
    value, error = (curve[name][step - 1] for name in ("value", "standard_error"))
    return number(Estimate(value, error, record["units"][metric]))
