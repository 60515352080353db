"""Signals: a process asked to stop ends with its code and a checkpoint; see `test_resume` too."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest
import tensorflow as tf

from tests.cli._in_process import TINY
from tests.training._runs import Restarts, differences, train
from tf_sigma_vae.training import EXIT_CODE, Preempted
from tf_sigma_vae.training.preemption import StopRequest
from tf_sigma_vae.workdir import Workdir

SIGNALS = [signal.SIGTERM, signal.SIGINT]


def latest(workdir):
    return pathlib.Path(tf.train.latest_checkpoint(str(workdir / "checkpoints"))).name


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_the_second_acts(number):
    received = []
    previous = signal.signal(number, lambda *_: received.append(number))
    try:
        with StopRequest() as request:
            assert request.signal_name is None
            request.in_steps = True
            os.kill(os.getpid(), number)
            assert request.signal_name == number.name
            assert received == []
            os.kill(os.getpid(), number)
            assert received == [number]
        os.kill(os.getpid(), number)
        assert received == [number, number]
    finally:
        signal.signal(number, previous)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_outside_of_the_steps_ends_the_run_at_once_with_the_same_code(number):
    with StopRequest() as stop_request, pytest.raises(Preempted) as ended:
        signal.raise_signal(number)
    assert stop_request.signal_name == number.name
    assert ended.value.code == EXIT_CODE
    assert "outside of the training steps" in ended.value.message


INTERRUPTED = """
import os, signal, sys
from tf_sigma_vae.cli import train
from tf_sigma_vae.training.metrics_log import MetricsLog
original = MetricsLog.on_train_batch_end
def send(self, batch, logs=None):
    original(self, batch, logs)
    if self.step == {step}:
        os.kill(os.getpid(), signal.{name})
MetricsLog.on_train_batch_end = send
train.run()
"""


@pytest.mark.slow
def test_a_process_that_is_stopped_and_then_killed_ends_like_one_that_was_not(
    tmp_path, monkeypatch, capsys
):
    arguments = [*TINY, "--config.dataset_options.num_train=60", "--variant=gaussian_optimal"]
    arguments += ["--config.num_epochs=2", "--config.ema_momentum=0.9", "--config.flip=True"]
    arguments += ["--config.checkpoint_every_steps=3", "--config.log_every_steps=2"]
    arguments += ["--config.learning_rate_schedule=constant", f"--workdir={tmp_path / 'killed'}"]

    def run(*start):
        return subprocess.run(
            [sys.executable, *start, *arguments], capture_output=True, text=True, check=False
        )

    stopped = run("-c", INTERRUPTED.format(name="SIGTERM", step=5))
    assert stopped.returncode == EXIT_CODE, stopped.stderr
    assert "stopped by SIGTERM at step 5" in stopped.stdout
    assert latest(tmp_path / "killed") == "step-5"
    killed = run("-c", INTERRUPTED.format(name="SIGKILL", step=11))
    assert killed.returncode == -signal.SIGKILL
    assert "resuming from step 5 of 14" in killed.stdout
    assert latest(tmp_path / "killed") == "step-9"
    # This process is the third one of the run, and the first of a run that nothing interrupts.
    config, _ = Workdir(tmp_path / "killed").read_config()
    Restarts().install(monkeypatch)
    train(config, tmp_path / "whole")
    train(config, tmp_path / "killed")
    assert "resuming from step 9 of 14" in capsys.readouterr().out
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
