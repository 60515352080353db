"""The `tf.distribute` strategy of a run, by name, and what cannot be combined with it.

A strategy never changes the result: the objective, the scale and the order of the data are those of
the global batch, however many replicas share it.
"""

import functools
import os
import signal
from typing import NamedTuple

import keras
import tensorflow as tf

from tf_sigma_vae.config import Config
from tf_sigma_vae.training.cluster import Cluster

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")
DESCRIPTIONS = {
    "auto": "a TPU if there is one, several workers if the environment names them, all GPUs if "
    "there are several, else one device",
    "one_device": "the first GPU, or the CPU",
    "mirrored": "all GPUs of this machine (or all logical CPUs)",
    "multi_worker": "all workers of the cluster that the environment names, with all their GPUs",
    "tpu": "a TPU: the one that TPU_NAME names, or that of this TPU VM",
}
_PARAMETER_SERVERS = ("parameter_server", "ps")


class Choice(NamedTuple):
    """A kind of strategy, and why it was chosen."""

    kind: str
    reason: str


def check_name(name: str) -> None:
    """Refuses an unknown strategy.

    Raises:
      ValueError: Naming the known ones.
    """
    if name in _PARAMETER_SERVERS:
        raise ValueError(
            f"strategy {name!r}: Keras 3 does not support ParameterServerStrategy, and its "
            "asynchronous updates have no global batch to take an optimal scale from. Take "
            "multi_worker"
        )
    if name not in STRATEGIES:
        raise ValueError(f"unknown strategy {name!r}; known: {', '.join(STRATEGIES)}")


def choose(name: str, cluster: Cluster | None) -> Choice:
    """Resolves `auto`; any other name is what was asked for.

    Initializes TensorFlow's devices only where no other workers are named, for a cluster must be
    configured before.

    Raises:
      ValueError: If the name is unknown, or `multi_worker` is asked for and no cluster is named.
    """
    check_name(name)
    if name == "multi_worker" and cluster is None:
        raise ValueError(
            "--strategy=multi_worker needs a cluster: set TF_CONFIG in every worker, start the "
            "workers with srun, or in an indexed Kubernetes Job (see launch/)"
        )
    if name != "auto":
        return Choice(name, "as asked for")
    if os.environ.get("TPU_NAME"):
        return Choice("tpu", f"TPU_NAME is {os.environ['TPU_NAME']!r}")
    if tf.config.list_physical_devices("TPU"):
        return Choice("tpu", "this machine has a TPU")
    if cluster is not None and cluster.num_workers > 1:
        return Choice("multi_worker", f"{cluster.source} names {cluster.num_workers} workers")
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus > 1:
        return Choice("mirrored", f"this machine has {gpus} GPUs")
    return Choice("one_device", "there is one GPU" if gpus else "there is no GPU or TPU")


def build(kind: str, cluster: Cluster | None = None) -> tf.distribute.Strategy:
    """The strategy of a kind that `choose` gives.

    Args:
      kind: One of `STRATEGIES` but `auto`.
      cluster: The workers, for `multi_worker`; all must be about to do the same.

    Returns:
      The strategy.

    Raises:
      ValueError: If there is no such TPU.
    """
    if kind == "one_device":
        return tf.distribute.get_strategy()
    if kind == "multi_worker":
        assert cluster is not None, "choose gives multi_worker only where there is a cluster"
        built = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=cluster.resolver)
        # TensorFlow's runtime of a cluster takes SIGTERM and does nothing on it: back to its owner.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        return built
    if kind == "tpu":
        return _tpu()
    return _mirrored()


@functools.cache
def _mirrored() -> tf.distribute.Strategy:
    """All GPUs, or all logical CPUs; one object, for two in a process would clash."""
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    # TensorFlow's own choice for GPUs is NCCL. Never `HierarchicalCopyAllReduce`: it makes two
    # groups of n // 2 devices, and leaves one out of the sum when n is odd.
    reduction = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(
        [device.name for device in devices], cross_device_ops=reduction
    )


def _tpu() -> tf.distribute.Strategy:
    # "local" is the TPU of the machine that this process runs on.
    name = os.environ.get("TPU_NAME") or "local"
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        first_line = str(error).strip().split("\n")[0]
        raise ValueError(
            f"--strategy=tpu: there is no TPU {name!r} (set TPU_NAME, or run on a TPU VM): "
            f"{first_line}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def check(strategy: tf.distribute.Strategy, config: Config) -> None:
    """Refuses the combinations that are known not to work.

    Raises:
      ValueError: Naming the combination and what to choose instead.
    """
    on_tpu = _on_tpu(strategy)
    if on_tpu:
        _check_tpu(config)
    _check_replicas(
        config,
        strategy.num_replicas_in_sync,
        compiles=on_tpu or bool(tf.config.list_logical_devices("GPU")),
        several_workers=isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy),
    )


def check_shares(
    strategy: tf.distribute.Strategy, config: Config, model: keras.Model, sizes: dict[str, int]
) -> None:
    """Refuses a last batch that leaves replicas on CPUs without an example for their convolutions.

    oneDNN gives the convolution of no rows the channels of its input, and the next one fails.

    Args:
      strategy: The strategy.
      config: The configuration.
      model: The model; one without convolutions takes any share.
      sizes: Number of examples of the training and validation images, by split.

    Raises:
      ValueError: Naming the batch and what to choose instead.
    """
    replicas = strategy.num_replicas_in_sync
    convolves = any(len(weight.shape) == 4 for weight in model.trainable_weights)
    on_cpu = not tf.config.list_logical_devices("GPU") and not _on_tpu(strategy)
    uses_onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0"
    for split, size in sizes.items():
        rest = 0 if config.drop_remainder and split == "train" else size % config.global_batch_size
        if convolves and on_cpu and uses_onednn and 0 < rest < replicas:
            raise ValueError(
                f"the last batch of {split} has {rest} of {size} examples for {replicas} replicas, "
                "and on CPUs TensorFlow's convolutions (oneDNN) fail on none: choose another "
                "global_batch_size or validation_fraction, or set TF_ENABLE_ONEDNN_OPTS=0"
            )


def _on_tpu(strategy: tf.distribute.Strategy) -> bool:
    return isinstance(strategy, tf.distribute.TPUStrategy)


def check_workers(cluster: Cluster, config: Config) -> None:
    """`check`, by what is known before the workers connect: at least one replica in each.

    Raises:
      ValueError: Naming the combination and what to choose instead.
    """
    gpus = tf.config.list_physical_devices("GPU")
    _check_replicas(config, cluster.num_workers, compiles=bool(gpus), several_workers=True)


def _check_replicas(config: Config, replicas: int, compiles: bool, several_workers: bool) -> None:
    if replicas == 1:
        return
    if config.global_batch_size % replicas:
        below = config.global_batch_size // replicas * replicas
        choices = " or ".join(str(size) for size in (below, below + replicas) if size > 0)
        raise ValueError(
            f"config.global_batch_size ({config.global_batch_size}) must be a multiple of the "
            f"{replicas} replicas: take {choices}"
        )
    if config.precision == "mixed_float16":
        raise ValueError(
            "config.precision='mixed_float16' is not safe on several replicas (the loss scale "
            "looks at the first one only): choose mixed_bfloat16"
        )
    if config.jit_compile and not compiles:
        raise ValueError("config.jit_compile does not work on several CPU replicas: switch it off")
    if config.steps_per_execution > 1 and several_workers:
        raise ValueError(
            f"config.steps_per_execution ({config.steps_per_execution}) must be 1 with several "
            "workers: their collectives deadlock in a loop of steps"
        )


def _check_tpu(config: Config) -> None:
    if not config.drop_remainder:
        raise ValueError(
            "a TPU compiles one batch shape: set config.drop_remainder=True, which leaves the "
            "partial last batch out of each epoch (every epoch other images)"
        )
    if config.precision == "mixed_float16":
        raise ValueError("config.precision='mixed_float16' is not for TPUs: choose mixed_bfloat16")
    if config.jit_compile:
        raise ValueError("config.jit_compile is not for TPUs, which compile every step anyway")
