"""What it costs to share a batch out over replicas, and that it changes no result.

    make bench-replicas
    make bench-replicas BENCH_ARGS="--only=speed --rounds=9"

Three tables, of logical devices of this machine's CPU:

* equality: the largest relative difference of the loss, of any gradient and of the stored scale
  between one device and several, over a few steps of training with an uneven last batch;
* collectives: how many there are in a training step of two workers (two processes that talk over
  gRPC), and how large they are;
* speed: the time of a training step of `conv28` (28x28x1) on two logical devices, relative to one.
  The devices share the cores: the ratio is the cost of sharing out, not the gain of a second GPU.
  Every competitor is warm in a process of its own; in each round all run in shuffled order, and
  ratios are taken within a round.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import _collectives, throughput  # noqa: E402
from benchmarks._machine import OthersTime  # noqa: E402

PARTS = ("equality", "collectives", "speed")
REPLICAS = (2, 3, 4)
SHOWN = ("loss", "gradients", "stored")
LIKELIHOODS = ("gaussian_shared", "gaussian_optimal")
NUM_DEVICES = (1, 2)
IMAGE_SHAPE = (28, 28, 1)


def equality(cases: list[str], replicas: list[int]) -> dict[int, dict[str, dict]]:
    """The differences of `_equality.Differences`, by number of replicas and case.

    Args:
      cases: Of `_equality`.
      replicas: Numbers of replicas, a process each.

    Raises:
      RuntimeError: If a process fails.
    """
    found = {}
    for number in replicas:
        print(f"one device against {number} replicas", file=sys.stderr)
        command = [sys.executable, "-m", "benchmarks._equality", str(number), *cases]
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if finished.returncode != 0:
            raise RuntimeError(f"{number} replicas stopped:\n{finished.stderr[-4000:]}")
        found[number] = json.loads(finished.stdout.splitlines()[-1])
    return found


def equality_table(found: dict[int, dict[str, dict]]) -> str:
    """The table: a line a case, the differences of each number of replicas."""
    titles = [f"{n} replicas: {', '.join(SHOWN)}" for n in found]
    lines = [f"{'largest relative difference':40} " + " ".join(f"{t:>35}" for t in titles)]
    for case in next(iter(found.values())):
        cells = [" ".join(f"{found[n][case][kind]:>11.1e}" for kind in SHOWN) for n in found]
        lines.append(f"{case:40} " + " ".join(cells))
    return "\n".join(lines)


def collectives_table(found: dict[str, dict[str, list[str]]]) -> str:
    """The table: of each likelihood the collectives of a step, and those of Keras's logs."""
    lines = []
    for name, parts in found.items():
        lines.append(f"{name}: {sum(map(len, parts.values()))} collectives in a step")
        for part, those in parts.items():
            for what, number in collections.Counter(those).items():
                operation, elements, dtype = what.split()
                lines.append(f"  {part:5} {number:>3} x {operation} of {elements} {dtype}")
    baseline, other = (collections.Counter(found[name]["step"]) for name in LIKELIHOODS)
    more = sum(other.values()) - sum(baseline.values())
    lines.append(f"{LIKELIHOODS[1]} has {more} more than {LIKELIHOODS[0]} in the step itself")
    return "\n".join(lines)


def speed(args: argparse.Namespace) -> str:
    """Measures the steps and returns the table."""
    others = OthersTime()
    names = [f"replicas:{name}:{number}" for name in LIKELIHOODS for number in NUM_DEVICES]
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = pathlib.Path(temporary)
        shape = (4 * args.batch_size, *IMAGE_SHAPE)
        images = np.random.default_rng(args.seed).integers(0, 256, shape, dtype=np.uint8)
        np.savez(folder / throughput.IMAGES, train=images, test=images[:1])
        workers = []
        for name in names:
            print(f"starting {name}", file=sys.stderr)
            workers.append(throughput.Worker(name, args, folder))
            stack.callback(workers[-1].close)
        rates = throughput.measure(workers, args, others)
    return f"{speed_table(rates.clock, args.batch_size)}\n\n{others.describe()}"


def speed_table(rates: dict[str, list[float]], batch_size: int) -> str:
    """The table: median and (min..max) over the rounds, ratios taken within a round.

    Args:
      rates: Images per second in every round, by competitor.
      batch_size: Images a step.
    """
    lines = [f"{'likelihood':20} {'1 device, ms':>14} {'2 devices, ms':>14} {'ratio':>22}"]
    for name in LIKELIHOODS:
        one, two = (rates[f"replicas:{name}:{number}"] for number in NUM_DEVICES)
        ratios = [a / b for a, b in zip(one, two, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
        steps = [f"{1e3 * batch_size / statistics.median(rate):.0f}" for rate in (one, two)]
        lines.append(f"{name:20} {steps[0]:>14} {steps[1]:>14} {spread:>22}")
    return "\n".join(lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, help="one of the tables instead of all")
    parser.add_argument("--replicas", type=int, nargs="+", default=list(REPLICAS), metavar="N")
    parser.add_argument("--cases", nargs="+", metavar="NAME", help="of the equality; all if unset")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="training steps a round")
    parser.add_argument("--batch_size", type=int, default=128, help="global, of the speed")
    parser.add_argument("--seed", type=int, default=0, help="of the order within the rounds")
    args = parser.parse_args(argv)
    for name in ("rounds", "steps", "batch_size"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(args, name)}")
    if args.batch_size % NUM_DEVICES[-1]:
        parser.error(f"--batch_size must be even, for two devices share it; got {args.batch_size}")
    from benchmarks import _equality

    most = _equality.GLOBAL_BATCH_SIZE
    for number in args.replicas:
        if number < 2 or most % number:
            parser.error(f"--replicas must divide the batch of {most} images, got {number}")
    known = [*_equality.variants(), *_equality.settings()]
    for name in args.cases or ():
        if name not in known:
            parser.error(f"unknown case {name!r}; known: {', '.join(known)}")
    args.cases = args.cases or known
    return args


def main():
    """Measures and prints the tables."""
    args = parse_args()
    parts = PARTS if args.only is None else (args.only,)
    if "equality" in parts:
        print(equality_table(equality(args.cases, args.replicas)), flush=True)
    if "collectives" in parts:
        print(f"\ntwo workers:\n{collectives_table(_collectives.count(list(LIKELIHOODS)))}")
    if "speed" in parts:
        size = "x".join(str(n) for n in IMAGE_SHAPE)
        print(f"\nconv28, {size}, global batch {args.batch_size}, {os.cpu_count()} cores")
        print(f"{args.rounds} rounds of {args.steps} steps; median (min..max) over the rounds")
        print(speed(args))


if __name__ == "__main__":
    main()
