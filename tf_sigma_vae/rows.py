"""The rows of a batch, shared out over the replicas of a `tf.distribute` strategy.

Replica `r` of `R` holds the rows from `r B // R` up to `(r + 1) B // R`: every row once, in order,
the shares equal to within one row whatever `B` is.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.types.experimental import TensorLike


def share(
    num_rows: int | tf.Tensor, replica: int, num_replicas: int
) -> tuple[int | tf.Tensor, int | tf.Tensor]:
    """First row and end of a replica's rows.

    Args:
      num_rows: `B`, an integer or an integer tensor.
      replica: `r`, from 0.
      num_replicas: `R`.

    Returns:
      Pair `(first, end)` of the type of `num_rows`.
    """
    return replica * num_rows // num_replicas, (replica + 1) * num_rows // num_replicas


def over_replicas(
    strategy: tf.distribute.Strategy,
    function: Callable,
    signature: list | None = None,
    equal_shares: bool = False,
) -> Callable:
    """A function of a batch whose rows are computed on all replicas at once.

    Args:
      strategy: The strategy. Under several workers each calls the result with the same batch.
      function: Takes (structures of) tensors `[B, ...]`, and by name what all rows share; returns a
        structure of tensors `[B, ...]`, row by row. It may use `replicas.replica_sum` for what
        depends on all rows. A replica may have no row.
      signature: `tf.TypeSpec` of the tensors, so that one replica compiles once for all `B`.
      equal_shares: Whether the last row is repeated until all shares are equal, as a TPU needs it:
        for a function of each row alone.

    Returns:
      Function of the same arguments, compiled. Its result holds the rows of the whole batch in
      order, on every worker.
    """
    num_replicas = strategy.num_replicas_in_sync
    if num_replicas == 1:
        if signature is None:
            return tf.function(function, reduce_retracing=True)
        return tf.function(function, input_signature=signature)

    def gathered(*own: Any, **common: Any) -> Any:
        everywhere = tf.distribute.get_replica_context().all_gather
        return tf.nest.map_structure(lambda v: everywhere(v, axis=0), function(*own, **common))

    @tf.function(reduce_retracing=True)
    def on_replicas(own: Any, common: dict[str, Any]) -> Any:
        return strategy.run(gathered, args=own, kwargs=common)

    def shares(x: TensorLike) -> tf.distribute.DistributedValues:
        x = tf.convert_to_tensor(x)
        missing = -len(x) % num_replicas if equal_shares else 0
        x = tf.concat([x, tf.repeat(x[-1:], missing, axis=0)], axis=0)

        def own(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
            first, end = share(len(x), context.replica_id_in_sync_group, num_replicas)
            return x[first:end]

        return strategy.experimental_distribute_values_from_function(own)

    def on_batch(*batch: Any, **common: Any) -> Any:
        num_rows = len(tf.nest.flatten(batch)[0])
        results = on_replicas(tf.nest.map_structure(shares, batch), common)
        local = strategy.experimental_local_results
        return tf.nest.map_structure(lambda v: local(v)[0][:num_rows], results)

    return on_batch
