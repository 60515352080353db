"""launch/multi_worker_local.sh with the real command: to the end, over the loss of a worker."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.multi_worker._workers import ROOT, SECONDS
from tests.training._runs import metric_lines
from tf_sigma_vae.training.checkpoints import listed_step

FLAGS = (
    "--dataset=digits",
    "--config.network=dense",
    "--config.network_options={'hidden_sizes': [8]}",
    "--config.latent_size=2",
    "--config.global_batch_size=64",
    "--config.num_epochs=4",
    "--config.checkpoint_every_steps=10",
    "--config.tensorboard=False",
    f"--cluster_timeout={SECONDS}",
)

# The command of the environment that runs the tests, whatever folder that is in.
ENVIRONMENT = {
    "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}

pytestmark = pytest.mark.slow


class Launched:
    """The script in a session of its own, and its processes."""

    def __init__(self, workdir):
        self._output = open(workdir.with_suffix(".log"), "w+b")  # noqa: SIM115
        self.process = subprocess.Popen(
            [ROOT / "launch" / "multi_worker_local.sh", "2", f"--workdir={workdir}", *FLAGS],
            env=os.environ | ENVIRONMENT,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def output(self):
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def pids(self, name=""):
        """Processes of the session whose command has a name in it, oldest first."""
        listed = subprocess.run(
            ["ps", "-eww", "-o", "sess=,pid=,stat=,args="],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        rows = [line.split(maxsplit=3) for line in listed.splitlines()]
        session = str(self.process.pid)
        own = [row for row in rows if row[0] == session and not row[2].startswith("Z")]
        return sorted(int(row[1]) for row in own if name in row[3])

    def close(self):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=SECONDS)
        self._output.close()


@pytest.fixture
def launched(tmp_path):
    script = Launched(tmp_path / "run")
    yield script
    script.close()


def check_done(launched, workdir):
    assert launched.process.wait(timeout=2 * SECONDS) == 0, launched.output
    assert launched.pids() == []
    assert "2 replicas in 2 workers" in launched.output
    assert (workdir / "model.keras").exists()
    steps = [line["step"] for line in metric_lines(workdir, "train")]
    assert steps == sorted(set(steps))


def test_all_are_started_again_when_one_is_killed(launched, tmp_path):
    checkpoints = str(tmp_path / "run" / "checkpoints")
    deadline = time.monotonic() + SECONDS
    while listed_step(checkpoints) is None:
        assert time.monotonic() < deadline, launched.output
        time.sleep(0.05)
    os.kill(launched.pids("--strategy=multi_worker")[-1], signal.SIGKILL)
    check_done(launched, tmp_path / "run")
    assert "restart 1 of 3" in launched.output
    assert "resuming from step" in launched.output
