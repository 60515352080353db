"""Checks of a request against the signature, before anything is sent.

The server checks names and dtypes only, and where it gathers requests into batches one wrong
request fails the others of its batch.
"""

import numpy as np

from tf_sigma_vae.export._transport import Signature, TensorInfo
from tf_sigma_vae.models._images import RANGE_TOLERANCE

_MAGIC = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff"}


def checked(
    signatures: dict[str, Signature], name: str, inputs: dict
) -> tuple[Signature, dict[str, np.ndarray]]:
    """The signature, and the inputs as arrays of its dtypes; strings as object arrays of bytes.

    Args:
      signatures: What the server declares.
      name: Of the signature that is called.
      inputs: Arrays, nested lists or tensors by name; sequences of bytes for images in a file.

    Raises:
      ValueError: On an unknown signature, a missing or unknown input, a wrong dtype, shape or
        value, or inputs with different numbers of rows. It names the input, what it is and what is
        allowed, and the first row with a bad value.
    """
    if name not in signatures:
        known = ", ".join(sorted(signatures))
        raise ValueError(f"unknown signature {name!r}: the model has {known}")
    signature = signatures[name]
    names = ", ".join(sorted(signature.inputs))
    for wrong, word in (
        (sorted(set(inputs) - set(signature.inputs)), "unknown"),
        (sorted(set(signature.inputs) - set(inputs)), "missing"),
    ):
        if wrong:
            raise ValueError(f"{word} input {wrong[0]!r}: signature {name!r} takes {names}")
    arrays = {key: _checked(key, inputs[key], info) for key, info in signature.inputs.items()}
    rows = {key: len(array) for key, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"the inputs of {name!r} must have equally many rows, got {rows}")
    return signature, arrays


def _checked(name: str, value, info: TensorInfo) -> np.ndarray:
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
    _check_kind(name, array, wanted)
    _check_shape(name, array, info)
    if wanted.kind == "f":
        with np.errstate(over="ignore"):
            cast = array.astype(wanted)
        _check_rows(name, array, np.isfinite(cast), "finite")
        if name == "images":
            inside = (cast >= -RANGE_TOLERANCE) & (cast <= 1.0 + RANGE_TOLERANCE)
            _check_rows(name, array, inside, "in [0, 1]")
        return cast
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        inside = (array >= limits.min) & (array <= limits.max)
        _check_rows(name, array, inside, f"in [{limits.min}, {limits.max}] ({wanted})")
    return array.astype(wanted)


def _check_kind(name, array, wanted):
    """Integers are no images: nobody can tell whether 1 is white or nearly black."""
    if array.dtype.kind in {"f": "f", "i": "iu", "u": "iu"}.get(wanted.kind, wanted.kind):
        return
    allowed = {"f": "floats", "i": "integers", "u": "integers"}.get(wanted.kind, str(wanted))
    hint = ""
    if name == "images" and array.dtype.kind in "iu":
        hint = ": divide grey levels by 255"
    raise ValueError(f"{name} must be {allowed} ({wanted}), got {array.dtype}{hint}")


def _check_shape(name, array, info):
    if info.shape is None:
        return
    if len(array.shape) == len(info.shape) and all(
        size in (None, given) for size, given in zip(info.shape, array.shape, strict=True)
    ):
        return
    wanted = ", ".join("B" if size is None else str(size) for size in info.shape)
    hint = ""
    if array.shape == info.shape[1:]:
        hint = ": one example is a batch of one"
    raise ValueError(f"{name} must have the shape [{wanted}], got {list(array.shape)}{hint}")


def _check_rows(name, array, good, allowed):
    """Raises with the first value of the first row that is not good."""
    if good.all():
        return
    place = tuple(int(index) for index in np.argwhere(~good)[0])
    where = f"row {place[0]}" if place else "the value"
    at = f" at {list(place[1:])}" if len(place) > 1 else ""
    raise ValueError(f"{name} must be {allowed}, but {where} has {array[place]!s}{at}")


def _as_strings(value) -> np.ndarray:
    """An object array: NumPy's own strings lose the zero bytes at their end."""
    if hasattr(value, "__array__"):
        return np.asarray(value).astype(object)
    if isinstance(value, bytes | str):
        return np.array(value, object)
    value = list(value)
    array = np.empty(len(value), object)
    array[:] = value
    return array


def _check_strings(name, array):
    for row, item in enumerate(array.ravel()):
        if not isinstance(item, bytes):
            raise ValueError(f"{name} must be bytes, but row {row} is {type(item).__name__}")
        if name == "image_bytes" and not item.startswith(tuple(_MAGIC.values())):
            kinds = " or ".join(_MAGIC)
            raise ValueError(
                f"{name} must be {kinds} files, but row {row} starts with {item[:8]!r}"
            )
