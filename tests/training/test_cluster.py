"""The cluster that the environment names, from TF_CONFIG, Slurm or a Kubernetes Job."""

import json
import os
import socket
import subprocess
import sys

import pytest
import tensorflow as tf

from tf_sigma_vae.training import cluster

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_PROCID": "2",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_NODELIST": "n[9-10]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
    "SLURMD_NODENAME": "n10",
}
JOB = {
    "JOB_COMPLETION_INDEX": "1",
    "JOB_NAME": "run",
    "JOB_SERVICE": "workers.team.svc",
    "JOB_NUM_WORKERS": "2",
    "JOB_PORT": "777",
}


def tf_config(jobs, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM", "JOB_", "TF_CONFIG")):
            monkeypatch.delenv(name)


@pytest.fixture
def found(monkeypatch):
    def with_variables(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return cluster.from_environment()

    return with_variables


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"TF_CONFIG": ""},
        {"TF_CONFIG": "{}"},
        {"TF_CONFIG": '{"cluster": {}}'},
        {"TF_CONFIG": '{"cluster": {"worker": []}, "environment": "cloud"}'},
        # A shell of a Slurm allocation, and an indexed Job of runs that do not know one another.
        {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_JOB_NODELIST": "n1"},
        {"JOB_COMPLETION_INDEX": "1", "JOB_NAME": "run"},
    ],
)
def test_an_environment_that_names_no_cluster_has_none(variables, found):
    assert found(variables) is None


@pytest.mark.parametrize(("kind", "task", "index"), [("chief", 0, 0), ("worker", 1, 2)])
def test_tf_config_puts_the_chief_first(kind, task, index, found):
    result = found(tf_config({"worker": ["a:1", "b:2"], "chief": ["c:3"]}, kind, task))
    assert result.source == "TF_CONFIG"
    assert result.addresses == ("c:3", "a:1", "b:2")
    assert (result.index, result.is_chief, result.num_workers) == (index, index == 0, 3)
    assert isinstance(result.resolver, tf.distribute.cluster_resolver.TFConfigClusterResolver)
    assert (result.resolver.task_type, result.resolver.task_id) == (kind, task)


@pytest.mark.parametrize("task", [0, 1])
def test_without_a_chief_the_first_worker_is_the_chief(task, found):
    result = found(tf_config({"worker": ["a:1", "[::1]:1"]}, index=str(task)))
    assert (result.index, result.is_chief) == (task, task == 0)
    assert result.addresses == ("a:1", "[::1]:1")


def test_a_single_worker_is_a_cluster_of_one(found):
    result = found(tf_config({"worker": ["a:1"]}))
    assert (result.addresses, result.index, result.num_workers) == (("a:1",), 0, 1)


PAIR = ["a:1", "b:2"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TF_CONFIG": "{"}, r"TF_CONFIG is not JSON \(Expecting property name.*: '{'"),
        ({"TF_CONFIG": "[1]"}, r"TF_CONFIG must be a JSON object .*not '\[1\]'"),
        ({"TF_CONFIG": '{"task": {"type": "worker"}}'}, "TF_CONFIG lacks 'cluster'; it must be l"),
        ({"TF_CONFIG": '{"cluster": ["a:1"]}'}, "TF_CONFIG lacks 'cluster'; it must be like"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "TF_CONFIG lacks 'task'; it must be"),
        (tf_config({"worker": PAIR}, index=2), "task.index is 2; the cluster's worker has the ind"),
        (tf_config({"worker": PAIR}, index=-1), "task.index must be an integer from 0, not -1"),
        (tf_config({"worker": PAIR}, index=None), "task.index must be an integer from 0, not None"),
        (tf_config({"worker": PAIR}, index=True), "task.index must be an integer from 0, not True"),
        (tf_config({"worker": PAIR}, "chief"), "task.type is 'chief'; the cluster has worker"),
        (tf_config({"worker": PAIR}, "evaluator"), "task.type is 'evaluator'; allowed are chief a"),
        (tf_config({"worker": PAIR}, None), "task.type is None; allowed are chief and worker"),
        (
            tf_config({"worker": PAIR, "ps": ["p:1"]}, "ps"),
            "has the job 'ps'; allowed are chief and worker. Keras 3 does not support "
            "ParameterServerStrategy, .*strategy multi_worker",
        ),
        (tf_config({"worker": "a:1"}), "cluster.worker must be a list of host:port, not 'a:1'"),
        (tf_config({"worker": [1]}), r"cluster.worker must be a list of host:port, not \[1\]"),
        (tf_config({"chief": PAIR}, "chief"), r"cluster.chief must have one address, not \['a:1'"),
        (tf_config({"worker": ["a:1", "a:1"]}), "TF_CONFIG: the address 'a:1' is there twice"),
        (tf_config({"worker": ["a:1"], "chief": ["a:1"]}), "the address 'a:1' is there twice"),
        (tf_config({"worker": ["a:1", "b"]}), "TF_CONFIG: address 'b' is not host:port"),
    ],
)
def test_a_wrong_tf_config_is_refused(variables, message, found):
    with pytest.raises(ValueError, match=message):
        found(variables)


def test_the_tasks_of_a_slurm_step_are_the_workers(found):
    result = found(SLURM)
    # In Slurm's order of nodes, where 9 comes before 10; the port is 20000 + 16 * job id.
    assert result.addresses == ("n9:20112", "n9:20113", "n10:20112")
    assert (result.source, result.index, result.is_chief) == ("Slurm", 2, False)
    assert result.resolver.cluster_spec().as_dict() == {"worker": list(result.addresses)}
    assert (result.resolver.task_type, result.resolver.task_id) == ("worker", 2)


def test_slurm_steps_are_read_without_nvidia_smi_and_without_setting_the_gpus(found, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", "")
    found(SLURM)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_the_ports_of_slurm_jobs_stay_below_those_of_outgoing_connections(found):
    ports = set()
    for job in (0, 749, 750, 10**9 + 1):
        result = found({**SLURM, "SLURM_JOB_ID": str(job)})
        ports.add(int(result.addresses[0].split(":")[1]))
    assert ports == {20000, 31984, 20000 + 16 * ((10**9 + 1) % 750)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SLURM_STEP_NODELIST": ""}, "SLURM_STEP_NODELIST not set; a Slurm step .*needs SLURM_PR"),
        ({"SLURM_STEP_NUM_TASKS": "x"}, "SLURM_STEP_NUM_TASKS must be an integer from 1, not 'x'"),
        ({"SLURM_PROCID": "3"}, "SLURM_PROCID must be an integer from 0 to 2, not '3'"),
        ({"SLURM_JOB_ID": "7_1"}, "SLURM_JOB_ID must be an integer from 0, not '7_1'"),
        ({"SLURM_STEP_NODELIST": "n[1"}, "Slurm step does not fit together: .*NODELIST='n"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2"}, "Requested 3 tasks but only 2 .*PER_NODE='2'"),
        ({"SLURM_PROCID": "1"}, "SLURM_PROCID 1 runs on the node n10, .*n9:20113.*=block"),
    ],
)
def test_a_slurm_step_that_does_not_fit_is_refused(changes, message, found):
    with pytest.raises(ValueError, match=message):
        found({**SLURM, **changes})


def test_the_pods_of_an_indexed_job_are_the_workers(found):
    result = found(JOB)
    assert result.addresses == ("run-0.workers.team.svc:777", "run-1.workers.team.svc:777")
    assert (result.source, result.index, result.is_chief) == ("Kubernetes", 1, False)
    assert (result.resolver.task_type, result.resolver.task_id) == ("worker", 1)


def test_the_port_of_an_indexed_job_has_a_default(found):
    del (variables := dict(JOB))["JOB_PORT"]
    assert found(variables).addresses[0] == "run-0.workers.team.svc:2222"


@pytest.mark.parametrize("name", ["JOB_COMPLETION_INDEX", "JOB_NAME", "JOB_SERVICE"])
def test_an_incomplete_job_is_refused(name, found):
    del (variables := dict(JOB))[name]
    with pytest.raises(
        ValueError, match=rf"^{name} not set; a Kubernetes Job \(completionMode: In"
    ):
        found(variables)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"JOB_COMPLETION_INDEX": "2"}, "JOB_COMPLETION_INDEX must be an integer from 0 to 1, not"),
        ({"JOB_COMPLETION_INDEX": "x"}, "JOB_COMPLETION_INDEX must be an integer from 0 to 1, not"),
        ({"JOB_NUM_WORKERS": "0"}, "JOB_NUM_WORKERS must be an integer from 1, not '0'"),
        ({"JOB_PORT": "65536"}, "JOB_PORT must be an integer from 1 to 65535, not '65536'"),
        ({"JOB_SERVICE": "a b"}, "JOB_NAME, JOB_SERVICE: address 'run-0.a b:777' is not host:port"),
    ],
)
def test_a_job_with_a_wrong_value_is_refused(changes, message, found):
    with pytest.raises(ValueError, match=message):
        found({**JOB, **changes})


def test_tf_config_goes_before_slurm_and_slurm_before_a_job(found):
    assert found(JOB).source == "Kubernetes"
    assert found(SLURM).source == "Slurm"
    assert found({"TF_CONFIG": "{}"}).source == "Slurm"
    assert found(tf_config({"worker": ["a:1"]})).source == "TF_CONFIG"


def test_workers_of_slurm_and_kubernetes_use_the_gpus_they_see(found, monkeypatch):
    resolver = found(JOB).resolver
    monkeypatch.setattr(tf.config, "get_visible_devices", {"GPU": ["GPU:0", "GPU:1"]}.get)
    assert resolver.num_accelerators() == {"GPU": 2}


STARTS = """
import json, os, sys
import tensorflow as tf
from tf_sigma_vae.training import cluster
for variables in json.loads(sys.argv[1]):
    os.environ.update(variables)
    found = cluster.from_environment()
    print(found.source)
# Refused once anything has started TensorFlow's runtime.
strategy = tf.distribute.MultiWorkerMirroredStrategy(found.resolver)
print(found.addresses[0], strategy.cluster_resolver is found.resolver)
print(strategy.extended.worker_devices)
"""


@pytest.mark.slow
def test_the_strategy_starts_after_every_source_was_read():
    # A job id whose port nobody uses.
    for job in range(100, 200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", 20000 + 16 * job)):
                break
    one_task = {
        **SLURM,
        "SLURM_JOB_ID": str(job),
        "SLURM_PROCID": "0",
        "SLURM_STEP_NUM_TASKS": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": "1",
        "SLURMD_NODENAME": "localhost",
    }
    tasks = [JOB, tf_config({"worker": ["a:1"]}), {"TF_CONFIG": "", **one_task}]
    done = subprocess.run(
        [sys.executable, "-c", STARTS, json.dumps(tasks)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *sources, strategy, devices = done.stdout.splitlines()
    assert sources == ["Kubernetes", "TF_CONFIG", "Slurm"]
    assert strategy == f"localhost:{20000 + 16 * job} True"
    assert devices.startswith("('/job:worker/replica:0/task:0/device:")
