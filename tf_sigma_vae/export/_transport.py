"""What the two ways to a server share: errors, the deadline of a call, what a server declares."""

import ipaddress
import math
import numbers
import re
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

AVAILABLE = "AVAILABLE"
"""The state of a version that answers requests."""
MAX_TIMEOUT = 86_400.0
"""Seconds that a call may take at most, a day: sockets and gRPC take no longer time for a time."""

_HOST = re.compile(
    r"(?:\[(?P<ip>[^\[\]]+)\]|(?P<name>[^\x00-\x20\x7f\s:/?#@,\\\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)


class ServingError(RuntimeError):
    """A call that the server refused, or that never reached it.

    Attributes:
      code: Name of the gRPC status, on both ways to the server: `UNAVAILABLE`, `NOT_FOUND`,
        `DEADLINE_EXCEEDED`, `INVALID_ARGUMENT`, `CANCELLED` (the client is closed), ...
      message: What happened, in words.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class TensorInfo(NamedTuple):
    """One input or output.

    Attributes:
      dtype: Name of a NumPy dtype, or `"string"`.
      shape: Sizes, None where any is allowed; None as a whole where the rank is unknown.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


class Signature(NamedTuple):
    """What one signature takes and gives: `TensorInfo` by name."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


class Metadata(NamedTuple):
    """What a server says of a model.

    Attributes:
      version: The version that answered.
      signatures: `Signature` by name.
    """

    version: int
    signatures: dict[str, Signature]


def is_host(text: str, needs_port: bool) -> bool:
    """Whether `text` is `host:port`, or `host` where no port is needed; IPv6 is in brackets."""
    match = _HOST.fullmatch(text)
    if match is None:
        return False
    try:
        if match["ip"]:
            ipaddress.IPv6Address(match["ip"])
        else:
            # What a resolver does with a name: no label is empty or longer than 63 characters.
            match["name"].encode("idna")
    except ValueError:
        return False
    return not needs_port if match["port"] is None else 0 < int(match["port"]) < 2**16


def address_error(address: object) -> ValueError:
    """The error of an address that is of neither form."""
    return ValueError(
        "address must be host:port for gRPC, or http://host:port or https://host:port for REST, "
        f"with an IPv6 host in brackets and without a user or a query, got {address!r}"
    )


def closed_error() -> ServingError:
    """The error of a call after `close`; the code is that of a call that `close` interrupts."""
    return ServingError("CANCELLED", "the client is closed: make another one")


def shape_of(sizes: Sequence[int], unknown_rank: bool) -> tuple[int | None, ...] | None:
    """The shape of a `TensorInfo` from sizes that are -1 where any is allowed."""
    return None if unknown_rank else tuple(None if size < 0 else size for size in sizes)


def empty(info: TensorInfo) -> np.ndarray:
    """What a signature gives for a batch without rows."""
    shape = (0, *(size or 0 for size in (info.shape or (None,))[1:]))
    return np.empty(shape, object if info.dtype == "string" else info.dtype)


class Deadline:
    """The end of a call, shared by all its parts.

    Args:
      seconds: From now.

    Raises:
      ValueError: If they are no number above 0 and up to `MAX_TIMEOUT`.
    """

    def __init__(self, seconds: object) -> None:
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, numbers.Real)
            or math.isnan(seconds)
            or not 0 < float(seconds) <= MAX_TIMEOUT
        ):
            raise ValueError(
                f"timeout must be more than 0 and at most {MAX_TIMEOUT:g} seconds, got {seconds!r}"
            )
        self.seconds = float(seconds)
        self._end = time.monotonic() + self.seconds

    def left(self) -> float:
        """Seconds left, more than 0.

        Raises:
          ServingError: With the code `DEADLINE_EXCEEDED`.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error("")
        return left

    def error(self, where: str) -> ServingError:
        """The error of a call that took too long."""
        return ServingError("DEADLINE_EXCEEDED", f"no answer within {self.seconds:g} s{where}")


class Transport(Protocol):
    """A way to a server, of which a client has one.

    Attributes:
      address: Where the server is.
      names_version: Whether answers say which version of the model gave them.
    """

    address: str
    names_version: bool

    def predict(
        self,
        name: str,
        version: int | None,
        signature_name: str,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        deadline: Deadline,
    ) -> tuple[dict[str, np.ndarray], int | None]:
        """Outputs by name, and the version: that which answered, or else that asked for."""

    def metadata(self, name: str, version: int | None, deadline: Deadline) -> Metadata:
        """The signatures of a version, by default of the newest."""

    def states(
        self, name: str, version: int | None, deadline: Deadline
    ) -> dict[int, tuple[str, str]]:
        """State and message of the versions that the server knows."""

    def close(self) -> None:
        """Ends what the transport holds open."""
