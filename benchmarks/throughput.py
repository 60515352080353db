"""Training speed of the 28x28 convolutional sigma-VAE, ours against an equal PyTorch model.

    make bench
    make bench BENCH_ARGS="--data_dir=~/tensorflow_datasets --rounds=9"

Every competitor lives in a process of its own and is warm before the first round. In each round
each of them, in shuffled order and with the machine to itself, runs the same number of training
steps on the same images; ratios are taken within a round, so that a slow spell of the machine
hits both sides. `fit` rows are the path that `sigma-vae-train` takes (input pipeline, callbacks,
logging); `step` rows repeat one batch in memory without callbacks: the difference is what the
input pipeline and the callbacks cost.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._arithmetic import training_flops_per_image  # noqa: E402
from benchmarks._machine import OthersTime  # noqa: E402

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
DEFAULT = [name for name in COMPETITORS if name != "ours:jit"]
# What is asked of a training path: times the baseline, and the share of a step.
TARGETS = {"ours:float32": 1.2, "ours:bfloat16": 2.0}
MAX_OVERHEAD = 0.05
IMAGES = "images.npz"
# Products of 2048 x 2048 matrices a round, about as long as a training step or two.
SGEMM_UNITS = 8
# Lets the threads of the previous competitor stop spinning.
REST_SECONDS = 0.5


class Worker:
    """A warm competitor in its own process."""

    def __init__(self, name: str, args: argparse.Namespace, folder: pathlib.Path):
        self.name = name
        self._log = (folder / f"{name.replace(':', '_')}.log").open("w+", encoding="utf-8")
        command = [
            *(sys.executable, "-m", "benchmarks._worker", name),
            *(f"--images={folder / IMAGES}", f"--batch_size={args.batch_size}"),
            f"--steps={args.steps}",
            f"--workdir={folder / 'runs' / name.replace(':', '_')}",
        ]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.process_id = self._process.pid
        self.facts = json.loads(self._answer("ready"))

    def _answer(self, word: str) -> str:
        line = self._process.stdout.readline()
        if not line.startswith(f"{word} "):
            self._log.seek(0)
            raise RuntimeError(f"{self.name} stopped:\n{self._log.read()[-4000:]}")
        return line.removeprefix(f"{word} ")

    def run(self, units: int) -> float:
        """Runs some units of work and returns the seconds they took."""
        self._process.stdin.write(f"go {units}\n")
        self._process.stdin.flush()
        return float(self._answer("seconds"))

    def close(self):
        """Ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("quit\n")
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()


def load_images(data_dir: str | None) -> tuple[np.ndarray, str]:
    """Returns uint8 `[N, 28, 28, 1]` training images and what they are."""
    from tf_sigma_vae import plugins

    try:
        images = plugins.find("data", "fashion_mnist")().load(data_dir=data_dir)["train"]
        return images, f"Fashion-MNIST, {len(images):,} images"
    except FileNotFoundError:
        from PIL import Image

        small = plugins.find("data", "digits")().load()["train"][..., 0]
        images = [np.asarray(Image.fromarray(x).resize((28, 28), Image.BILINEAR)) for x in small]
        # Repeated, so that an epoch is as long as one of Fashion-MNIST.
        images = np.resize(np.stack(images)[..., np.newaxis], (60_000, 28, 28, 1))
        return images, "scikit-learn's digits, enlarged to 28x28 (no Fashion-MNIST in --data_dir)"


def measure(workers: list[Worker], args: argparse.Namespace, others: OthersTime):
    """Returns, for each competitor, its rate in every round: images/s, or FLOP/s for sgemm."""
    order = random.Random(args.seed)
    rates: dict[str, list[float]] = {worker.name: [] for worker in workers}
    for number in range(args.rounds):
        for worker in order.sample(workers, len(workers)):
            time.sleep(REST_SECONDS)
            if worker.name == SGEMM:
                work, units = SGEMM_UNITS * worker.facts["flops_per_unit"], SGEMM_UNITS
            else:
                work, units = args.steps * args.batch_size, args.steps
            with others.around(worker.process_id):
                rates[worker.name].append(work / worker.run(units))
        print(f"round {number + 1} of {args.rounds} done", file=sys.stderr)
    return rates


def _spread(values: list[float], digits: int = 2) -> str:
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def _quotients(numerators: list[float], denominators: list[float]) -> list[float]:
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def checkpoint_shares(workers: list[Worker], rates, batch_size: int) -> dict[str, float]:
    """Returns the part of the training time that checkpoints take at their default cadence."""
    shares = {}
    for worker in workers:
        if "checkpoint_seconds" in worker.facts:
            step_seconds = batch_size / statistics.median(rates[worker.name])
            between = worker.facts["checkpoint_every_steps"] * step_seconds
            shares[worker.name] = worker.facts["checkpoint_seconds"] / between
    return shares


def report(rates: dict[str, list[float]], checkpoints: dict[str, float]) -> str:
    """Returns the table: median and (min..max) over the rounds, ratios taken within a round."""
    flops = training_flops_per_image()
    peak = rates[SGEMM]
    lines = [
        f"sgemm peak, measured in the same rounds: {_spread([p / 1e9 for p in peak], 0)} GFLOP/s",
        f"one image costs {flops / 1e6:.1f} MFLOP in training",
        "",
        f"{'competitor':44} {'images/s':>20} {'x published':>20} {'share of peak':>20}",
    ]
    for name, label in COMPETITORS.items():
        if name not in rates:
            continue
        ratios = _quotients(rates[name], rates[BASELINE])
        shares = _quotients([rate * flops for rate in rates[name]], peak)
        cells = (_spread(rates[name], 0), _spread(ratios), _spread(shares))
        lines.append(f"{label:44} " + " ".join(f"{cell:>20}" for cell in cells))
    lines.append("")
    for name in TARGETS:
        lines += _verdicts(rates, checkpoints, name)
    return "\n".join(lines)


def _verdicts(rates, checkpoints: dict[str, float], name: str) -> list[str]:
    """Returns what is asked of a training path beside what was measured."""
    if name not in rates:
        return []
    ratio = statistics.median(_quotients(rates[name], rates[BASELINE]))
    lines = [f"{COMPETITORS[name]}: {ratio:.2f}x published, asked for {TARGETS[name]:.1f}x"]
    step = f"{name}_step"
    if step in rates:
        share = checkpoints[name]
        overheads = [100 * (q - 1 + share) for q in _quotients(rates[step], rates[name])]
        lines.append(
            f"{COMPETITORS[name]}: input pipeline and callbacks cost {_spread(overheads, 1)} % "
            f"of a step ({100 * share:.1f} % of it for checkpoints), "
            f"asked for less than {100 * MAX_OVERHEAD:.0f} %"
        )
    return lines


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", help="where TensorFlow Datasets prepared fashion_mnist")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=25, help="training steps a round")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0, help="of the order within the rounds")
    parser.add_argument("--competitors", nargs="+", choices=COMPETITORS, default=DEFAULT)
    parser.add_argument("--json", type=pathlib.Path, help="also write every round's rates here")
    args = parser.parse_args()
    for name in ("rounds", "steps", "batch_size"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(args, name)}")
    return args


def main():
    """Starts the workers, measures, prints the table."""
    args = parse_args()
    images, what = load_images(args.data_dir)
    print(f"{what}; batch {args.batch_size}; {args.rounds} rounds of {args.steps} steps")
    print(f"{os.cpu_count()} cores; median (min..max) over the rounds")
    names = [SGEMM, *dict.fromkeys([BASELINE, *args.competitors])]
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = pathlib.Path(temporary)
        np.savez(folder / IMAGES, train=images, test=images[:1000])
        workers = []
        for name in names:
            print(f"starting {name}", file=sys.stderr)
            worker = Worker(name, args, folder)
            stack.callback(worker.close)
            workers.append(worker)
        sizes = {w.facts["parameters"] for w in workers if "parameters" in w.facts}
        if len(sizes) != 1:
            raise RuntimeError(f"the models are not equal: they have {sizes} parameters")
        others = OthersTime()
        rates = measure(workers, args, others)
        checkpoints = checkpoint_shares(workers, rates, args.batch_size)
    print(f"processor time taken by other processes meanwhile: {others}")
    print(report(rates, checkpoints))
    if args.json:
        args.json.write_text(json.dumps({"images": what, "rates": rates}, indent=1))


if __name__ == "__main__":
    main()
