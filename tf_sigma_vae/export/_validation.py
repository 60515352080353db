"""Checks of a request against the signature, before anything is sent.

The server checks names and dtypes only, and where it gathers requests into batches one wrong
request fails the others of its batch.
"""

import math
import numbers
from collections.abc import Iterable, Mapping

import numpy as np

from tf_sigma_vae.export._transport import Signature, TensorInfo
from tf_sigma_vae.models._images import RANGE_TOLERANCE

EXAMPLES = ("images", "clips", "context")
"""Inputs of the data's unit, whose range is checked."""
ANY_EXAMPLES = "images or clips"
"""Name of the input that is the one or the other, by the signature."""

_MAGIC = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff"}


def checked_integer(name: str, value: object, least: int) -> int:
    """An integer option from `least` to what an int64 holds.

    Raises:
      ValueError: If it is none; a bool is none either.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Integral)
        or not least <= int(value) < 2**63
    ):
        raise ValueError(f"{name} must be an integer from {least} to 2**63 - 1, got {value!r}")
    return int(value)


def checked_range(value: object) -> tuple[float, float] | None:
    """The option `value_range`: two finite numbers in ascending order, or None.

    Raises:
      ValueError: If it is neither.
    """
    if value is None:
        return None
    if isinstance(value, tuple | list) and len(value) == 2:
        are_numbers = all(isinstance(v, numbers.Real) and not isinstance(v, bool) for v in value)
        if are_numbers and all(map(math.isfinite, value)) and value[0] < value[1]:
            return float(value[0]), float(value[1])
    raise ValueError(f"value_range must be finite numbers (low, high), or None, got {value!r}")


def check_call(name: object, inputs: object) -> None:
    """Refuses what is no call at all, before a server is asked what the signature takes.

    Raises:
      ValueError: If `name` is no string or `inputs` no dictionary.
    """
    if not isinstance(name, str):
        raise ValueError(f"signature must be a name, got {type(name).__name__}")
    if not isinstance(inputs, Mapping):
        kind = type(inputs).__name__
        raise ValueError(f"inputs must be a dictionary of arrays by name, got {kind}")


def with_names_of(signature: Signature, inputs: Mapping) -> dict[str, object]:
    """The inputs, those called `ANY_EXAMPLES` under the name that the signature has for them."""
    name = "clips" if "clips" in signature.inputs else "images"
    return {name if key == ANY_EXAMPLES else key: value for key, value in inputs.items()}


def checked(
    signatures: dict[str, Signature],
    name: str,
    inputs: Mapping,
    value_range: tuple[float, float] | None,
) -> tuple[Signature, dict[str, np.ndarray]]:
    """The signature, and the inputs as arrays of its dtypes; strings as object arrays of bytes.

    Args:
      signatures: What the server declares.
      name: Of the signature that is called.
      inputs: Arrays, nested lists or tensors by name; sequences of bytes for images in a file.
      value_range: Lowest and highest value of the inputs `EXAMPLES`; None for any finite one.

    Raises:
      ValueError: On an unknown signature, a missing or unknown input, a wrong dtype, shape or
        value, or inputs with different numbers of rows. It names the input, what it is and what is
        allowed, and the first row with a bad value.
    """
    if name not in signatures:
        known = ", ".join(sorted(signatures))
        raise ValueError(f"unknown signature {name!r}: the model has {known}")
    signature = signatures[name]
    inputs = with_names_of(signature, inputs)
    names = ", ".join(sorted(signature.inputs))
    for wrong, word in (
        (sorted(set(inputs) - set(signature.inputs), key=str), "unknown"),
        (sorted(set(signature.inputs) - set(inputs)), "missing"),
    ):
        if wrong:
            raise ValueError(f"{word} input {wrong[0]!r}: signature {name!r} takes {names}")
    arrays = {
        key: _checked(key, inputs[key], info, value_range if key in EXAMPLES else None)
        for key, info in signature.inputs.items()
    }
    rows = {key: len(array) for key, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"the inputs of {name!r} must have equally many rows, got {rows}")
    return signature, arrays


def _checked(
    name: str, value: object, info: TensorInfo, value_range: tuple[float, float] | None
) -> np.ndarray:
    if info.dtype == "string":
        array = _as_strings(value)
        _check_shape(name, array, info)
        _check_strings(name, array)
        return array
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array: {error}") from error
    wanted = np.dtype(info.dtype)
    _check_kind(name, array, wanted, value_range)
    _check_shape(name, array, info)
    if wanted.kind == "f":
        with np.errstate(over="ignore"):
            cast = array.astype(wanted)
        _check_rows(name, array, np.isfinite(cast), "finite")
        if value_range is not None:
            low, high = value_range
            tolerance = RANGE_TOLERANCE * (high - low)
            # A limit may be more than the dtype holds: infinite then, which is right.
            with np.errstate(over="ignore"):
                inside = (cast >= low - tolerance) & (cast <= high + tolerance)
            _check_rows(name, array, inside, f"in [{low:g}, {high:g}]")
        return cast
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        inside = (array >= limits.min) & (array <= limits.max)
        _check_rows(name, array, inside, f"in [{limits.min}, {limits.max}] ({wanted})")
    return array.astype(wanted)


def _check_kind(
    name: str, array: np.ndarray, wanted: np.dtype, value_range: tuple[float, float] | None
) -> None:
    """Integers are no images: nobody can tell whether 1 is white or nearly black."""
    if array.dtype.kind in {"f": "f", "i": "iu", "u": "iu"}.get(wanted.kind, wanted.kind):
        return
    allowed = {"f": "floats", "i": "integers", "u": "integers"}.get(wanted.kind, str(wanted))
    hint = ""
    if value_range == (0.0, 1.0) and array.dtype.kind in "iu":
        hint = ": divide grey levels by 255"
    raise ValueError(f"{name} must be {allowed} ({wanted}), got {array.dtype}{hint}")


def _check_shape(name: str, array: np.ndarray, info: TensorInfo) -> None:
    if info.shape is None:
        return
    if _fits(array.shape, info.shape):
        return
    letters = ("B", *"T" * (len(info.shape) - 1))
    wanted = ", ".join(
        letter if size is None else str(size)
        for letter, size in zip(letters, info.shape, strict=True)
    )
    hint = ""
    if _fits(array.shape, info.shape[1:]):
        hint = ": one example is a batch of one"
    raise ValueError(f"{name} must have the shape [{wanted}], got {list(array.shape)}{hint}")


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Whether a shape has the sizes wanted, None for any."""
    return len(shape) == len(wanted) and all(
        size in (None, given) for size, given in zip(wanted, shape, strict=True)
    )


def _check_rows(name: str, array: np.ndarray, good: np.ndarray, allowed: str) -> None:
    """Raises with the first value of the first row that is not good."""
    if good.all():
        return
    place = tuple(int(index) for index in np.argwhere(~good)[0])
    where = f"row {place[0]}" if place else "the value"
    at = f" at {list(place[1:])}" if len(place) > 1 else ""
    raise ValueError(f"{name} must be {allowed}, but {where} has {array[place]!s}{at}")


def _as_strings(value: object) -> np.ndarray:
    """An object array: NumPy's own strings lose the zero bytes at their end."""
    if hasattr(value, "__array__"):
        return np.asarray(value).astype(object)
    if isinstance(value, bytes | str) or not isinstance(value, Iterable):
        return np.array(value, object)
    items = list(value)
    array = np.empty(len(items), object)
    array[:] = items
    return array


def _check_strings(name: str, array: np.ndarray) -> None:
    for row, item in enumerate(array.ravel()):
        if not isinstance(item, bytes):
            raise ValueError(f"{name} must be bytes, but row {row} is {type(item).__name__}")
        if name == "image_bytes" and not item.startswith(tuple(_MAGIC.values())):
            kinds = " or ".join(_MAGIC)
            raise ValueError(
                f"{name} must be {kinds} files, but row {row} starts with {item[:8]!r}"
            )
