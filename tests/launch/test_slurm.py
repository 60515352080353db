"""launch/slurm.sbatch with stand-ins for Slurm's commands."""

import os
import subprocess

import pytest

RUN = '#!/usr/bin/env bash\nprintf "%s\\n" "$@" >"$STUB_FOLDER/srun"\nexit "$SRUN_CODE"\n'
REQUEUE = '#!/usr/bin/env bash\necho "$@" >"$STUB_FOLDER/scontrol"\n'


@pytest.fixture
def submit(stage, launch_folder):
    """Runs the batch script with an exit code of srun; returns its own and what it asked for."""

    def run(code: int, *args: str, **variables: str):
        scene = stage("exit 0")
        scene.add_command("srun", RUN)
        scene.add_command("scontrol", REQUEUE)
        variables = {"SLURM_JOB_ID": "17", "SRUN_CODE": str(code), **variables}
        exit_code = scene.run(launch_folder / "slurm.sbatch", *args, **variables)
        asked = scene.folder / "scontrol"
        requests = asked.read_text(encoding="utf-8").strip() if asked.exists() else None
        called = scene.folder / "srun"
        command = called.read_text(encoding="utf-8").splitlines() if called.exists() else None
        return exit_code, requests, command, scene.output()

    return run


@pytest.mark.parametrize("code", [42, 137])
def test_a_run_that_is_not_finished_is_queued_again(submit, code):
    exit_code, requests, _, output = submit(code, "--workdir=w")
    assert (exit_code, requests) == (code, "requeue 17")
    assert f"exit code {code}" in output


@pytest.mark.parametrize("code", [0, 1])
def test_an_end_or_an_error_is_not_queued_again(submit, code):
    assert submit(code, "--workdir=w")[:2] == (code, None)


def test_requeues_are_bounded(submit):
    assert submit(42, "--workdir=w", SLURM_RESTART_COUNT="20")[1] is None


def test_the_last_requeue_is_allowed(submit):
    variables = {"SLURM_RESTART_COUNT": "4", "MAX_RESTARTS": "5"}
    assert submit(42, "--workdir=w", **variables)[1] == "requeue 17"


def test_every_task_is_a_worker_with_the_flags(submit):
    _, _, command, _ = submit(0, "--workdir=w", "a b", SLURM_CPUS_PER_TASK="6")
    assert command[-4:] == ["worker", "--strategy=multi_worker", "--workdir=w", "a b"]
    assert "sigma-vae-train" in command[-5]
    # The chief may still write its checkpoint when another worker has left with 42.
    assert "--kill-on-bad-exit=0" in command
    assert "--cpus-per-task=6" in command


@pytest.mark.parametrize(("code", "told"), [(0, 0), (1, 100), (127, 100), (42, 42), (137, 137)])
def test_an_error_of_one_worker_outweighs_the_others_42(submit, tmp_path, code, told):
    # srun tells the highest code of its tasks, and the others of a worker in error leave with 42.
    _, _, command, _ = submit(0, "--workdir=w")
    stub = tmp_path / "sigma-vae-train"
    stub.write_text(f'#!/usr/bin/env bash\necho "$@"\nexit {code}\n', encoding="utf-8")
    stub.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    task = command[command.index("bash") :]
    run = subprocess.run(task, env={"PATH": path}, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.split()) == (
        told,
        ["--strategy=multi_worker", "--workdir=w"],
    )


@pytest.mark.parametrize(
    ("job_id", "args"), [("17", ()), ("", ("--workdir=w",))], ids=["no flags", "no Slurm"]
)
def test_usage_is_printed_without_flags_or_outside_of_slurm(submit, job_id, args):
    exit_code, _, command, output = submit(0, *args, SLURM_JOB_ID=job_id)
    assert (exit_code, command) == (2, None)
    assert output.startswith("usage: sbatch launch/slurm.sbatch")


def test_workers_are_signalled_and_not_the_shell(launch_folder):
    text = (launch_folder / "slurm.sbatch").read_text(encoding="utf-8")
    options = [line.split()[1] for line in text.splitlines() if line.startswith("#SBATCH")]
    assert "--requeue" in options
    (warning,) = [option for option in options if option.startswith("--signal")]
    assert warning.startswith("--signal=TERM@")
    # sbatch stops looking for options at the first command.
    assert text.rindex("#SBATCH") < text.index("\nset -euo pipefail")
