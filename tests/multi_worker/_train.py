"""sigma-vae-train that harms itself at a step: `python -m tests.multi_worker._train HARM [flags]`.

HARM is JSON: {"kind": one of HARMS, "step": when}. What happens is what happens to a real worker;
only the moment is chosen, which from the outside could not be.
"""

import json
import os
import signal
import sys
import threading

import tensorflow as tf

from tf_sigma_vae.cli import train
from tf_sigma_vae.training.metrics_log import MetricsLog
from tf_sigma_vae.workdir import Workdir

MASKED = 0o040
"""Bit of the mode, readable by the group, that files of a worker that must not write lack."""

LATE_SECONDS = 5


def main() -> None:
    harm = json.loads(sys.argv.pop(1))
    HARMS[harm["kind"]](harm["step"])
    train.run()


def _after_step(step: int, act) -> None:
    """Calls `act` with the callback of `metrics.jsonl` when that has seen a step."""
    original = MetricsLog.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        original(self, batch, logs)
        if self.step == step:
            act(self)

    MetricsLog.on_train_batch_end = on_train_batch_end


def send(number: int):
    """The harm of a signal that the process sends itself after a step."""
    return lambda step: _after_step(step, lambda _: os.kill(os.getpid(), number))


def block_index_of_next_checkpoint(step: int) -> None:
    """Makes the write of a checkpoint stop after its data, until the process is killed.

    The index of the checkpoint is written last, to a pipe now, which nobody reads.
    """

    def block(callback):
        files = Workdir(os.path.dirname(callback.path))
        os.mkfifo(os.path.join(files.checkpoints, f"step-{step}.index"))

    _after_step(step - 1, block)


def list_late(step: int) -> None:
    """Gives the other workers time to look before a checkpoint is listed that was not."""
    original = tf.train.load_checkpoint

    def load_checkpoint(path):
        threading.Event().wait(LATE_SECONDS)
        return original(path)

    tf.train.load_checkpoint = load_checkpoint


def refuse_to_write(step: int) -> None:
    """Makes Python refuse to write below the workdir, from the start.

    TensorFlow writes without asking Python; `MASKED` is missing from the mode of what it makes.
    """
    workdir = next(a.partition("=")[2] for a in sys.argv if a.startswith("--workdir="))
    os.umask(MASKED)

    def hook(event, arguments):
        writes = event in ("os.mkdir", "os.rename", "os.remove") or (
            event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if writes and str(arguments[0]).startswith(workdir):
            raise PermissionError(f"not the chief, and asks for {event} {arguments}")

    sys.addaudithook(hook)


HARMS = {
    "list_late": list_late,
    "SIGKILL": send(signal.SIGKILL),
    "SIGTERM": send(signal.SIGTERM),
    "block_index": block_index_of_next_checkpoint,
    "refuse_to_write": refuse_to_write,
}

if __name__ == "__main__":
    main()
