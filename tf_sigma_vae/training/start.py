"""The start of a command: the workers meet, compare what they are about to do, and connect."""

import importlib.metadata
from collections.abc import Callable

import tensorflow as tf

from tf_sigma_vae.replicas import num_workers
from tf_sigma_vae.training import agreement, cluster, rendezvous, strategy
from tf_sigma_vae.version import __version__

CLUSTER_TIMEOUT = 300.0
"""Seconds that a worker waits for the others to come up."""

_PACKAGES = ("tensorflow", "keras", "tensorflow-probability")


def chosen(name: str) -> tuple[strategy.Choice, cluster.Cluster | None]:
    """What a name comes to here, and the workers that the environment names if they matter.

    Connects nothing, and starts no devices where there are other workers: a cluster is configured
    before that or never.

    Raises:
      ValueError: On an unknown name, or a wrong cluster variable.
    """
    found = cluster.from_environment() if name in ("auto", "multi_worker") else None
    return strategy.choose(name, found), found


def connect(
    name: str,
    facts: dict[str, object],
    cluster_timeout: float = CLUSTER_TIMEOUT,
    say: Callable[[str], None] = print,
) -> tf.distribute.Strategy:
    """The strategy of a command, its workers connected, all about to do the same.

    Args:
      name: One of `strategy.STRATEGIES`.
      facts: What the workers are about to do, fit for JSON.
      cluster_timeout: Seconds to wait for all workers.
      say: Takes what people should know: the choice and its reason, and who is waited for.

    Returns:
      The strategy.

    Raises:
      ValueError: On an unknown name, or a wrong cluster variable.
      ClusterError: If a worker does not come up in time, or is about to do something else.
    """
    choice, found = chosen(name)
    if choice.kind == "multi_worker":
        assert found is not None, "strategy.choose gives multi_worker only where there is a cluster"
        versions = {package: importlib.metadata.version(package) for package in _PACKAGES}
        versions["tf-sigma-vae"] = __version__
        rendezvous.meet(
            found.addresses, found.index, {**facts, "versions": versions}, cluster_timeout, say
        )
    built = strategy.build(choice.kind, found)
    if agreement.is_chief(built):
        say(_description(choice, built))
    return built


def _description(choice: strategy.Choice, built: tf.distribute.Strategy) -> str:
    replicas, workers = built.num_replicas_in_sync, num_workers(built)
    of_workers = f" in {workers} workers" if workers > 1 else ""
    how_many = f"; {replicas} replicas{of_workers}" if replicas > 1 else ""
    return f"strategy: {choice.kind} ({choice.reason}){how_many}"
