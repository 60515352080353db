"""What the workers of a cluster must agree on while they train.

Every function is called by all workers at the same place; with one worker none communicates.
"""

import functools
import time
import zlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_sigma_vae.replicas import num_workers
from tf_sigma_vae.training.rendezvous import ClusterError

MAX_STEPS_BETWEEN_VOTES = 100


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this worker is the one that writes."""
    return strategy.extended.should_checkpoint


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when every worker has come here."""
    if num_workers(strategy) > 1:
        _of_every_worker(strategy, 0)


class StopVote:
    """Decides with the other workers, about once a second, whether to stop at a step.

    A signal reaches one worker, but all must stop at the same step, or the others would wait for
    its part of the next sum. Asking at every step would cost a round of communication each: at a
    vote the workers also agree on how many steps a second will hold.
    """

    def __init__(self, strategy: tf.distribute.Strategy, step: int) -> None:
        """Starts with a vote at the next step.

        Args:
          strategy: The strategy.
          step: The step that all workers are at.
        """
        self._strategy, self._several = strategy, num_workers(strategy) > 1
        self._last, self._next, self._time = step, step + 1, time.monotonic()

    def __call__(self, step: int, asked: bool, last: bool = False) -> bool:
        """Whether to stop after this step, the same answer in every worker.

        Args:
          step: The step just done, the same in every worker.
          asked: Whether this worker was asked to stop.
          last: Whether to vote in any case, before something long.
        """
        if not self._several:
            return asked
        if step < self._next and not last:
            return False
        steps_a_second = (step - self._last) / max(time.monotonic() - self._time, 1e-9)
        interval = int(min(max(steps_a_second, 1), MAX_STEPS_BETWEEN_VOTES))
        votes = _of_every_worker(self._strategy, 0 if asked else interval)
        self._last, self._next, self._time = step, step + int(votes.min()), time.monotonic()
        return bool((votes == 0).any())


def require_equal(strategy: tf.distribute.Strategy, values: dict[str, int], advice: str) -> None:
    """Checks that whole numbers are the same in all workers.

    Args:
      strategy: The strategy.
      values: By what the message calls them.
      advice: What to do, the end of the message.

    Raises:
      ClusterError: In every worker, naming the first that differs.
    """
    if num_workers(strategy) == 1:
        return
    for name, value in values.items():
        found = _of_every_worker(strategy, value)
        if (found != found[0]).any():
            told = ", ".join(f"{v} in worker {i}" for i, v in enumerate(found))
            raise ClusterError(f"the workers differ in {name}: {told}. {advice}")


def fingerprint(images: np.ndarray) -> int:
    """A checksum of images, by which workers see whether they hold the same."""
    return zlib.crc32(np.ascontiguousarray(images).data)


def _of_every_worker(strategy: tf.distribute.Strategy, value: int) -> np.ndarray:
    """The value of each worker, int64, in the order of the workers."""

    def own(_: tf.distribute.experimental.ValueContext) -> tf.Tensor:
        return tf.constant([value], tf.int64)

    per_replica = strategy.experimental_distribute_values_from_function(own)
    found = strategy.experimental_local_results(_gather(strategy)(per_replica))[0].numpy()
    return found[:: strategy.num_replicas_in_sync // num_workers(strategy)]


@functools.cache
def _gather(
    strategy: tf.distribute.Strategy,
) -> Callable[[tf.distribute.DistributedValues], tf.distribute.DistributedValues]:
    """Function of one value a replica, `[1]`, that gives those of all; compiled once."""

    def gather(own: tf.Tensor) -> tf.Tensor:
        # The identity gives the argument the device of the replica, which gathering asks for.
        return tf.distribute.get_replica_context().all_gather(tf.identity(own), axis=0)

    return tf.function(lambda own: strategy.run(gather, args=(own,)))
