"""One competitor in its own process, so that no framework's threads disturb another's.

Protocol, a line each: the worker prints `ready {json}` once it is warm; `go N` on its standard
input makes it run N units of work and print `seconds S P`, the time on the clock and that of the
processors; `quit` or a closed input ends it.
"""

import argparse
import json
import sys
import time

import numpy as np

WARMUP_UNITS = 5
SGEMM_SIZE = 2048

# The protocol's channel; `main` sends everything else that is printed to the standard error.
_PIPE = sys.__stdout__


def report_ready(**facts):
    """Tells the parent that this worker is warm, with facts for its table."""
    print("ready " + json.dumps(facts), file=_PIPE, flush=True)


def next_order() -> int:
    """Waits for the parent and returns how many units to run; 0 means to stop."""
    words = sys.stdin.readline().split()
    return int(words[1]) if words and words[0] == "go" else 0


class Stopwatch:
    """Measures an order, from its construction to `report`."""

    def __init__(self):
        self._clock, self._processors = time.perf_counter(), time.process_time()

    def report(self):
        """Answers the parent's last order."""
        clock = time.perf_counter() - self._clock
        processors = time.process_time() - self._processors
        print(f"seconds {clock!r} {processors!r}", file=_PIPE, flush=True)


def serve(run, **facts):
    """Obeys the parent with `run(units)`, which must have finished its work on return."""
    run(WARMUP_UNITS)
    report_ready(**facts)
    while units := next_order():
        stopwatch = Stopwatch()
        run(units)
        stopwatch.report()


def sgemm_runner():
    """Returns a function that runs single-precision products with the faster of two libraries."""
    import torch

    generator = np.random.default_rng(0)
    a = generator.standard_normal((SGEMM_SIZE, SGEMM_SIZE), dtype=np.float32)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    t = torch.from_numpy(a).to(device)
    out = np.empty_like(a)

    def with_numpy(units):
        for _ in range(units):
            np.matmul(a, a, out=out)

    def with_torch(units):
        product = t
        for _ in range(units):
            product = torch.mm(t, t)
        product[0, 0].item()

    def seconds(run):
        run(2)
        start = time.perf_counter()
        run(4)
        return time.perf_counter() - start

    return min((with_numpy, with_torch), key=seconds)


def main():
    """Runs the competitor that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("competitor")
    parser.add_argument("--images", required=True, help="a .npz file with uint8 images")
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True, help="training steps a round")
    parser.add_argument("--workdir", required=True)
    args = parser.parse_args()
    sys.stdout = sys.stderr
    family, _, setting = args.competitor.partition(":")
    if family == "sgemm":
        serve(sgemm_runner(), flops_per_unit=2 * SGEMM_SIZE**3)
    elif family == "torch":
        from benchmarks._torch_conv28 import TorchTrainer

        images = np.load(args.images)["train"]
        trainer = TorchTrainer(images, args.batch_size, setting)
        serve(trainer.run, parameters=trainer.parameter_count)
    elif family == "ours":
        from benchmarks import _ours

        _ours.serve(setting, args)
    elif family == "replicas":
        from benchmarks import _replica_step

        _replica_step.serve(setting, args)
    else:
        known = "sgemm, torch:*, ours:* or replicas:*"
        raise ValueError(f"unknown competitor {args.competitor!r}: {known}")


if __name__ == "__main__":
    main()
