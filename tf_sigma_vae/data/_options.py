"""Checks of the options that dataset plug-ins take, made when a plug-in is constructed."""

import numbers
import os
from collections.abc import Sequence
from typing import TypeVar

_Choice = TypeVar("_Choice")


def integer(name: str, value: object, minimum: int = 1) -> int:
    """Returns `value` as an `int`.

    Raises:
      ValueError: If it is not a whole number of at least `minimum`.
    """
    is_bool = isinstance(value, bool)
    if is_bool or not isinstance(value, numbers.Integral) or int(value) < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}")
    return int(value)


def boolean(name: str, value: object) -> bool:
    """Returns `value`.

    Raises:
      ValueError: If it is neither True nor False.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return value


def fraction(name: str, value: object) -> float:
    """Returns `value` as a `float`.

    Raises:
      ValueError: If it is not strictly between 0 and 1.
    """
    is_bool = isinstance(value, bool)
    if is_bool or not isinstance(value, numbers.Real) or not 0 < float(value) < 1:
        raise ValueError(f"{name} must be a number between 0 and 1, both excluded, got {value!r}")
    return float(value)


def choice(name: str, value: _Choice, allowed: Sequence[_Choice]) -> _Choice:
    """Returns `value`.

    Raises:
      ValueError: If it is not one of `allowed`.
    """
    if isinstance(value, bool) or value not in allowed:
        raise ValueError(f"{name} must be one of {list(allowed)}, got {value!r}")
    return value


def image_size(value: object) -> tuple[int, int] | None:
    """An image size as (height, width) in pixels.

    Args:
      value: A whole number for square images, a pair (height, width), or None.

    Returns:
      The pair, or None for None.

    Raises:
      ValueError: If it is none of these.
    """
    if value is None:
        return None
    pair = value if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    try:
        height, width = (integer("image_size", side) for side in pair)
    except ValueError:
        raise ValueError(
            f"image_size must be a whole number, a pair (height, width) or None, got {value!r}"
        ) from None
    return height, width


def source_path(dataset: str, path: str | None, data_dir: str | None) -> str:
    """Where the user's own images are: `path`, or else `data_dir`, with `~` expanded.

    Raises:
      ValueError: If neither is given.
    """
    given = path or data_dir
    if not given:
        raise ValueError(f"{dataset} needs to know where its data are: give path, or --data_dir")
    return os.path.expanduser(given)
