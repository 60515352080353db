"""What the hierarchical VAE of a config file costs: trace time, seconds a step, memory an image.

    make bench-hierarchy
    make bench-hierarchy BENCH_ARGS="--config=configs/cifar10_hvae_small.py --batch_sizes 32 64"

Each case is a fresh process that trains a few steps on random 8-bit images, 32x32x3, with what is
computed on the way kept for the gradient, and computed a second time ("rematerialized"). Cases are
run in turn, in each round all of them. The memory an image takes is the difference of the peaks of
two batch sizes, over that of the sizes: what weights and TensorFlow itself take drops out.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MIB = 2**20
MODES = {"kept": False, "rematerialized": True}


def measure(config: str, batch_size: int, mode: str, num_steps: int) -> dict:
    """What a fresh process says of a case; see `_hierarchy.main`."""
    command = [sys.executable, "-m", "benchmarks._hierarchy", config, str(batch_size)]
    command += [str(MODES[mode]), str(num_steps)]
    print(f"batch {batch_size}, {mode}", file=sys.stderr)
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"batch {batch_size}, {mode}, stopped:\n{finished.stderr[-4000:]}")
    return json.loads(finished.stdout.splitlines()[-1])


def seconds(rounds: list[dict], clock: str) -> float:
    """Median time of a step."""
    return statistics.median(step[clock] for facts in rounds for step in facts["steps"])


def bytes_an_image(peaks: dict[int, int]) -> float:
    """Slope of the peak between the smallest and the largest batch."""
    small, large = min(peaks), max(peaks)
    return (peaks[large] - peaks[small]) / (large - small)


def table(cases: dict[tuple[str, int], list[dict]]) -> str:
    """The measurements, a line for each case, and memory an image for each mode."""
    heads = ("case", "build, s", "first step, s", "step, s", "of processors", "peak, MiB")
    lines = [f"{heads[0]:32}" + "".join(f"{head:>15}" for head in heads[1:])]
    for (mode, batch_size), rounds in cases.items():
        figures = (
            statistics.median(facts["build"]["clock"] for facts in rounds),
            statistics.median(facts["first"]["clock"] for facts in rounds),
            seconds(rounds, "clock"),
            seconds(rounds, "processors"),
        )
        peak = max(facts["peak"] for facts in rounds) / MIB
        cells = "".join(f"{figure:>15.2f}" for figure in figures)
        lines.append(f"{f'batch {batch_size}, {mode}':32}{cells}{peak:>15.0f}")
    lines.append("")
    sizes = sorted({size for _, size in cases})
    for mode in MODES:
        peaks = {size: max(f["peak"] for f in cases[mode, size]) for size in sizes}
        lines.append(f"{mode}: {bytes_an_image(peaks) / MIB:.1f} MiB an image")
    ratio = seconds(cases["rematerialized", sizes[-1]], "processors")
    ratio /= seconds(cases["kept", sizes[-1]], "processors")
    lines.append(f"a step takes {ratio:.2f} times as long rematerialized (batch {sizes[-1]})")
    return "\n".join(lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=str(ROOT / "configs" / "cifar10_hvae.py"))
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4, help="after the first one")
    args = parser.parse_args(argv)
    for name in ("rounds", "steps"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(args, name)}")
    if min(args.batch_sizes) < 1 or len(set(args.batch_sizes)) < 2:
        parser.error(f"--batch_sizes must be two sizes or more, from 1; got {args.batch_sizes}")
    if not os.path.isfile(args.config):
        parser.error(f"--config must be a config file, got {args.config!r}")
    args.config = os.path.abspath(args.config)
    return args


def main():
    """Measures every case in every round, and prints the table."""
    args = parse_args()
    cases: dict[tuple[str, int], list[dict]] = {
        (mode, size): [] for size in sorted(set(args.batch_sizes)) for mode in MODES
    }
    for _ in range(args.rounds):
        for (mode, size), rounds in cases.items():
            rounds.append(measure(args.config, size, mode, args.steps))
    facts = next(iter(cases.values()))[0]
    print(
        f"{os.path.basename(args.config)}: {facts['num_weights'] / 1e6:.1f} million weights, "
        f"{facts['num_levels']} levels, {facts['latent_size']:,} latents; {os.cpu_count()} cores"
    )
    print(f"median over {args.rounds} rounds of {args.steps} steps; the largest peak\n")
    print(table(cases))


if __name__ == "__main__":
    main()
