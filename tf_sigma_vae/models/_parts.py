"""A batch in parts that are computed one after the other, so that memory for one of them suffices.

The parts run in a `tf.while_loop`, an iteration each. Were they written out instead, TensorFlow
could run them side by side, and would find the same forward pass written twice where the batch is
gone through twice, and keep its activations from the first time to the second.
"""

import numbers
from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

_Carried = TypeVar("_Carried")
"""The structure that goes from part to part."""


def require_num_parts(value: object) -> int:
    """The value of `gradient_accumulation_steps`, as an integer.

    Raises:
      ValueError: If it is not a whole number from 1.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(
            f"gradient_accumulation_steps must be a whole number from 1, got {value!r}"
        )
    return int(value)


def num_examples(data: Any) -> int | tf.Tensor:
    """Size of the first axis of a structure of tensors; an integer where it is known."""
    first = next(leaf for leaf in tf.nest.flatten(data) if leaf is not None)
    size = tf.shape(first)[0]
    known = tf.get_static_value(size)
    return size if known is None else int(known)


class Parts:
    """The parts of a batch, whose sizes differ by one at most, the larger ones first.

    Attributes:
      num_examples: Of the whole batch, an integer where it is known, else a scalar tensor.
    """

    def __init__(self, data: Any, num_parts: int, jit_compile: bool = False) -> None:
        """Divides the batch.

        Args:
          data: Structure of tensors `[B, ...]` and Nones.
          num_parts: Number of parts. Those that would be empty are left out.
          jit_compile: Whether the step is compiled by XLA.
        """
        self._data, self._num_parts = data, num_parts
        self.num_examples = num_examples(data)
        # Within a loop XLA compiles tensors of one size only, which needs a loop for each size.
        self._loop_by_size = jit_compile or isinstance(self.num_examples, int)
        self._size = self.num_examples // num_parts
        self._num_longer = self.num_examples % num_parts

    def first(self) -> Any:
        """The first part; empty if there is no example."""
        return self._rows(0, self._size + _min(self._num_longer, 1))

    def fold(
        self,
        function: Callable[[Any, _Carried], _Carried],
        carried: _Carried,
        start: int | tf.Tensor = 0,
    ) -> _Carried:
        """Calls `carried = function(part, carried)` with one part after the other.

        Args:
          function: Takes a part and the structure of tensors of the parts before, and returns the
            structure for the next one, of the same shapes.
          carried: The structure for the first part.
          start: The first part to take, an integer or a scalar tensor.

        Returns:
          The structure after the last part.
        """
        stop = _min(self._num_parts, self.num_examples)
        if not self._loop_by_size:
            return self._loop(function, carried, start, stop, None)
        carried = self._loop(function, carried, start, self._num_longer, self._size + 1)
        start = _max(start, self._num_longer)
        return self._loop(function, carried, start, stop, self._size)

    def _loop(
        self,
        function: Callable[[Any, _Carried], _Carried],
        carried: _Carried,
        start: int | tf.Tensor,
        stop: int | tf.Tensor,
        size: int | tf.Tensor | None,
    ) -> _Carried:
        """The parts from `start` up to `stop`, all of one size, or of their own if it is None."""
        if isinstance(start, int) and isinstance(stop, int) and start >= stop:
            return carried

        def body(index: tf.Tensor, carried: _Carried) -> tuple[tf.Tensor, _Carried]:
            first_row = index * self._size + tf.minimum(index, self._num_longer)
            own_size = self._size + tf.cast(index < self._num_longer, tf.int32)
            part = self._rows(first_row, own_size if size is None else size)
            return index + 1, function(part, carried)

        _, carried = tf.while_loop(
            lambda index, _: index < stop, body, (start, carried), parallel_iterations=1
        )
        return carried

    def _rows(self, first_row: int | tf.Tensor, size: int | tf.Tensor) -> Any:
        # The bound matters where nothing is taken: XLA compiles the loop all the same.
        rows = first_row + tf.range(_min(size, self.num_examples))
        return tf.nest.map_structure(
            lambda leaf: None if leaf is None else tf.gather(leaf, rows), self._data
        )


def _min(first: int | tf.Tensor, second: int | tf.Tensor) -> int | tf.Tensor:
    whole = isinstance(first, int) and isinstance(second, int)
    return min(first, second) if whole else tf.minimum(first, second)


def _max(first: int | tf.Tensor, second: int | tf.Tensor) -> int | tf.Tensor:
    whole = isinstance(first, int) and isinstance(second, int)
    return max(first, second) if whole else tf.maximum(first, second)
