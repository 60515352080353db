"""launch/multi_worker_local.sh starts, watches, stops and restarts workers; these are stubs."""

import os
import signal
import subprocess

import pytest

from tests.launch._stub import SECONDS

# What a worker that is told to stop, and hangs, is given; the default would make tests slow.
SHORT_STOP_SECONDS = 1


@pytest.fixture
def script(launch_folder):
    return launch_folder / "multi_worker_local.sh"


def test_every_worker_gets_its_own_place_in_one_cluster(stage, script):
    scene = stage("exit 0")
    assert scene.run(script, "3", "--workdir=w", "--variant=mse", "--seed=1 2") == 0
    clusters, indices, ports = [], [], set()
    for worker in range(3):
        (start,) = scene.starts(worker)
        assert start.args[0] == "--strategy=multi_worker"
        assert start.args[-3:] == ["--workdir=w", "--variant=mse", "--seed=1 2"]
        assert start.tf_config["task"]["type"] == "worker"
        clusters.append(start.tf_config["cluster"])
        indices.append(start.tf_config["task"]["index"])
    assert indices == [0, 1, 2]
    assert clusters == [clusters[0]] * 3 and list(clusters[0]) == ["worker"]
    for address in clusters[0]["worker"]:
        host, port = address.split(":")
        assert host == "127.0.0.1"
        assert 1024 <= int(port) < 65536
        ports.add(int(port))
    assert len(ports) == 3
    assert scene.survivors() == []


def test_chief_prints_to_the_screen_and_the_others_to_files(stage, script):
    scene = stage("echo also stderr >&2")
    assert scene.run(script, "2", "--workdir", "deep/w") == 0
    assert scene.output().splitlines() == ["stub 0-1", "also stderr"]
    log = (scene.folder / "deep" / "w" / "worker-1.log").read_text(encoding="utf-8")
    assert log.splitlines() == ["stub 1-1", "also stderr"]


def test_workdir_has_a_default_that_all_workers_share(stage, script):
    scene = stage("exit 0")
    assert scene.run(script, "2") == 0
    for worker in range(2):
        assert "--workdir=runs/multi_worker" in scene.starts(worker)[0].args
    assert (scene.folder / "runs" / "multi_worker" / "worker-1.log").exists()


def test_cores_are_shared_out_unless_the_user_did(stage, script):
    scene = stage("exit 0")
    cores = int(subprocess.check_output(["getconf", "_NPROCESSORS_ONLN"]))
    assert scene.run(script, "2", "--workdir=w", TF_NUM_INTRAOP_THREADS="") == 0
    assert scene.starts()[0].threads == str(max(1, cores // 2))
    assert scene.run(script, "2", "--workdir=w", TF_NUM_INTRAOP_THREADS="7") == 0
    assert scene.starts()[1].threads == "7"


def test_all_are_restarted_when_one_is_killed(stage, script):
    scene = stage('[[ "$start" = *-2 ]] && exit 0; rest')
    scene.launch(script, "3", "--workdir=w")
    scene.wait_for_starts(0, 1, 2)
    os.kill(scene.starts(1)[0].pid, signal.SIGKILL)
    assert scene.exit_code() == 0
    for worker in range(3):
        first, second = scene.starts(worker)
        assert first.signals == ([] if worker == 1 else ["TERM"])
        assert first.args == second.args and second.signals == []
    assert "worker 1: exit code 137" in scene.output()
    assert "restart 1 of 3" in scene.output()
    assert scene.survivors() == []


@pytest.mark.parametrize("code", [42, pytest.param(134, marks=pytest.mark.slow)])
def test_all_are_restarted_when_one_says_that_another_was_lost(stage, script, code):
    scene = stage(f'meet 2; case "$start" in 0-1) exit {code} ;; *-1) rest ;; esac')
    assert scene.run(script, "2", "--workdir=w") == 0
    assert [len(scene.starts(worker)) for worker in range(2)] == [2, 2]
    assert f"worker 0: exit code {code}" in scene.output()


@pytest.mark.slow
def test_how_the_others_end_after_a_loss_does_not_matter(stage, script):
    scene = stage('[[ "$start" = *-2 ]] && exit 0; rest', on_term="exit 1")
    scene.launch(script, "2", "--workdir=w")
    scene.wait_for_starts(0, 1)
    os.kill(scene.starts(1)[0].pid, signal.SIGKILL)
    assert scene.exit_code() == 0
    assert "worker 0: exit code 1" in scene.output()
    assert len(scene.starts(0)) == 2


@pytest.mark.slow
def test_a_restart_takes_the_log_further(stage, script):
    scene = stage('meet 2; [ "$start" != 1-1 ] || kill -KILL "$$"')
    assert scene.run(script, "2", "--workdir=w") == 0
    log = (scene.folder / "w" / "worker-1.log").read_text(encoding="utf-8")
    assert log.splitlines() == ["stub 1-1", "stub 1-2"]


@pytest.mark.parametrize("code", [1, pytest.param(127, marks=pytest.mark.slow)])
def test_an_error_ends_the_others_and_is_not_restarted(stage, script, code):
    scene = stage(f'meet 2; [ "$start" != 1-1 ] || exit {code}; rest')
    assert scene.run(script, "2", "--workdir=w") == code
    assert [len(scene.starts(worker)) for worker in range(2)] == [1, 1]
    assert f"worker 1: exit code {code}" in scene.output()
    assert scene.survivors() == []


@pytest.mark.slow
def test_an_error_of_all_workers_is_not_restarted(stage, script):
    scene = stage("meet 3; exit 1")
    assert scene.run(script, "3", "--workdir=w") == 1
    assert [len(scene.starts(worker)) for worker in range(3)] == [1, 1, 1]


@pytest.mark.slow
def test_restarts_are_bounded(stage, script):
    scene = stage('meet 2; ((index == 0)) || kill -KILL "$$"; rest')
    assert scene.run(script, "2", "--workdir=w", MAX_RESTARTS="2") == 42
    assert [len(scene.starts(worker)) for worker in range(2)] == [3, 3]
    assert "restart 2 of 2" in scene.output()
    assert scene.survivors() == []


@pytest.mark.parametrize(
    "name",
    [
        "SIGINT",
        pytest.param("SIGTERM", marks=pytest.mark.slow),
        pytest.param("SIGHUP", marks=pytest.mark.slow),
    ],
)
def test_a_signal_reaches_every_worker_once(stage, script, name):
    scene = stage("rest")
    scene.launch(script, "3", "--workdir=w")
    scene.wait_for_starts(0, 1, 2)
    # The whole group, as a terminal sends Ctrl-C: the workers get it from the launcher alone.
    os.killpg(scene.process.pid, signal.Signals[name])
    assert scene.exit_code() == 42
    for worker in range(3):
        (start,) = scene.starts(worker)
        assert start.signals == ["TERM"]
    assert "restart" not in scene.output()
    assert scene.survivors() == []


@pytest.mark.slow
def test_workers_that_end_well_after_a_signal_are_done(stage, script):
    scene = stage("rest", on_term="exit 0")
    scene.launch(script, "2", "--workdir=w")
    scene.wait_for_starts(0, 1)
    scene.process.terminate()
    assert scene.exit_code() == 0


def test_an_error_after_a_signal_is_not_hidden(stage, script):
    scene = stage("rest", on_term="exit $((index == 0 ? 42 : 1))")
    scene.launch(script, "2", "--workdir=w")
    scene.wait_for_starts(0, 1)
    scene.process.terminate()
    assert scene.exit_code() == 1


@pytest.mark.slow
@pytest.mark.parametrize("signals", [1, 2])
def test_a_worker_that_hangs_is_killed(stage, script, signals):
    scene = stage("while :; do rest; done", on_term=":")
    stop_seconds = SHORT_STOP_SECONDS if signals == 1 else 10 * SECONDS
    scene.launch(script, "2", "--workdir=w", STOP_SECONDS=str(stop_seconds))
    scene.wait_for_starts(0, 1)
    scene.process.terminate()
    if signals == 2:  # does not wait for STOP_SECONDS
        scene.wait_until(lambda: scene.starts(1)[0].signals)
        scene.process.terminate()
    assert scene.exit_code() == 42
    assert scene.survivors() == []


@pytest.mark.slow
def test_a_hanging_survivor_does_not_hold_up_the_restart(stage, script):
    scene = stage(
        'meet 2; case "$start" in 0-1) while :; do rest; done ;; 1-1) kill -KILL "$$" ;; esac',
        on_term=":",
    )
    assert scene.run(script, "2", "--workdir=w", STOP_SECONDS=str(SHORT_STOP_SECONDS)) == 0
    assert [len(scene.starts(worker)) for worker in range(2)] == [2, 2]
    assert scene.survivors() == []


@pytest.mark.parametrize("args", [(), ("0",), ("--workdir=w",)])
def test_number_of_workers_is_needed(stage, script, args):
    scene = stage("exit 0")
    assert scene.run(script, *args) == 2
    assert scene.output().startswith("usage: launch/multi_worker_local.sh N")
    assert scene.starts() == []
