"""The `tf.distribute` strategy of a run, by name."""

import tensorflow as tf

from tf_sigma_vae.config import Config

STRATEGIES = ("auto", "one_device", "mirrored")


def build(name: str) -> tf.distribute.Strategy:
    """The strategy: `one_device`, `mirrored` (all GPUs, or all logical CPUs), or `auto`.

    `auto` mirrors over the GPUs if there are several and takes one device otherwise.

    Raises:
      ValueError: If the name is unknown.
    """
    if name not in STRATEGIES:
        raise ValueError(f"unknown strategy {name!r}; known: {', '.join(STRATEGIES)}")
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        # The hierarchical copy is the reduction that works for every kind of device here.
        return tf.distribute.MirroredStrategy(
            [device.name for device in devices],
            cross_device_ops=tf.distribute.HierarchicalCopyAllReduce(),
        )
    return tf.distribute.get_strategy()


def check(strategy: tf.distribute.Strategy, config: Config) -> None:
    """Refuses the combinations that are known not to work on several replicas.

    Raises:
      ValueError: Naming the combination and what to choose instead.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return
    if config.global_batch_size % replicas:
        raise ValueError(
            f"config.global_batch_size ({config.global_batch_size}) must be a multiple of the "
            f"{replicas} replicas"
        )
    if config.precision == "mixed_float16":
        raise ValueError(
            "config.precision='mixed_float16' is not safe on several replicas (the loss scale "
            "looks at the first one only): choose mixed_bfloat16"
        )
    if config.jit_compile and not tf.config.list_logical_devices("GPU"):
        raise ValueError("config.jit_compile does not work on several CPU replicas: switch it off")
