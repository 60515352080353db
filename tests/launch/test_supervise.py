"""launch/supervise.sh, and the scripts that train one process through it; the process is a stub."""

import os
import signal

import pytest

STRATEGY = {
    "local.sh": "--strategy=one_device",
    "multi_gpu.sh": "--strategy=mirrored",
    "container_entry.sh": "--strategy=auto",
}
KILLED = 128 + signal.SIGKILL


@pytest.fixture
def make_scene(stage):
    """A stage on which TensorFlow sees some GPUs."""

    def make(body: str, gpus: int = 2, **kwargs):
        scene = stage(body, **kwargs)
        scene.add_command("python", f"#!/usr/bin/env bash\necho {gpus}\n")
        return scene

    return make


@pytest.mark.parametrize("name", STRATEGY)
def test_flags_are_passed_on_as_they_are(make_scene, launch_folder, name):
    scene = make_scene("exit 0")
    assert scene.run(launch_folder / name, "--workdir=w", "--config.num_epochs=3", "a b") == 0
    (start,) = scene.starts()
    assert start.args == [STRATEGY[name], "--workdir=w", "--config.num_epochs=3", "a b"]


def test_a_killed_run_goes_on(make_scene, launch_folder):
    scene = make_scene('[ "$start" != 0-1 ] || kill -KILL "$$"')
    assert scene.run(launch_folder / "local.sh", "--workdir=w") == 0
    first, second = scene.starts()
    assert first.args == second.args
    assert f"exit code {KILLED}: restart 1 of" in scene.output()
    assert scene.survivors() == []


@pytest.mark.parametrize(("name", "code"), [("local.sh", 127), ("container_entry.sh", 1)])
def test_an_error_is_not_restarted(make_scene, launch_folder, name, code):
    scene = make_scene(f"exit {code}")
    assert scene.run(launch_folder / name, "--workdir=w") == code
    assert len(scene.starts()) == 1


@pytest.mark.parametrize(
    ("name", "starts"), [("local.sh", 1), ("multi_gpu.sh", 1), ("container_entry.sh", 2)]
)
def test_only_a_container_is_restarted_on_42(make_scene, launch_folder, name, starts):
    scene = make_scene('[ "$start" != 0-1 ] || exit 42')
    assert scene.run(launch_folder / name, "--workdir=w") == (0 if starts == 2 else 42)
    assert len(scene.starts()) == starts


@pytest.mark.parametrize("name", ["local.sh", "container_entry.sh"])
def test_a_signal_stops_and_is_passed_on_once(make_scene, launch_folder, name):
    scene = make_scene("rest")
    scene.launch(launch_folder / name, "--workdir=w")
    scene.wait_for_starts(0)
    os.killpg(scene.process.pid, signal.SIGINT)  # as a terminal does
    assert scene.exit_code() == 42
    (start,) = scene.starts()
    assert start.signals == ["TERM"]
    assert scene.survivors() == []


def test_every_signal_is_passed_on(make_scene, launch_folder):
    scene = make_scene("while ((count < 2)); do rest; done; exit 42", on_term="((count += 1))")
    scene.launch(launch_folder / "local.sh", "--workdir=w")
    scene.wait_for_starts(0)
    scene.process.terminate()
    scene.wait_until(lambda: scene.starts()[0].signals)
    scene.process.terminate()
    assert scene.exit_code() == 42
    assert scene.starts()[0].signals == ["TERM", "TERM"]
    assert scene.survivors() == []


def test_a_run_that_was_told_to_stop_before_it_listened_is_not_restarted(make_scene, launch_folder):
    scene = make_scene("rest", on_term='trap - TERM; kill -TERM "$$"')
    scene.launch(launch_folder / "local.sh", "--workdir=w")
    scene.wait_for_starts(0)
    os.kill(scene.starts()[0].pid, signal.SIGTERM)
    assert scene.exit_code() == 128 + signal.SIGTERM
    assert len(scene.starts()) == 1
    assert scene.survivors() == []


def test_restarts_are_bounded(make_scene, launch_folder):
    scene = make_scene('sleep 60 & kill -KILL "$$"')
    assert scene.run(launch_folder / "local.sh", "--workdir=w", MAX_RESTARTS="2") == KILLED
    assert len(scene.starts()) == 3
    assert "restart 2 of 2" in scene.output()
    assert scene.survivors() == []


def test_several_gpus_are_needed_for_multi_gpu(make_scene, launch_folder):
    scene = make_scene("exit 0", gpus=1)
    assert scene.run(launch_folder / "multi_gpu.sh", "--workdir=w") == 1
    assert "TensorFlow sees 1 GPUs here, two are needed" in scene.output()
    assert "launch/local.sh" in scene.output()
    assert scene.starts() == []


def test_tpu_vm_installs_once_and_trains(make_scene, launch_folder):
    scene = make_scene("exit 0")
    # A venv whose pip takes notes, in place of the one that `python -m venv` would make.
    scene.add_command("pip", '#!/usr/bin/env bash\necho "$@" >>"$STUB_FOLDER/pip"\n')
    scene.add_command(
        "python3", f'#!/usr/bin/env bash\nmkdir "$3" && ln -s "{scene.commands}" "$3/bin"\n'
    )
    variables = {"VENV": str(scene.folder / "venv"), "TENSORFLOW_VERSION": "2.20.0"}
    for _ in range(2):
        assert scene.run(launch_folder / "tpu_vm.sh", "--workdir=w", **variables) == 0
    installed = (scene.folder / "pip").read_text(encoding="utf-8").splitlines()
    assert len(installed) == 3
    assert f"tensorflow==2.20.0 {launch_folder.parent}" in installed[0]
    assert "tensorflow-tpu==2.20.0" in installed[1]
    for start in scene.starts():
        assert start.args == ["--strategy=tpu", "--config.drop_remainder=True", "--workdir=w"]


@pytest.mark.parametrize("name", [*STRATEGY, "supervise.sh"])
def test_usage_is_printed_without_arguments(make_scene, launch_folder, name):
    scene = make_scene("exit 0")
    assert scene.run(launch_folder / name) == 2
    assert scene.output().startswith(f"usage: launch/{name}")
    assert scene.starts() == []
