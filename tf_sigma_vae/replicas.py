"""Sums over the global batch of a step, wherever its examples are computed.

The replicas of a `tf.distribute` strategy hold a share of the batch each, and a replica may compute
its share in parts, one after the other, to save memory. A statistic of the batch is asked for by
`replica_sum`, which does not know of the parts: the step says by a context how it computes.

* `WholeBatch`: at once; a sum is one over the replicas.
* `Collecting`, then `Totals`: a first pass over the parts notes what each adds to the sums; all is
  added, over the parts and the replicas, and a second pass is given the totals.
"""

import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import tensorflow as tf

# Each replica's step is traced in a thread of its own.
_thread = threading.local()

_Then = Callable[[tf.Tensor], None] | None


def replica_sum(
    value: tf.Tensor,
    then: Callable[[tf.Tensor], None] | None = None,
    needed: bool | tf.Tensor = True,
) -> tf.Tensor:
    """Sum of a tensor over the global batch; the tensor itself when there is nothing to add.

    Called inside a replica context (the body of a training or test step). The gradient is not
    meant to flow through: callers pass statistics.

    Args:
      value: float32 tensor of any shape, what the examples at hand contribute.
      then: Called once a step with the sum over the whole batch, to change variables by it.
      needed: Whether this step has a use for the sum; a boolean scalar, equal on every replica. If
        it is False the sum may be of some examples only, for less work.

    Returns:
      A tensor of the same shape, equal on every replica.
    """
    batch = _current()
    if batch is not None:
        return batch.sum(value, then, needed)
    return _sum_over_replicas(value, then)


def global_count(num_examples: int | tf.Tensor) -> tf.Tensor:
    """Number of examples of the global batch, a float32 scalar.

    Args:
      num_examples: Scalar, the number of examples at hand.
    """
    num_examples = tf.cast(num_examples, tf.float32)
    batch = _current()
    return _all_reduce(num_examples) if batch is None else batch.count(num_examples)


def is_collecting() -> bool:
    """Whether this pass over the batch is there for its sums alone, another one to follow."""
    return isinstance(_current(), Collecting)


class _Batch:
    """A context in which `replica_sum` and `global_count` answer for a step."""

    def __enter__(self) -> Self:
        self._outer = _current()
        _thread.batch = self
        return self

    def __exit__(self, *error: object) -> None:
        _thread.batch = self._outer

    @abstractmethod
    def sum(self, value: tf.Tensor, then: _Then, needed: bool | tf.Tensor) -> tf.Tensor:
        """See `replica_sum`."""

    @abstractmethod
    def count(self, num_examples: tf.Tensor) -> tf.Tensor:
        """See `global_count`."""


class WholeBatch(_Batch):
    """A step that computes the replica's share of the batch at once.

    Attributes:
      num_examples: Of the global batch, float32 scalar.
    """

    def __init__(self, num_examples: int | tf.Tensor) -> None:
        """Counts the examples.

        Args:
          num_examples: Scalar, those of the replica's share.
        """
        self.num_examples = _all_reduce(tf.cast(num_examples, tf.float32))

    def sum(self, value: tf.Tensor, then: _Then, needed: bool | tf.Tensor) -> tf.Tensor:
        """See `replica_sum`."""
        return _sum_over_replicas(value, then)

    def count(self, num_examples: tf.Tensor) -> tf.Tensor:
        """See `global_count`."""
        return self.num_examples


class Collecting(_Batch):
    """A pass over a part that notes what it adds to each sum, and answers with that alone.

    Attributes:
      sums: What the part adds to each sum, in the order in which they were asked for.
    """

    def __init__(self) -> None:
        """Starts with no sums."""
        self.sums: list[tf.Tensor] = []
        self._then: list[_Then] = []
        self._needed: list[bool | tf.Tensor] = []

    @property
    def needed(self) -> bool | tf.Tensor:
        """Whether the step has a use for any of the sums; True where that is known beforehand."""
        if any(needed is True for needed in self._needed):
            return True
        return tf.reduce_any(tf.stack(self._needed))

    def sum(self, value: tf.Tensor, then: _Then, needed: bool | tf.Tensor) -> tf.Tensor:
        """See `replica_sum`."""
        self.sums.append(value)
        self._then.append(then)
        self._needed.append(needed)
        return value

    def count(self, num_examples: tf.Tensor) -> tf.Tensor:
        """See `global_count`."""
        return num_examples

    def totals(self, sums: list[tf.Tensor], num_examples: int | tf.Tensor) -> "Totals":
        """Adds over the replicas, in one collective, and lets the callers change their variables.

        Args:
          sums: Like the attribute, added over the replica's parts.
          num_examples: Scalar, the number of examples of the replica's share.

        Returns:
          The context of the second pass.
        """
        values = [*sums, tf.cast(num_examples, tf.float32)]
        # A rank of zero has no axis to join by.
        flat = tf.concat([tf.reshape(value, [-1]) for value in values], axis=0)
        pieces = tf.split(_all_reduce(flat), [tf.size(value) for value in values])
        totals = [tf.reshape(p, tf.shape(v)) for p, v in zip(pieces, values, strict=True)]
        for total, then in zip(totals[:-1], self._then, strict=True):
            if then is not None:
                then(total)
        return Totals(totals[:-1], totals[-1])


class Totals(_Batch):
    """A pass over a part, given the sums over the global batch; to be entered for each part.

    Attributes:
      num_examples: Of the global batch, float32 scalar.
    """

    def __init__(self, totals: list[tf.Tensor], num_examples: tf.Tensor) -> None:
        """Keeps the sums.

        Args:
          totals: In the order in which they are asked for.
          num_examples: Of the global batch, float32 scalar.
        """
        self._totals, self.num_examples = totals, num_examples

    def __enter__(self) -> Self:
        self._next = iter(self._totals)
        return super().__enter__()

    def sum(self, value: tf.Tensor, then: _Then, needed: bool | tf.Tensor) -> tf.Tensor:
        """See `replica_sum`; the variables were changed before."""
        return tf.ensure_shape(next(self._next), value.shape)

    def count(self, num_examples: tf.Tensor) -> tf.Tensor:
        """See `global_count`."""
        return self.num_examples


def _current() -> _Batch | None:
    return getattr(_thread, "batch", None)


def _sum_over_replicas(value: tf.Tensor, then: _Then) -> tf.Tensor:
    total = _all_reduce(value)
    if then is not None:
        then(total)
    return total


def _all_reduce(value: tf.Tensor) -> tf.Tensor:
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Processes that the replicas of a strategy are in."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    jobs = strategy.cluster_resolver.cluster_spec().as_dict()
    return max(sum(len(tasks) for tasks in jobs.values()), 1)


def host_value(variable: tf.Variable) -> Any:
    """Value of a scalar variable as a Python number, whether or not replicas mirror it."""
    return tf.convert_to_tensor(variable).numpy().item()
