"""Sums over the replicas of a `tf.distribute` strategy, and values of replicated variables."""

import tensorflow as tf


def replica_sum(value: tf.Tensor) -> tf.Tensor:
    """Sum of a tensor over all replicas; the tensor itself when there is only one.

    Called inside a replica context (the body of a training or test step). The gradient is not
    meant to flow through: callers pass statistics and counts.

    Args:
      value: Tensor of any shape, the replica's own contribution.

    Returns:
      A tensor of the same shape, equal on every replica.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def host_value(variable):
    """Value of a scalar variable as a Python number, whether or not replicas mirror it."""
    return tf.convert_to_tensor(variable).numpy().item()
