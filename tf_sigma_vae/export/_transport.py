"""What the two ways to a server share: errors, the deadline of a call, what a server declares.

A transport has the methods

    predict(name, version, signature_name, signature, inputs, deadline) -> (outputs, version)
    metadata(name, version, deadline) -> Metadata
    states(name, version, deadline) -> {version: (state, message)}
    close()

and tells in `names_version` whether its answers say which version of the model gave them.
"""

import time
from typing import NamedTuple

import numpy as np

AVAILABLE = "AVAILABLE"
"""The state of a version that answers requests."""


class ServingError(RuntimeError):
    """A call that the server refused, or that never reached it.

    Attributes:
      code: Name of the gRPC status, on both ways to the server: `UNAVAILABLE`, `NOT_FOUND`,
        `DEADLINE_EXCEEDED`, `INVALID_ARGUMENT`, ...
      message: What happened, in words.
    """

    def __init__(self, code: str, message: str):
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


def shape_of(sizes, unknown_rank: bool) -> tuple[int | None, ...] | None:
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
      ValueError: If they are not more than 0.
    """

    def __init__(self, seconds: float):
        if not seconds > 0:
            raise ValueError(f"timeout must be more than 0 seconds, got {seconds!r}")
        self.seconds = seconds
        self._end = time.monotonic() + seconds

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
