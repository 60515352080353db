"""What the sequence VAE of a config file costs: trace time, seconds a step, memory, rollouts.

    make bench-sequence
    make bench-sequence BENCH_ARGS="--config=configs/moving_mnist_small.py --batch_sizes 16"

Each case, a batch size and a length of training clips, is a fresh process that trains a few steps
on random 8-bit clips; cases are run in turn, in each round all of them. That of the first length
then makes rollouts, by `model.rollout` and, in turn with it, by a Python loop over single steps.
The graph of a training step is traced once more to count its nodes, which longer clips must not
add to.
"""

import argparse
import json
import os
import pathlib
import runpy
import statistics
import subprocess
import sys

from benchmarks._sequence import Case

ROOT = pathlib.Path(__file__).resolve().parent.parent
MIB = 2**20
SIDE = 64
CHANNELS = {"bair_push": 3, "moving_mnist": 1}
"""Of the datasets that have frames of this size, unless their options say another."""


def measure(case: Case) -> dict:
    """What a fresh process says of a case; see `_sequence.main`."""
    command = [sys.executable, "-m", "benchmarks._sequence", json.dumps(case._asdict())]
    name = f"batch {case.batch_size}, {case.num_frames} frames"
    print(name, file=sys.stderr)
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"{name}, stopped:\n{finished.stderr[-4000:]}")
    return json.loads(finished.stdout.splitlines()[-1])


def median(rounds: list[dict], what: str, clock: str = "clock") -> float:
    """Median time, over rounds and, for "steps", over steps."""
    found = [facts[what] for facts in rounds]
    if what == "steps":
        found = [step for steps in found for step in steps]
    return statistics.median(each[clock] for each in found)


def table(cases: dict[tuple[int, int], list[dict]]) -> str:
    """The measurements of training, a line for each batch size and length of clips."""
    heads = ["case", "build, s", "first step, s", "trace, s", "step, s", "of processors"]
    heads += ["peak, MiB", "nodes"]
    lines = [f"{heads[0]:24}" + "".join(f"{head:>15}" for head in heads[1:])]
    for (batch_size, num_frames), rounds in cases.items():
        figures = [median(rounds, what) for what in ("build", "first", "trace", "steps")]
        figures.append(median(rounds, "steps", "processors"))
        cells = "".join(f"{figure:>15.2f}" for figure in figures)
        peak = max(facts["peak"] for facts in rounds) / MIB
        name = f"batch {batch_size}, {num_frames} frames"
        lines.append(f"{name:24}{cells}{peak:>15.0f}{rounds[0]['num_nodes']:>15,}")
    sizes, lengths = (sorted(set(values)) for values in zip(*cases, strict=True))
    if len(lengths) > 1:
        ends = lengths[0], lengths[-1]
        lines += ["", growth(*ends, *(cases[sizes[0], length] for length in ends))]
    return "\n".join(lines)


def growth(short: int, long: int, of_short: list[dict], of_long: list[dict]) -> str:
    """By how much longer clips make the graph and its trace longer."""
    nodes = of_long[0]["num_nodes"] / of_short[0]["num_nodes"]
    trace = median(of_long, "trace") / median(of_short, "trace")
    return (
        f"{long} frames for {short}: {nodes:.3f} times the nodes, {trace:.2f} times the trace time"
    )


def rollout_table(cases: dict[tuple[int, int], list[dict]], horizon: int) -> str:
    """The measurements of rollouts, a line for each batch size and number of copies."""
    heads = ("rollouts", "first call, s", "call, s", "ms a frame", "ms each", "times eager")
    lines = [f"{heads[0]:24}" + "".join(f"{head:>15}" for head in heads[1:])]
    for (batch_size, _), rounds in cases.items():
        # Of other lengths there are none.
        for each in zip(*(facts["rollouts"] for facts in rounds), strict=True):
            copies = each[0]["num_copies"]
            traced, eager = (
                statistics.median(t for facts in each for t in facts[kind])
                for kind in ("traced", "eager")
            )
            first = statistics.median(facts["first"]["traced"] for facts in each)
            frame = 1e3 * traced / horizon
            figures = (first, traced, frame, frame / (batch_size * copies), eager / traced)
            cells = "".join(f"{figure:>15.2f}" for figure in figures)
            lines.append(f"{f'{batch_size} clips x {copies}':24}{cells}")
    return "\n".join(lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=str(ROOT / "configs" / "bair_svg.py"))
    parser.add_argument(
        "--frame", type=int, nargs=3, metavar=("H", "W", "C"), help="by default of the dataset"
    )
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[4])
    parser.add_argument("--lengths", type=int, nargs="+", default=[12, 30], help="of clips")
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 10], help="rollouts of a clip")
    parser.add_argument("--horizon", type=int, default=28, help="frames of a rollout")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4, help="after the first one")
    args = parser.parse_args(argv)
    for name in ("batch_sizes", "lengths", "copies", "horizon", "rounds", "steps"):
        value = getattr(args, name)
        if min(value if isinstance(value, list) else [value]) < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    if not os.path.isfile(args.config):
        parser.error(f"--config must be a config file, got {args.config!r}")
    args.config = os.path.abspath(args.config)
    values = runpy.run_path(args.config)["get_config"]()
    if args.frame is None and values.dataset not in CHANNELS:
        parser.error(f"--frame is needed: dataset {values.dataset!r} has frames of any shape")
    side = values.dataset_options.get("image_size", SIDE)
    args.frame = tuple(args.frame or (side, side, CHANNELS[values.dataset]))
    return args


def main():
    """Measures every case in every round, and prints the tables."""
    args = parse_args()
    lengths = sorted(set(args.lengths))
    cases: dict[tuple[int, int], list[dict]] = {
        (size, n): [] for size in sorted(set(args.batch_sizes)) for n in lengths
    }
    for _ in range(args.rounds):
        for (size, length), rounds in cases.items():
            copies = tuple(args.copies) if length == lengths[0] else ()
            case = Case(args.config, args.frame, size, length, args.steps, copies, args.horizon)
            rounds.append(measure(case))
    facts = next(iter(cases.values()))[0]
    print(
        f"{os.path.basename(args.config)}: {facts['num_weights'] / 1e6:.2f} million weights, "
        f"frames {args.frame}; {os.cpu_count()} cores"
    )
    print(f"median over {args.rounds} rounds of {args.steps} steps; the largest peak\n")
    print(table(cases))
    print(f"\n{args.horizon} frames each\n")
    print(rollout_table(cases, args.horizon))


if __name__ == "__main__":
    main()
