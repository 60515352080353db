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
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._machine import OthersTime  # noqa: E402
from benchmarks._report import (  # noqa: E402
    BASELINE,
    COMPETITORS,
    SGEMM,
    Rates,
    checkpoint_shares,
    report,
)

DEFAULT = [name for name in COMPETITORS if name != "ours:jit"]
IMAGES = "images.npz"
# Products of 2048 x 2048 matrices a round: about a second on two cores.
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
        assert self._process.stdin is not None and self._process.stdout is not None, "both pipes"
        self._input, self._output = self._process.stdin, self._process.stdout
        self.process_id = self._process.pid
        self.facts = json.loads(self._answer("ready"))

    def _answer(self, word: str) -> str:
        line = self._output.readline()
        if not line.startswith(f"{word} "):
            self._log.seek(0)
            raise RuntimeError(f"{self.name} stopped:\n{self._log.read()[-4000:]}")
        return line.removeprefix(f"{word} ")

    def run(self, units: int) -> tuple[float, float]:
        """Runs some units of work and returns the seconds by the clock and of the processors."""
        self._input.write(f"go {units}\n")
        self._input.flush()
        clock, processors = self._answer("seconds").split()
        return float(clock), float(processors)

    def close(self):
        """Ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self._input.write("quit\n")
            self._input.close()
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
        images = [
            np.asarray(Image.fromarray(x).resize((28, 28), Image.Resampling.BILINEAR))
            for x in small
        ]
        # Repeated, so that an epoch is as long as one of Fashion-MNIST.
        images = np.resize(np.stack(images)[..., np.newaxis], (60_000, 28, 28, 1))
        return images, "scikit-learn's digits, enlarged to 28x28 (no Fashion-MNIST in --data_dir)"


def measure(workers: list[Worker], args: argparse.Namespace, others: OthersTime) -> Rates:
    """Runs the rounds."""
    order = random.Random(args.seed)
    rates = Rates({w.name: [] for w in workers}, {w.name: [] for w in workers})
    for number in range(args.rounds):
        for worker in order.sample(workers, len(workers)):
            time.sleep(REST_SECONDS)
            if worker.name == SGEMM:
                work, units = SGEMM_UNITS * worker.facts["flops_per_unit"], SGEMM_UNITS
            else:
                work, units = args.steps * args.batch_size, args.steps
            with others.around(worker.process_id):
                clock, processors = worker.run(units)
            rates.clock[worker.name].append(work / clock)
            rates.processors[worker.name].append(work / processors)
        print(f"round {number + 1} of {args.rounds} done", file=sys.stderr)
    return rates


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data_dir",
        type=os.path.expanduser,
        help="where TensorFlow Datasets prepared fashion_mnist",
    )
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
        facts = {worker.name: worker.facts for worker in workers}
        checkpoints = checkpoint_shares(facts, rates, args.batch_size)
    print(f"{report(rates, checkpoints)}\n\n{others.describe()}")
    if args.json:
        args.json.write_text(json.dumps({"images": what, "rates": rates._asdict()}, indent=1))


if __name__ == "__main__":
    main()
