"""The competitors, what is asked of them, and the table of what was measured."""

import statistics
from typing import NamedTuple

from benchmarks._arithmetic import training_flops_per_image

SGEMM = "sgemm"
BASELINE = "torch:authors"
COMPETITORS = {
    BASELINE: "PyTorch, eager float32, as published",
    "torch:best": "PyTorch, channels_last, bfloat16, fused Adam",
    "ours:float32": "ours, fit, float32",
    "ours:bfloat16": "ours, fit, mixed_bfloat16",
    "ours:float32_step": "ours, step alone, float32",
    "ours:bfloat16_step": "ours, step alone, mixed_bfloat16",
    "ours:jit": "ours, fit, float32, jit_compile",
}
# What is asked of a training path: times the baseline, and the share of a step.
TARGETS = {"ours:float32": 1.2, "ours:bfloat16": 2.0}
MAX_OVERHEAD = 0.05


class Rates(NamedTuple):
    """Work done per second in every round, by competitor: images, or operations for sgemm."""

    clock: dict[str, list[float]]
    """Per second on the clock."""
    processors: dict[str, list[float]]
    """Per second of processor time, which other processes disturb less."""


def _spread(values: list[float], digits: int = 2) -> str:
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def _quotients(numerators: list[float], denominators: list[float]) -> list[float]:
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def checkpoint_shares(facts: dict[str, dict], rates: Rates, batch_size: int) -> dict[str, float]:
    """Returns the part of the training time that checkpoints take at their default cadence.

    Args:
      facts: What each competitor said of itself when it was ready.
      rates: What was measured.
      batch_size: Images a step.
    """
    shares = {}
    for name, said in facts.items():
        if "checkpoint_seconds" in said:
            step_seconds = batch_size / statistics.median(rates.clock[name])
            between = said["checkpoint_every_steps"] * step_seconds
            shares[name] = said["checkpoint_seconds"] / between
    return shares


def report(rates: Rates, checkpoints: dict[str, float]) -> str:
    """Returns the table: median and (min..max) over the rounds, ratios taken within a round."""
    flops = training_flops_per_image()
    peak = rates.clock[SGEMM]
    lines = [
        f"sgemm peak, measured in the same rounds: {_spread([p / 1e9 for p in peak], 0)} GFLOP/s",
        f"one image costs {flops / 1e6:.1f} MFLOP in training",
        "",
        f"{'competitor':44} {'images/s':>20} {'x published':>20} {'share of peak':>20}",
    ]
    for name, label in COMPETITORS.items():
        if name not in rates.clock:
            continue
        ratios = _quotients(rates.clock[name], rates.clock[BASELINE])
        shares = _quotients([rate * flops for rate in rates.clock[name]], peak)
        cells = (_spread(rates.clock[name], 0), _spread(ratios), _spread(shares))
        lines.append(f"{label:44} " + " ".join(f"{cell:>20}" for cell in cells))
    for name in TARGETS:
        if name in rates.clock:
            lines += ["", *_verdicts(rates, checkpoints, name)]
    return "\n".join(lines)


def _verdicts(rates: Rates, checkpoints: dict[str, float], name: str) -> list[str]:
    """Returns what is asked of a training path beside what was measured."""
    label = COMPETITORS[name]
    ratio = statistics.median(_quotients(rates.clock[name], rates.clock[BASELINE]))
    lines = [f"{label}: {ratio:.2f}x published, asked for {TARGETS[name]:.1f}x"]
    step = f"{name}_step"
    if step not in rates.clock:
        return lines
    share = checkpoints[name]
    limit = f"asked for less than {100 * MAX_OVERHEAD:.0f} %"
    lines.append(f"{label}: input pipeline and callbacks cost, in % of a step ({limit}):")
    for what, by in rates._asdict().items():
        overheads = [100 * (q - 1 + share) for q in _quotients(by[step], by[name])]
        lines.append(f"  by the {what}: {_spread(overheads, 1)}")
    lines.append(f"  of which checkpoints, at their default cadence: {100 * share:.1f}")
    return lines
