"""Where the workers of a cluster meet before TensorFlow connects them.

TensorFlow's own servers wait long for a worker that never comes, and say nothing of settings that
differ. So all workers first meet at the chief's address, over a plain socket on the port that
TensorFlow's server takes afterwards:

1. Every worker connects and says who it is, how it sees the cluster, and its facts (settings).
2. The chief answers at once with who is still missing, again when that changes, and every few
   seconds.
3. When all are there and agree, the chief sends "go" to all; otherwise the reason why not.

A worker whose connection breaks tries again until its time is over, so that workers can start in
any order and be restarted while they wait. Who does not speak the protocol is ignored. The time
that a worker has is for finding the chief; then the chief's time counts, so that all give up
together.
"""

import contextlib
import errno
import json
import socket
import time
import uuid
from collections.abc import Callable, Sequence

from tf_sigma_vae.training import _chief, _wire
from tf_sigma_vae.training._wire import ClusterError

__all__ = ["ClusterError", "meet"]

PROGRESS_SECONDS = 10.0
"""How often the caller is told who is missing."""

_GREETING_SECONDS = 5.0  # A chief answers a hello at once.
_SILENCE_SECONDS = 10 * _chief.HEARTBEAT_SECONDS  # Then the chief's machine is gone.
_POLL_SECONDS = 0.5
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


def meet(
    addresses: Sequence[str],
    index: int,
    facts: dict[str, object],
    timeout_seconds: float,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Returns when all workers are there and agree; the ports are then free for TensorFlow.

    With one worker it returns at once. A signal handler that raises ends the waiting, here as
    elsewhere.

    Args:
      addresses: `host:port` of every worker, the chief first; the same in all of them.
      index: Position of this process in `addresses`.
      facts: What must be equal in all workers; nested dictionaries of what JSON can hold.
      timeout_seconds: How long the chief waits for the others, and each of the others for the
        chief; a worker thus waits for twice as long at most [seconds].
      progress: Is told every `PROGRESS_SECONDS` what this worker waits for.

    Raises:
      ClusterError: If a worker is missing when the time is over, facts differ, two processes claim
        the same index, the number of workers differs, the port of this worker is taken, or the
        cluster seems to be running without this worker.
      TypeError: If JSON cannot hold the facts.
      ValueError: If the facts are too long, the index is none of the cluster, or an address is
        not host:port.
    """
    if not 0 <= index < len(addresses):
        raise ValueError(f"index must be from 0 to {len(addresses) - 1}, not {index}")
    if len(addresses) == 1:
        return
    for address in addresses:
        _wire.split_address(address)
    hello = {"index": index, "addresses": list(addresses), "facts": facts, "id": uuid.uuid4().hex}
    frame = _wire.encode(hello)
    watch = _wire.Watch(timeout_seconds, progress, PROGRESS_SECONDS)
    with _own_port(addresses[index], index, watch) as port:
        if index == 0:
            # As the others have it, after JSON: a tuple is a list.
            _chief.hold(port, json.loads(json.dumps(hello)), watch)
        else:
            _Guest(addresses[0], index, frame, watch).attend()


def _own_port(address: str, index: int, watch: _wire.Watch) -> socket.socket:
    """This worker's port, held while it waits.

    If another process had it, TensorFlow's server could not start here, and all others would
    wait for it. A process that is about to end may have it for a while.
    """
    _, port = _wire.split_address(address)
    while True:
        try:
            return _wire.hold_port(port, listen=index == 0)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or watch.expired:
                raise ClusterError(
                    f"worker {index} cannot use port {port} of its machine ({error.strerror}); if "
                    "another process listens there, perhaps this worker's last one, end it first"
                ) from error
        watch.report(f"worker {index} waits for its port {port}, where another process listens")
        time.sleep(watch.at_most(_POLL_SECONDS))


class _Guest:
    """The side of a worker that is not the chief.

    Attributes:
      state: How it stands with the chief, for messages.
    """

    def __init__(self, chief: str, index: int, hello: bytes, watch: _wire.Watch) -> None:
        self._chief = chief
        self._index = index
        self._hello = hello
        self._watch = watch
        self.state = f"the chief at {chief} does not answer"

    def attend(self) -> None:
        """Visits the chief until it lets all go."""
        pause = _FIRST_PAUSE_SECONDS
        while not self._watch.expired:
            # A broken connection, or a stranger: the state says it, and it is tried again.
            with contextlib.suppress(OSError, _wire.StrangerError):
                if self._visit():
                    return
            self._report()
            time.sleep(self._watch.at_most(pause))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        raise ClusterError(
            f"worker {self._index} gave up after {self._watch.seconds:g} s: {self.state}"
        )

    def _visit(self) -> bool:
        timeout = self._watch.at_most(_GREETING_SECONDS)
        try:
            connected = socket.create_connection(_wire.split_address(self._chief), timeout=timeout)
        except OSError as error:
            self.state = (
                f"the chief at {self._chief} does not answer ({error}); is worker 0 started, and "
                "can this machine reach its port?"
            )
            raise
        self.state = (
            f"{self._chief} answers, but not as a chief that waits for workers; the cluster seems "
            "to be running without this worker: stop all workers and start all of them again"
        )
        connection = _wire.Connection(connected, self._chief)
        with contextlib.closing(connection):
            connection.send(self._hello)
            return self._listen(connection)

    def _listen(self, connection: _wire.Connection) -> bool:
        """Whether the chief said "go"; False if it was silent for too long.

        A chief that waits decides for all how long, so that all give up together.
        """
        heard, patience = connection.opened, self._watch.at_most(_GREETING_SECONDS)
        connection.socket.settimeout(min(_POLL_SECONDS, patience))
        while time.monotonic() - heard < patience:
            message = self._receive(connection)
            if message is not None:
                heard, patience = time.monotonic(), _SILENCE_SECONDS
                if message.get("kind") == "go":
                    return True
                if message.get("kind") == "fail":
                    raise ClusterError(str(message.get("reason")))
                if message.get("kind") != "wait":
                    raise _wire.StrangerError(f"it says {message}")
                missing = ", ".join(message["missing"])
                self.state = f"the chief at {self._chief} still waits for {missing or 'nobody'}"
            self._report()
        return False

    def _receive(self, connection: _wire.Connection) -> dict | None:
        try:
            return connection.receive()
        except _wire.VersionError as error:
            raise ClusterError(
                f"the chief at {self._chief} speaks another version of the meeting's protocol "
                f"({error}): install the same release in all workers"
            ) from error

    def _report(self) -> None:
        self._watch.report(f"worker {self._index}: {self.state}")
