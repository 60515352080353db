"""Step time of every likelihood relative to `gaussian_shared`, and its peak memory.

    make bench-heads
    make bench-heads BENCH_ARGS="--likelihoods categorical --rounds=3"

The model is `conv28` on random 8-bit images. Peak memory is that of a fresh process that trains a
few steps, TensorFlow itself included. Then all models are held warm in one process; in each round
each of them, in shuffled order, runs the same number of steps on the same batch, and ratios are
taken within a round, so that a slow spell of the machine hits both sides.
"""

import argparse
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import _heads  # noqa: E402
from benchmarks._machine import OthersTime  # noqa: E402

BASELINE = "gaussian_shared"
GIB = 2**30


def peak_memory(name: str, args: argparse.Namespace) -> int:
    """Peak resident memory of a fresh process that trains with a likelihood, bytes."""
    flags = ("batch_size", "image_size", "channels", "precision")
    command = [sys.executable, "-m", "benchmarks._heads", name, f"--steps={args.memory_steps}"]
    command += [f"--{flag}={getattr(args, flag)}" for flag in flags]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"{name} stopped:\n{finished.stderr[-4000:]}")
    return int(finished.stdout.split()[-1])


def step_seconds(trainers: dict, rounds: int, steps: int, seed: int) -> dict[str, list[float]]:
    """Seconds a step, in every round, by likelihood.

    Args:
      trainers: Objects with a method `run(steps)`, by likelihood.
      rounds: Number of rounds.
      steps: Steps a round.
      seed: Of the order within the rounds.
    """
    order = random.Random(seed)
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for number in range(rounds):
        for name in order.sample(list(trainers), len(trainers)):
            start = time.perf_counter()
            trainers[name].run(steps)
            seconds[name].append((time.perf_counter() - start) / steps)
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return seconds


def table(seconds: dict[str, list[float]], peaks: dict[str, int]) -> str:
    """The table: median and (min..max) over the rounds, ratios taken within a round."""
    lines = [f"{'likelihood':28} {'step, ms':>10} {f'x {BASELINE}':>22} {'peak, GiB':>10}"]
    for name in sorted(seconds):
        ratios = [a / b for a, b in zip(seconds[name], seconds[BASELINE], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
        milliseconds = 1e3 * statistics.median(seconds[name])
        peak = f"{peaks[name] / GIB:.2f}"
        lines.append(f"{name:28} {milliseconds:>10.0f} {spread:>22} {peak:>10}")
    return "\n".join(lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _heads.add_model_flags(parser)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="training steps a round")
    parser.add_argument("--memory_steps", type=int, default=2, help="steps after two of warm-up")
    parser.add_argument("--seed", type=int, default=0, help="of the order within the rounds")
    parser.add_argument("--likelihoods", nargs="+", metavar="NAME", help="all, if not given")
    args = parser.parse_args(argv)
    for name in ("rounds", "steps", "memory_steps", "batch_size"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(args, name)}")
    known = _heads.names()
    for name in args.likelihoods or ():
        if name not in known:
            parser.error(f"unknown likelihood {name!r}; known: {', '.join(known)}")
    args.likelihoods = list(dict.fromkeys([BASELINE, *(args.likelihoods or known)]))
    return args


def main():
    """Measures memory, then time, and prints the table."""
    args = parse_args()
    size = f"{args.image_size}x{args.image_size}x{args.channels}"
    print(f"conv28, {size}, batch {args.batch_size}, {args.precision}; {os.cpu_count()} cores")
    print(f"{args.rounds} rounds of {args.steps} steps; median (min..max) over the rounds")
    peaks = {}
    # Before the models are made here, so that both never need memory at once.
    for name in args.likelihoods:
        print(f"memory of {name}", file=sys.stderr)
        peaks[name] = peak_memory(name, args)
    images = _heads.random_images(args.batch_size, args.image_size, args.channels)
    trainers = {n: _heads.HeadTrainer(n, images, args.precision) for n in args.likelihoods}
    for name, trainer in trainers.items():
        print(f"warming up {name}", file=sys.stderr)
        trainer.run(_heads.WARMUP_STEPS)
    others = OthersTime()
    with others.around(os.getpid()):
        seconds = step_seconds(trainers, args.rounds, args.steps, args.seed)
    print(f"{table(seconds, peaks)}\n\n{others.describe()}")


if __name__ == "__main__":
    main()
