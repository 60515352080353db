"""How workers that start talk to each other: framed JSON over plain sockets.

A message is the magic word, the version of the protocol, the length of the body (big-endian) and
the body: one JSON object. Nobody is authenticated; the frame keeps out those who came to the port
by mistake.
"""

import contextlib
import errno
import json
import re
import socket
import struct
import time
from collections.abc import Callable

VERSION = 1
"""Version of the protocol; another one is an error and no stranger."""

MAX_BYTES = 2**20
"""Limit of a message, so that a stranger cannot make anybody hold more."""

_BACKLOG = 128
_MAGIC = b"SVAE"
_HEADER = struct.Struct(">4sBI")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:/\[\]]+)):(\d{1,5})")
# A machine where IPv6 is compiled in and switched off says one of these.
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


class ClusterError(RuntimeError):
    """The workers of a cluster cannot start together; the message says why."""


class StrangerError(Exception):
    """Who is at the other end does not speak this protocol."""


class VersionError(Exception):
    """Who is at the other end speaks another version of this protocol."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[IPv6]:port`.

    Raises:
      ValueError: If it has another form.
    """
    match = _ADDRESS.fullmatch(address)
    if not match or not 0 < int(match[3]) < 2**16:
        raise ValueError(
            f"address {address!r} is not host:port with a port from 1 to 65535 (an IPv6 address "
            "in brackets, no scheme)"
        )
    return match[1] or match[2], int(match[3])


def encode(message: dict) -> bytes:
    """The frame of a message.

    Raises:
      TypeError: If it holds what JSON does not.
      ValueError: If it is too long.
    """
    body = json.dumps(message).encode()
    if len(body) > MAX_BYTES:
        raise ValueError(f"a message has {len(body)} bytes; at most {MAX_BYTES} are allowed")
    return _HEADER.pack(_MAGIC, VERSION, len(body)) + body


def hold_port(port: int, listen: bool) -> socket.socket:
    """A socket bound to a port of all interfaces, as TensorFlow's server will be.

    Names of machines often resolve to an address that is not the machine's own (a service, a
    translated address), so that binding the address by its name would fail.

    Raises:
      OSError: If somebody else listens on the port.
    """
    try:
        return _bound(socket.AF_INET6, "::", port, listen)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
    return _bound(socket.AF_INET, "", port, listen)


def _bound(family: socket.AddressFamily, host: str, port: int, listen: bool) -> socket.socket:
    held = socket.socket(family)
    try:
        # Connections of the process before, that wait for their end, do not block the port.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        held.bind((host, port))
        if listen:
            held.listen(_BACKLOG)
    except BaseException:
        held.close()
        raise
    return held


class Connection:
    """A connected socket, message by message.

    Attributes:
      socket: The socket; its timeout, or that it does not block, is the owner's choice.
      peer: Who is at the other end, for messages.
      opened: `time.monotonic()` when the connection was made [seconds].
    """

    def __init__(self, connected: socket.socket, peer: str) -> None:
        """Takes over the socket."""
        self.socket = connected
        self.peer = peer
        self.opened = time.monotonic()
        self._received = bytearray()

    def send(self, frame: bytes) -> None:
        """Sends a frame of `encode`.

        Raises:
          OSError: If the other side is gone or takes nothing.
        """
        self.socket.sendall(frame)

    def receive(self) -> dict | None:
        """The next message, or None if the socket has no whole one yet.

        Raises:
          ConnectionError: If the other side is gone.
          StrangerError: If what came is no message.
          VersionError: If it is one of another version.
        """
        message = self._next()
        if message is not None:
            return message
        try:
            data = self.socket.recv(2**16)
        except (BlockingIOError, TimeoutError):
            return None
        if not data:
            raise ConnectionError("the other side closed the connection")
        self._received += data
        return self._next()

    def _next(self) -> dict | None:
        start = bytes(self._received[: len(_MAGIC)])
        if not _MAGIC.startswith(start):
            raise StrangerError(f"it starts with {start!r}")
        if len(self._received) < _HEADER.size:
            return None
        _, version, length = _HEADER.unpack_from(self._received)
        if version != VERSION:
            raise VersionError(f"version {version} instead of {VERSION}")
        if length > MAX_BYTES:
            raise StrangerError(f"it announces {length} bytes")
        end = _HEADER.size + length
        if len(self._received) < end:
            return None
        body = bytes(self._received[_HEADER.size : end])
        del self._received[:end]
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise StrangerError("its body is not JSON") from error
        if not isinstance(message, dict):
            raise StrangerError("its body is no JSON object")
        return message

    def close(self) -> None:
        """Closes the connection; what was sent still arrives."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Watch:
    """The time that is left, and who is told how it is spent."""

    def __init__(
        self, seconds: float, progress: Callable[[str], None] | None, report_seconds: float
    ) -> None:
        """Starts the time.

        Args:
          seconds: The time there is.
          progress: Is told what is waited for.
          report_seconds: How often.
        """
        self.seconds, self._report_seconds = seconds, report_seconds
        self._progress = progress
        self._end = time.monotonic() + seconds
        self._next_report = time.monotonic() + self._report_seconds

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._end

    def at_most(self, seconds: float) -> float:
        """`seconds`, or the time left if that is less; positive, since 0 means never to block."""
        return max(min(seconds, self._end - time.monotonic()), 0.001)

    def report(self, text: str) -> None:
        """Tells what is waited for, unless it was told a moment ago."""
        now = time.monotonic()
        if self._progress is not None and now >= self._next_report:
            self._next_report = now + self._report_seconds
            self._progress(text)
