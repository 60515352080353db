"""Which cluster of workers this process belongs to, as the environment says.

| source     | variables                                                                        |
|------------|----------------------------------------------------------------------------------|
| TF_CONFIG  | `TF_CONFIG`, also set by Vertex AI and Kubeflow                                  |
| Slurm      | `SLURM_PROCID`, `SLURM_STEP_NUM_TASKS`, `SLURM_STEP_NODELIST`,                   |
|            | `SLURM_STEP_TASKS_PER_NODE`, set by `srun`                                       |
| Kubernetes | `JOB_COMPLETION_INDEX`, set in an indexed Job, and `JOB_NAME`, `JOB_SERVICE`,    |
|            | `JOB_NUM_WORKERS`, `JOB_PORT` (default 2222), which the Job's manifest sets      |

The first that names a cluster counts. They are read by TensorFlow's own resolvers, but for the
last one: `KubernetesClusterResolver` needs the `kubernetes` package and the right to list pods,
does not know which worker this is, and gives pod addresses, which change when a pod restarts. The
names of an indexed Job with a headless service stay.

Nothing here starts TensorFlow's runtime: `MultiWorkerMirroredStrategy` must do that itself.
"""

import dataclasses
import json
import os
import re

import tensorflow as tf

from tf_sigma_vae.training import _wire

DEFAULT_JOB_PORT = 2222
"""Port of every worker of a Kubernetes Job that does not set `JOB_PORT`."""

_JOBS = ("chief", "worker")
_SLURM = tuple(
    f"SLURM_{name}" for name in ("PROCID", "STEP_NUM_TASKS", "STEP_NODELIST", "STEP_TASKS_PER_NODE")
)
_KUBERNETES = ("JOB_COMPLETION_INDEX", "JOB_NAME", "JOB_SERVICE", "JOB_NUM_WORKERS")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run, and which of them this process is.

    Attributes:
      resolver: What `tf.distribute.MultiWorkerMirroredStrategy` takes.
      source: Who named the cluster: "TF_CONFIG", "Slurm" or "Kubernetes".
      addresses: `host:port` of every worker, the chief first; at this port TensorFlow's server
        of the worker will listen.
      index: Position of this process in `addresses`.
    """

    resolver: tf.distribute.cluster_resolver.ClusterResolver
    source: str
    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.index == 0

    @property
    def num_workers(self) -> int:
        """Number of processes, the chief among them."""
        return len(self.addresses)


def from_environment() -> Cluster | None:
    """The cluster that the environment of this process names, or None.

    Raises:
      ValueError: If a variable that names a cluster is wrong or incomplete; says which.
    """
    return _from_tf_config() or _from_slurm() or _from_kubernetes()


class _Workers(tf.distribute.cluster_resolver.SimpleClusterResolver):
    """A cluster of equal workers, each with the GPUs that it sees.

    The strategy believes in the number that a resolver gives, and takes the CPU if that is none.
    It asks after it started the runtime, so that counting then disturbs nothing.
    """

    def __init__(self, addresses: tuple[str, ...], index: int) -> None:
        spec = tf.train.ClusterSpec({"worker": list(addresses)})
        super().__init__(spec, task_type="worker", task_id=index, rpc_layer="grpc")

    def num_accelerators(
        self,
        task_type: str | None = None,
        task_id: int | None = None,
        config_proto: tf.compat.v1.ConfigProto | None = None,
    ) -> dict[str, int]:
        """Number of GPUs of this process."""
        return {"GPU": len(tf.config.get_visible_devices("GPU"))}


def _from_tf_config() -> Cluster | None:
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"TF_CONFIG is not JSON ({error}): {text!r}") from error
    if not isinstance(content, dict):
        raise ValueError(f"TF_CONFIG must be a JSON object with 'cluster' and 'task', not {text!r}")
    jobs, task = content.get("cluster", {}), content.get("task", {})
    if not task and not (any(jobs.values()) if isinstance(jobs, dict) else jobs):
        return None
    for name, value in (("cluster", jobs), ("task", task)):
        if not value or not isinstance(value, dict):
            raise ValueError(
                f"TF_CONFIG lacks {name!r}; it must be like "
                '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", '
                f'"index": 0}}}}, and is {text}'
            )
    _check_jobs(jobs, task)
    _check_task(jobs, task)
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    spec = resolver.cluster_spec().as_dict()
    chiefs = spec.get("chief", [])
    addresses = (*chiefs, *spec.get("worker", []))
    index = resolver.task_id + (len(chiefs) if resolver.task_type == "worker" else 0)
    return _checked(Cluster(resolver, "TF_CONFIG", addresses, index), "TF_CONFIG")


def _check_jobs(jobs: dict, task: dict) -> None:
    named = [("cluster has the job", job) for job in jobs] + [("task.type is", task.get("type"))]
    for where, job in named:
        if job not in _JOBS:
            raise ValueError(
                f"TF_CONFIG: {where} {job!r}; allowed are {' and '.join(_JOBS)}. Keras 3 does not "
                "support ParameterServerStrategy, and evaluation is a command of its own: make "
                "every process a worker of the strategy multi_worker"
            )
    for job, addresses in jobs.items():
        strings = isinstance(addresses, list) and all(isinstance(a, str) for a in addresses)
        if not strings or not addresses:
            raise ValueError(
                f"TF_CONFIG: cluster.{job} must be a list of host:port, not {addresses!r}"
            )
    if len(jobs.get("chief", [])) > 1:
        raise ValueError(f"TF_CONFIG: cluster.chief must have one address, not {jobs['chief']}")


def _check_task(jobs: dict, task: dict) -> None:
    job, index = task["type"], task.get("index")
    if job not in jobs:
        raise ValueError(
            f"TF_CONFIG: task.type is {job!r}; the cluster has {', '.join(sorted(jobs))}"
        )
    if index is None or not re.fullmatch(r"\d+", str(index)):
        raise ValueError(f"TF_CONFIG: task.index must be an integer from 0, not {index!r}")
    if int(index) >= len(jobs[job]):
        raise ValueError(
            f"TF_CONFIG: task.index is {index}; the cluster's {job} has the indices 0 to "
            f"{len(jobs[job]) - 1}"
        )


def _from_slurm() -> Cluster | None:
    if "SLURM_STEP_NUM_TASKS" not in os.environ:
        return None
    _check_present(_SLURM, "a Slurm step (start the workers with srun)")
    num_workers = _integer("SLURM_STEP_NUM_TASKS", low=1)
    index = _integer("SLURM_PROCID", high=num_workers - 1)
    try:
        # Made to read the variables and nothing else: it would run nvidia-smi for the number of
        # GPUs, which fails on nodes without one, and set CUDA_VISIBLE_DEVICES, which Slurm does
        # where it is asked to bind GPUs to tasks. No node has more tasks than the step has.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=_slurm_port(),
            gpus_per_node=num_workers,
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        addresses = tuple(sorted(resolver.cluster_spec().as_dict()["worker"], key=_slurm_order))
    except (RuntimeError, ValueError) as error:
        values = ", ".join(f"{name}={os.environ[name]!r}" for name in _SLURM)
        raise ValueError(f"the Slurm step does not fit together: {error} ({values})") from error
    here = os.environ.get("SLURMD_NODENAME")
    if here and _wire.split_address(addresses[index])[0] != here:
        raise ValueError(
            f"SLURM_PROCID {index} runs on the node {here}, where the order of "
            f"SLURM_STEP_NODELIST has {addresses[index]}: start the step with "
            "srun --distribution=block, or set TF_CONFIG"
        )
    return _checked(
        Cluster(_Workers(addresses, index), "Slurm", addresses, index), "SLURM_STEP_NODELIST"
    )


def _slurm_port() -> int:
    """First port of the step: jobs that share a node rarely share it; 16 tasks of one never do.

    Below the ports that Linux gives to outgoing connections, from 32768.
    """
    return 20000 + 16 * _integer("SLURM_JOB_ID", default=0) % 12000


def _slurm_order(address: str) -> tuple[str, int, int]:
    """Sorts n9 before n10, as Slurm numbers its tasks; TensorFlow's resolver sorts by letters."""
    host, port = _wire.split_address(address)
    prefix = host.rstrip("0123456789")
    return prefix, int(host[len(prefix) :] or -1), port


def _from_kubernetes() -> Cluster | None:
    # JOB_COMPLETION_INDEX alone is in every indexed Job, also in those of independent runs.
    if not {"JOB_SERVICE", "JOB_NUM_WORKERS"} & set(os.environ):
        return None
    _check_present(_KUBERNETES, "a Kubernetes Job (completionMode: Indexed, a headless service)")
    num_workers = _integer("JOB_NUM_WORKERS", low=1)
    index = _integer("JOB_COMPLETION_INDEX", high=num_workers - 1)
    port = _integer("JOB_PORT", low=1, high=2**16 - 1, default=DEFAULT_JOB_PORT)
    job, service = os.environ["JOB_NAME"], os.environ["JOB_SERVICE"]
    addresses = tuple(f"{job}-{i}.{service}:{port}" for i in range(num_workers))
    cluster = Cluster(_Workers(addresses, index), "Kubernetes", addresses, index)
    return _checked(cluster, "JOB_NAME, JOB_SERVICE")


def _check_present(names: tuple[str, ...], what: str) -> None:
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise ValueError(f"{' and '.join(missing)} not set; {what} needs {', '.join(names)}")


def _integer(name: str, low: int = 0, high: int | None = None, default: int | None = None) -> int:
    if default is not None and name not in os.environ:
        return default
    text = os.environ[name]
    number = int(text) if re.fullmatch(r"\d{1,18}", text) else -1
    if number < low or (high is not None and number > high):
        allowed = f"an integer from {low}" + ("" if high is None else f" to {high}")
        raise ValueError(f"{name} must be {allowed}, not {text!r}")
    return number


def _checked(cluster: Cluster, variable: str) -> Cluster:
    places = []
    for address in cluster.addresses:
        try:
            places.append(_wire.split_address(address))
        except ValueError as error:
            raise ValueError(f"{variable}: {error}") from error
    for position, place in enumerate(places):
        if place in places[:position]:
            raise ValueError(
                f"{variable}: the address {cluster.addresses[position]!r} is there twice; every "
                "worker needs its own"
            )
    return cluster
