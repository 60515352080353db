"""SIGTERM and Ctrl-C: finish the step, write a checkpoint, leave with a documented code.

A worker that loses another one leaves with the same code: what is to be done is the same, to start
all again.
"""

import contextlib
import re
import signal
import types
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tf_sigma_vae.replicas import num_workers

EXIT_CODE = 42
"""Exit code of a run that was asked to stop and can be resumed by the same command."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Preempted(SystemExit):
    """Ends the process with `EXIT_CODE`, after the checkpoint is written."""

    def __init__(self, message: str) -> None:
        """Keeps the message for the command line to print."""
        super().__init__(EXIT_CODE)
        self.message = message


_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
# These have other causes too: lost is who says so.
_PERHAPS_LOST = (
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
)
_SIGNS = re.compile("collective|coordination|heartbeat|peer|socket|/job:", re.IGNORECASE)


@contextlib.contextmanager
def preempted_by_lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Context in which a worker that is lost makes the others leave to be started again.

    Raises:
      Preempted: When TensorFlow reports that another worker is gone.
    """
    try:
        yield
    except (*_LOST, *_PERHAPS_LOST) as error:
        is_lost = isinstance(error, _LOST) or _SIGNS.search(str(error))
        if num_workers(strategy) == 1 or not is_lost:
            raise
        raise Preempted(
            f"another worker was lost ({_reason(error)}). Start all workers again by the same "
            "command; they go on from the last checkpoint"
        ) from error


def _reason(error: tf.errors.OpError) -> str:
    """What TensorFlow says of a lost worker, in a line: the cause, and who it was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith(("Graph execution", "Detected at"))]
    workers = dict.fromkeys(line for line in lines if line.startswith("/job:"))
    return " ".join([f"{type(error).__name__}:", *causes[:1], *workers])


class StopRequest:
    """Context in which the first signal stops the run in good order, and a second one at once.

    Attributes:
      signal_name: Name of the signal received, or None.
      in_steps: Whether training steps run, after the next of which a checkpoint is to be written;
        otherwise all is on disk, and the run stops where it is.
    """

    def __init__(self) -> None:
        """Installs nothing yet."""
        self.signal_name: str | None = None
        self.in_steps = False
        self._previous: dict[
            signal.Signals, Callable[[int, types.FrameType | None], Any] | int | None
        ] = {}

    def __enter__(self) -> "StopRequest":
        """Installs the handlers."""
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        """Restores the previous handlers."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name
        self._restore()
        if not self.in_steps:
            raise Preempted(
                f"stopped by {self.signal_name} outside of the training steps; the same command "
                "goes on from the last checkpoint"
            )
        print(f"\n{self.signal_name}: writing a checkpoint after this step ...", flush=True)
