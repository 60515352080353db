"""The chief's side of the meeting of the workers: who is there, and whether all agree."""

import json
import selectors
import socket
import time

from tf_sigma_vae.training import _wire
from tf_sigma_vae.training._wire import ClusterError

HEARTBEAT_SECONDS = 2.0
"""How often every worker hears that the chief still waits, where nothing changes."""

HELLO_SECONDS = 10.0
"""How long a connection may take to say who it is."""

_MAX_DIFFERENCES = 3
_MAX_VALUE_CHARACTERS = 100


def hold(listener: socket.socket, hello: dict, watch: _wire.Watch) -> None:
    """Waits for all other workers and lets them go, together.

    Args:
      listener: A listening socket; left to the caller to close.
      hello: What the chief itself would say: "addresses" and "facts".
      watch: The time that is left, and who is told of the waiting.

    Raises:
      ClusterError: If workers are missing in the end, or do not fit together. Those that are there
        are told the same.
    """
    meeting = _Meeting(listener, hello, watch)
    try:
        meeting.gather()
        meeting.compare()
        meeting.tell({"kind": "go"})
    except ClusterError as error:
        meeting.tell({"kind": "fail", "reason": str(error)})
        raise
    finally:
        meeting.close()


class _Meeting:
    """Connections by what they said of themselves: nothing yet (None), or their hello."""

    def __init__(self, listener: socket.socket, hello: dict, watch: _wire.Watch) -> None:
        self._addresses = hello["addresses"]
        self._hello = hello
        self._watch = watch
        self._guests: dict[_wire.Connection, dict | None] = {}
        self._left: set[int] = set()
        self._next_beat = 0.0  # At once, also when somebody comes or leaves.
        self._listener = listener
        listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)

    def gather(self) -> None:
        """Returns when every worker is there, at the same time."""
        while True:
            missing = self._missing()
            if missing and self._watch.expired:
                raise ClusterError(
                    f"the chief at {self._addresses[0]} gave up after {self._watch.seconds:g} s "
                    f"without {', '.join(missing)}"
                )
            ready = self._selector.select(self._watch.at_most(HEARTBEAT_SECONDS) if missing else 0)
            # Whoever left in the meantime is among those who are ready.
            if not missing and (not ready or self._watch.expired):
                return
            for key, _ in ready:
                if key.data is None:
                    self._accept()
                elif key.data in self._guests:
                    self._read(key.data)
            self._tend()

    def compare(self) -> None:
        """Compares what every worker knows with what the chief knows."""
        mine = _entries(self._hello)
        differences = []
        for hello in sorted(self._present(), key=lambda hello: hello["index"]):
            theirs = _entries(hello)
            differences += [
                f"{path} is {mine.get(path, 'absent')} in worker 0 (the chief) and "
                f"{theirs.get(path, 'absent')} in worker {hello['index']}"
                for path in {**mine, **theirs}
                if mine.get(path) != theirs.get(path)
            ]
        if differences:
            more = len(differences) - _MAX_DIFFERENCES
            raise ClusterError(
                "the workers were not started alike: "
                + "; ".join(differences[:_MAX_DIFFERENCES])
                + (f"; and {more} more" if more > 0 else "")
            )

    def tell(self, message: dict) -> None:
        """Sends a message to all who said who they are."""
        frame = _wire.encode(message)
        for connection in [guest for guest, hello in self._guests.items() if hello]:
            try:
                connection.send(frame)
            except OSError:
                self._dismiss(connection)

    def close(self) -> None:
        """Closes every connection."""
        for connection in list(self._guests):
            self._dismiss(connection)
        self._selector.close()

    def _present(self) -> list[dict]:
        return [hello for hello in self._guests.values() if hello]

    def _missing(self) -> list[str]:
        there = {hello["index"] for hello in self._present()}
        return [
            f"worker {index} ({address}{'; came and left again' if index in self._left else ''})"
            for index, address in enumerate(self._addresses)
            if index and index not in there
        ]

    def _accept(self) -> None:
        try:
            accepted, (host, port, *_) = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        accepted.setblocking(False)
        connection = _wire.Connection(accepted, f"{host.removeprefix('::ffff:')}:{port}")
        self._guests[connection] = None
        self._selector.register(accepted, selectors.EVENT_READ, connection)

    def _read(self, connection: _wire.Connection) -> None:
        try:
            message = connection.receive()
        except _wire.VersionError as error:
            self._guests[connection] = {"index": None}
            raise ClusterError(
                f"the worker at {connection.peer} speaks another version of the meeting's "
                f"protocol ({error}): install the same release in all workers"
            ) from error
        except (OSError, _wire.StrangerError):
            self._dismiss(connection)
            return
        if message is None:
            return
        if self._guests[connection] or not _is_hello(message):
            self._dismiss(connection)
        else:
            self._enter(connection, message)

    def _enter(self, connection: _wire.Connection, hello: dict) -> None:
        index, num_workers = hello["index"], len(self._addresses)
        for rival, known in self._claimants(index).items():
            # The same process again, or one that is dead by now, which reading shows?
            if known["id"] == hello["id"]:
                self._dismiss(rival)
            else:
                self._read(rival)
        rivals = list(self._claimants(index))
        self._guests[connection] = hello
        if len(hello["addresses"]) != num_workers:
            raise ClusterError(
                f"worker {index} ({connection.peer}) was started for a cluster of "
                f"{len(hello['addresses'])} workers, the chief for one of {num_workers}"
            )
        if rivals or not 0 < index < num_workers:
            other = f"at {rivals[0].peer}" if rivals else f"the chief at {self._addresses[0]}"
            raise ClusterError(
                f"two processes were started as worker {index}: one at {connection.peer}, "
                f"and {other}"
            )
        self._next_beat = 0.0

    def _claimants(self, index: int) -> dict[_wire.Connection, dict]:
        """The guests who said that they are this worker, with what they said."""
        guests = self._guests.items()
        return {guest: hello for guest, hello in guests if hello and hello["index"] == index}

    def _tend(self) -> None:
        now = time.monotonic()
        for connection, hello in list(self._guests.items()):
            if hello is None and now - connection.opened > HELLO_SECONDS:
                self._dismiss(connection)
        missing = self._missing()
        if now >= self._next_beat:
            self._next_beat = now + HEARTBEAT_SECONDS
            self.tell({"kind": "wait", "missing": missing})
        if missing:
            self._watch.report(f"the chief waits for {', '.join(missing)}")

    def _dismiss(self, connection: _wire.Connection) -> None:
        hello = self._guests.pop(connection)
        if hello and hello["index"] is not None:
            self._left.add(hello["index"])
            self._next_beat = 0.0
        self._selector.unregister(connection.socket)
        connection.close()


def _is_hello(message: dict) -> bool:
    index, addresses = message.get("index"), message.get("addresses")
    return (
        type(index) is int
        and index >= 0
        and isinstance(addresses, list)
        and isinstance(message.get("facts"), dict)
        and isinstance(message.get("id"), str)
    )


def _entries(hello: dict) -> dict[str, str]:
    """What a worker knows, by dotted path, each value as JSON (in which NaN equals NaN)."""
    addresses = {str(index): address for index, address in enumerate(hello["addresses"])}
    entries: dict[str, str] = {}

    def add(path: str, value: object) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                add(f"{path}.{key}" if path else key, inner)
        else:
            entries[path] = json.dumps(value, sort_keys=True)

    add("", {"addresses": addresses, **hello["facts"]})
    return entries
