"""The scripts of the paper's tables and figures; sigma-vae-sweep is a stub, but for one."""

import os
import subprocess
import sys

import pytest

DISTANCES = ["--measures=distances", "--extractor=inception_2015"]
FLAGS = {
    "table1": ["--config=svhn_vae", "--sweep=beta", *DISTANCES],
    "table2_svhn": ["--config=svhn_vae", "--sweep=decoders", *DISTANCES],
    "table2_cifar": ["--config=cifar10_hvae", "--sweep=decoders_cifar", *DISTANCES],
    "table2_celeba": ["--config=celeba_hvae", "--sweep=decoders_celeba", *DISTANCES],
    "table3": ["--config=mnist_vae", "--sweep=table3", *DISTANCES],
    "figure4": ["--config=mnist_vae", "--sweep=figure4", "--measures=information"],
    "figure9": ["--config=svhn_vae", "--sweep=figure9"],
}
SECONDS = 280
"""Of a real sweep of a few steps; below the limit of a test."""

STUB = """#!/usr/bin/env bash
printf '%s\\n' "$@" >"$STUB_FOLDER/args"
trap 'exit 42' TERM
echo "the table"
[ -z "${REST:-}" ] || { echo resting; sleep "$REST" & wait; }
exit "${CODE:-0}"
"""


@pytest.fixture
def scene(stage):
    """A stage on which sigma-vae-sweep notes its arguments and prints a table."""
    made = stage("exit 1")
    made.add_command("sigma-vae-sweep", STUB)
    return made


def given_to(scene):
    return (scene.folder / "args").read_text(encoding="utf-8").splitlines()


def script(launch_folder, name):
    return launch_folder / f"{name}.sh"


@pytest.mark.parametrize("name", FLAGS)
def test_a_script_is_one_sweep(scene, launch_folder, name):
    given = ["--data_dir=d", "--betas=", "--config.num_epochs=3", "a b"]
    assert scene.run(script(launch_folder, name), *given) == 0
    usual = ["--budget=paper", f"--workdir=runs/{name}-paper"]
    assert given_to(scene) == [*usual, *FLAGS[name], *given]
    assert "the table" in scene.output()
    assert f"{name}, budget paper, in runs/{name}-paper" in scene.output()


def test_a_budget_has_a_folder_of_its_own(scene, launch_folder):
    assert scene.run(script(launch_folder, "table1"), "--budget=short", "--budget=smoke") == 0
    assert given_to(scene)[:2] == ["--budget=smoke", "--workdir=runs/table1-smoke"]


def test_what_is_given_goes_before_what_the_script_says(scene, launch_folder):
    given = ["--workdir=w", "--config=configs/pixels_vae.py", "--extractor=net.keras"]
    assert scene.run(script(launch_folder, "table1"), *given) == 0
    found = given_to(scene)
    # Of a flag that is given twice the last counts.
    assert [flag for flag in found if flag.startswith("--config")][-1] == given[1]
    assert [flag for flag in found if flag.startswith("--workdir")] == ["--workdir=w"]
    assert found[-1] == "--extractor=net.keras"


def test_the_exit_code_is_that_of_the_sweep(scene, launch_folder):
    assert scene.run(script(launch_folder, "figure9"), CODE="42") == 42


def test_a_stop_reaches_the_sweep(scene, launch_folder):
    scene.launch(script(launch_folder, "figure4"), REST="60")
    scene.wait_until(lambda: "resting" in scene.output())
    scene.process.terminate()
    assert scene.exit_code() == 42


def test_a_study_needs_a_name(scene, launch_folder):
    assert scene.run(launch_folder / "study.sh") == 2
    assert "usage: launch/study.sh NAME" in scene.output()


@pytest.mark.slow
def test_a_real_sweep_ends_with_its_table_and_picture(launch_folder, tmp_path):
    command = [script(launch_folder, "figure9"), "--dataset=digits", "--budget=smoke"]
    command += ["--variants=gaussian_shared,gaussian_optimal", "--seeds=0"]
    commands = os.path.dirname(sys.executable)
    environment = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}"}

    def run():
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS
        )

    first, again = run(), run()
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    for output in (first.stdout, again.stdout):
        assert "## Convergence of the scale" in output
        assert "| gaussian_optimal | 1 |" in output
        assert output.endswith("wrote runs/figure9-smoke/convergence.png\n")
    assert again.stdout.count("done already") == 2
    assert (tmp_path / "runs" / "figure9-smoke" / "convergence.png").stat().st_size > 10_000
