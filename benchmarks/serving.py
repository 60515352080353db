"""Latency of an exported model through its SavedModel, relative to calling the Keras model.

    make bench-serving
    make bench-serving BENCH_ARGS="--export=served/digits/3 --workdir=runs/digits"

Without a real export, an untrained `conv28` (28x28x1, `gaussian_optimal`) is exported to a
temporary folder. `served` is what a server runs for a request, less the network and the request's
parsing: a signature of `tf.saved_model.load`. The Keras model is called as a user does, eagerly
(`model.encode(x).mean()` and `.stddev()`, and so on), and inside of a `tf.function`. A call is over
when all of its outputs are NumPy arrays.

In each round every competitor, in shuffled order, makes the same number of calls, of which the
median counts (p50); ratios are taken within a round, so that a slow spell of the machine hits all.
"""

import argparse
import functools
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._machine import OthersTime  # noqa: E402

IMAGE_SHAPE = (28, 28, 1)
INPUTS = {"encode": ("images",), "decode": ("z",), "sample": ("seed",), "elbo": ("images", "seed")}
SERVED, EAGER, FUNCTION = "served", "eager", "tf.function"
WARMUP_CALLS = 3

Call = Callable[[], object]
Row = tuple[str, int]
"""A signature and the size of the batch."""


def _encode(model, images):
    posterior = model.encode(images)
    return posterior.mean(), posterior.stddev()


def _decode(model, z):
    likelihood = model.decode(z)
    return likelihood.mean(), likelihood.stddev()


def _sample(model, seed):
    likelihood, image, z = model.sample(seed.shape[0])
    return image, likelihood.mean(), z


def _elbo(model, images, seed):
    # The model seeds its noise by the image.
    del seed
    output = model(images)
    return -(output.distortion + output.rate), -output.distortion, output.rate


METHODS: dict[str, Callable] = {
    "encode": _encode,
    "decode": _decode,
    "sample": _sample,
    "elbo": _elbo,
}


def random_inputs(image_shape, latent_size: int, batch_size: int) -> dict:
    """Tensors by the name of an input: 8-bit images, latents from the prior, seeds."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (batch_size, *image_shape))
    return {
        "images": tf.constant(levels / 255.0, tf.float32),
        "z": tf.constant(rng.normal(size=(batch_size, latent_size)), tf.float32),
        "seed": tf.constant(rng.integers(0, 2**31, (batch_size, 2)), tf.int32),
    }


def untrained_model():
    """The model that is measured without a real export, its scale that of random images."""
    import keras

    from tf_sigma_vae import models

    keras.utils.set_random_seed(0)
    model = models.VAE(IMAGE_SHAPE, likelihood="gaussian_optimal", network="conv28")
    model.calibrate(random_inputs(IMAGE_SHAPE, model.latent_size, 64)["images"].numpy())
    return model


def competitors(signatures, model, batch_sizes: list[int]) -> dict[Row, dict[str, Call]]:
    """The calls to be timed, by row and competitor.

    Args:
      signatures: Of the loaded SavedModel, by name.
      model: The Keras model that it was written from, or None: it is then not called.
      batch_sizes: Numbers of rows of a request.
    """
    import tensorflow as tf

    specs = {name: signatures[name].structured_input_signature[1] for name in INPUTS}
    image_shape, latent_size = specs["encode"]["images"].shape[1:], specs["decode"]["z"].shape[-1]
    # One a signature, which traces it anew for another size of the batch.
    eager = {name: functools.partial(METHODS[name], model) for name in INPUTS}
    traced = {name: tf.function(method) for name, method in eager.items()}
    calls = {}
    for batch_size in batch_sizes:
        tensors = random_inputs(image_shape, latent_size, batch_size)
        for name, wanted in INPUTS.items():
            given = {key: tensors[key] for key in wanted}
            row = {SERVED: _call(signatures[name], given)}
            if model is not None:
                row[EAGER] = _call(eager[name], given)
                row[FUNCTION] = _call(traced[name], given)
            calls[name, batch_size] = row
    return calls


def _call(function: Callable, inputs: dict) -> Call:
    import tensorflow as tf

    def call():
        return [output.numpy() for output in tf.nest.flatten(function(**inputs))]

    return call


def measure(calls: dict, rounds: int, num_calls: int, seed: int) -> dict:
    """Median seconds of a call in every round, by row and competitor.

    Args:
      calls: Of `competitors`.
      rounds: Number of rounds.
      num_calls: Calls of a competitor a round.
      seed: Of the order within the rounds.
    """
    order = random.Random(seed)
    seconds: dict[Row, dict[str, list[float]]] = {
        row: {name: [] for name in those} for row, those in calls.items()
    }
    for those in calls.values():
        for call in those.values():
            _seconds_of_calls(call, WARMUP_CALLS)
    for number in range(rounds):
        for row, those in calls.items():
            for name in order.sample(list(those), len(those)):
                times = _seconds_of_calls(those[name], num_calls)
                seconds[row][name].append(statistics.median(times))
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return seconds


def _seconds_of_calls(call: Call, num_calls: int) -> list[float]:
    times = []
    for _ in range(num_calls):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def table(seconds: dict) -> str:
    """The table: median and (min..max) over the rounds, ratios taken within a round."""
    others = [name for name in (EAGER, FUNCTION) if name in next(iter(seconds.values()))]
    head = f"{'signature':10} {'batch':>5} {'p50 served, ms':>24}"
    lines = [head + "".join(f" {f'{name}, ms':>16} {f'served / {name}':>20}" for name in others)]
    for (signature, batch_size), times in seconds.items():
        cells = [f"{_spread([1e3 * t for t in times[SERVED]]):>24}"]
        for name in others:
            ratios = [a / b for a, b in zip(times[SERVED], times[name], strict=True)]
            cells.append(f"{1e3 * statistics.median(times[name]):>16.2f} {_spread(ratios):>20}")
        lines.append(f"{signature:10} {batch_size:>5} " + " ".join(cells))
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--export", help="folder of an exported version: EXPORT_DIR/<version>")
    parser.add_argument("--workdir", help="the run that it is of, for the ratios")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=9, help="calls a round")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--seed", type=int, default=0, help="of the order within the rounds")
    args = parser.parse_args(argv)
    for name in ("rounds", "calls"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(args, name)}")
    if min(args.batch_sizes) < 1:
        parser.error(f"--batch_sizes must be at least 1, got {min(args.batch_sizes)}")
    if args.export and not os.path.isfile(os.path.join(args.export, "saved_model.pb")):
        parser.error(f"--export must hold a saved_model.pb: {args.export!r} does not")
    if args.workdir and not args.export:
        parser.error("--workdir is the run of an --export, which is missing")
    return args


def main():
    """Exports a model unless one is given, measures, prints the table."""
    args = parse_args()
    import tensorflow as tf

    others = OthersTime()
    with tempfile.TemporaryDirectory() as temporary:
        folder, model = args.export, None
        if args.workdir:
            from tf_sigma_vae.evaluation.runs import FinishedRun

            model = FinishedRun(args.workdir).model()
        elif not folder:
            folder, model = os.path.join(temporary, "1"), untrained_model()
            model.export(folder)
        calls = competitors(tf.saved_model.load(folder).signatures, model, args.batch_sizes)
        with others.around(os.getpid()):
            seconds = measure(calls, args.rounds, args.calls, args.seed)
    what = args.export or "conv28, 28x28x1, gaussian_optimal, untrained"
    print(f"{what}; {os.cpu_count()} cores")
    print(f"{args.rounds} rounds of {args.calls} calls; median (min..max) over the rounds")
    print(f"{table(seconds)}\n\n{others.describe()}")


if __name__ == "__main__":
    main()
