"""A run that is killed or asked to stop, and started again, ends like one that was not."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tf_sigma_vae as sv
from tests.training._runs import (
    STEPS_PER_EPOCH,
    Killed,
    Restarts,
    checkpoint_arrays,
    differences,
    killed,
    metric_lines,
    tiny_config,
    train,
)
from tf_sigma_vae import build
from tf_sigma_vae.models import VAE
from tf_sigma_vae.training import EXIT_CODE, Preempted
from tf_sigma_vae.training.callbacks import BestEpoch, WriteCheckpoints
from tf_sigma_vae.training.metrics_log import MetricsLog

MOMENTUM = 0.9
CONFIG = tiny_config(
    likelihood="gaussian_optimal",
    ema_momentum=MOMENTUM,
    clip_norm=1.0,
    dequantize=True,
    rate_warmup_steps=10,
    warmup_steps=3,
)
TORN = '{"step": 6, "split": "tra'
# (class, method, when, step): in the order in which a run reaches them. Checkpoints are written
# at steps 3, 6, 7 (epoch), 9, 12, 14 (epoch), lines at the even ones.
MOMENTS = [
    (MetricsLog, "on_train_batch_end", "before", 2),  # nothing is written yet
    (WriteCheckpoints, "on_train_batch_end", "after", 3),  # a checkpoint is, between two lines
    (WriteCheckpoints, "on_train_batch_end", "before", 4),  # a line is, past the checkpoint
    (WriteCheckpoints, "on_train_batch_end", "after", 7),  # the epoch is over, not validated
    (MetricsLog, "on_epoch_end", "before", 7),  # validated, the line not written
    (WriteCheckpoints, "on_epoch_end", "before", 7),  # written, no checkpoint
    (WriteCheckpoints, "on_epoch_end", "after", 7),  # between two epochs
    (WriteCheckpoints, "on_train_batch_end", "after", 12),
    (WriteCheckpoints, "on_train_batch_end", "after", 14),  # the last step
    (WriteCheckpoints, "on_epoch_end", "after", 14),
    (VAE, "calibrate", "before", None),
    (VAE, "calibrate", "after", None),
    (VAE, "save", "after", None),  # model.keras not in place
]
QUICK_MOMENTS = [MOMENTS[number] for number in (2, 3, 5, 11, 12)]
# The calls of the compiled function end at steps 4, 7, 11 and 14.
MOMENTS_OF_FOUR_STEPS = [
    (WriteCheckpoints, "on_train_batch_end", "after", 4),
    (MetricsLog, "on_train_batch_end", "before", 7),
    (WriteCheckpoints, "on_epoch_end", "before", 7),
    (WriteCheckpoints, "on_train_batch_end", "after", 11),
]
FEW_MOMENTS = [
    (WriteCheckpoints, "on_train_batch_end", "before", 1),
    (WriteCheckpoints, "on_train_batch_end", "before", 5),
    (WriteCheckpoints, "on_epoch_end", "before", 14),
]
OTHER_VARIANTS = {
    "shared_from_data_in_bfloat16": (
        {
            "likelihood": "gaussian_shared",
            "likelihood_options": {"initial_scale": "data"},
            "precision": "mixed_bfloat16",
            "optimizer": "sgd",
            "learning_rate": 1e-4,
            "flip": True,
        },
        FEW_MOMENTS,
    ),
    "per_image_four_steps_a_call": (
        {"likelihood": "gaussian_optimal_per_image", "steps_per_execution": 4},
        MOMENTS_OF_FOUR_STEPS,
    ),
}


@pytest.fixture(scope="module")
def model():
    return Restarts()


@pytest.fixture
def restarts(model, monkeypatch):
    return model.install(monkeypatch)


@pytest.fixture(scope="module")
def recorded(model, tmp_path_factory):
    """The folder of an uninterrupted run, and its weights after each step."""
    folder, after_steps = tmp_path_factory.mktemp("whole"), []
    original = WriteCheckpoints.on_train_batch_end

    def record(self, batch, logs=None):
        after_steps.append([v.numpy() for v in self.model.trainable_variables])
        original(self, batch, logs)

    with pytest.MonkeyPatch.context() as patch:
        model.install(patch)
        patch.setattr(WriteCheckpoints, "on_train_batch_end", record)
        trained = train(CONFIG, folder)
    assert model.has_changed_every_network_weight()
    loaded = sv.load(folder)
    for variable, saved in zip(trained.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(variable.numpy(), saved.numpy())
    wanted = {"source": "calibrate", "num_examples": 54, "step": 2 * STEPS_PER_EPOCH}
    assert loaded.likelihood.provenance() == wanted
    return folder, after_steps


@pytest.fixture(scope="module")
def whole(recorded):
    return recorded[0]


def latest(workdir):
    return pathlib.Path(tf.train.latest_checkpoint(str(workdir / "checkpoints"))).name


def kill_at(moments, config, folder, monkeypatch):
    """Starts a run once for each moment, and kills it there."""
    for moment in moments:
        with killed(monkeypatch, *moment), pytest.raises(Killed):
            train(config, folder)
        assert not (folder / "model.keras").exists()


def test_a_run_killed_at_any_moment_ends_like_one_that_was_not(
    whole, restarts, tmp_path, monkeypatch
):
    first, *others = QUICK_MOMENTS
    kill_at([first], CONFIG, tmp_path, monkeypatch)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(TORN)
    kill_at(others, CONFIG, tmp_path, monkeypatch)
    trained = train(CONFIG, tmp_path)
    assert differences(whole, tmp_path) == []
    assert int(trained.optimizer.iterations) == 2 * STEPS_PER_EPOCH


# Within an epoch, where no checkpoint is due; at the end of an epoch.
@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 5), (signal.SIGINT, 7)])
def test_a_run_asked_to_stop_resumes_bit_for_bit(
    number, step, whole, tmp_path, restarts, monkeypatch
):
    original = MetricsLog.on_train_batch_end

    def send(self, batch, logs=None):
        original(self, batch, logs)
        if self.step == step:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch, pytest.raises(Preempted) as caught:
        patch.setattr(MetricsLog, "on_train_batch_end", send)
        train(CONFIG, tmp_path)
    assert caught.value.code == EXIT_CODE == 42
    name = signal.Signals(number).name
    assert f"stopped by {name} at step {step}; the checkpoint is written" in caught.value.message
    assert latest(tmp_path) == f"step-{step}"
    assert [line["step"] for line in metric_lines(tmp_path)][-1] == (7 if step == 7 else 4)
    assert not (tmp_path / "model.keras").exists()
    before = signal.getsignal(number)
    train(CONFIG, tmp_path)
    assert signal.getsignal(number) == before
    assert differences(whole, tmp_path) == []


KILLED_AT_5 = """
import json, os, signal, sys
from tf_sigma_vae import training
from tf_sigma_vae.config import Config
from tf_sigma_vae.training.metrics_log import MetricsLog
original = MetricsLog.on_train_batch_end
def send(self, batch, logs=None):
    original(self, batch, logs)
    if self.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
MetricsLog.on_train_batch_end = send
training.train(Config.from_dict(json.loads(sys.argv[1])), sys.argv[2], verbose=0)
"""


@pytest.mark.slow
def test_another_process_goes_on_after_sigkill_bit_for_bit(whole, tmp_path, restarts, capsys):
    arguments = [json.dumps(CONFIG.to_dict()), str(tmp_path)]
    process = [sys.executable, "-c", KILLED_AT_5, *arguments]
    done = subprocess.run(process, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert latest(tmp_path) == "step-3"
    train(CONFIG, tmp_path)
    assert "resuming from step 3 of 14" in capsys.readouterr().out
    assert differences(whole, tmp_path) == []


def test_the_final_and_the_validated_weights_are_the_moving_average(recorded):
    folder, after_steps = recorded
    assert len(after_steps) == 2 * STEPS_PER_EPOCH
    averages = [w.astype(np.float64) for w in after_steps[0]]
    for weights in after_steps[1:]:
        averages = [
            MOMENTUM * a + (1 - MOMENTUM) * w for a, w in zip(averages, weights, strict=True)
        ]
    saved = sv.load(folder)
    for variable, average in zip(saved.trainable_variables, averages, strict=True):
        # 14 roundings of float32, relative to a weight or to what it was.
        np.testing.assert_allclose(variable.numpy(), average, rtol=1e-5, atol=1e-6)
    x = build.load_splits(CONFIG).validation / np.float32(255)
    # The rate knows nothing of the scale, which is another one since. A rate is a difference of
    # numbers of about 1, which are known to float32.
    validated = pytest.approx(metric_lines(folder, "validation")[-1]["rate"], rel=1e-5, abs=1e-6)
    assert np.mean(saved(x).rate) == validated
    for variable, value in zip(saved.trainable_variables, after_steps[-1], strict=True):
        variable.assign(value)
    assert np.mean(saved(x).rate) != validated


@pytest.mark.slow
def test_a_killed_run_stops_early_at_the_same_epoch_with_the_same_best_weights(
    restarts, tmp_path, monkeypatch
):
    config = tiny_config(
        **{
            **CONFIG.to_dict(),
            "num_epochs": 5,
            "early_stopping_patience": 2,
            "select": "best",
            "checkpoint_every_steps": 100,
        }
    )
    # When a training gets no better is chance; which epoch is the best is given here.
    elbos = [1.0, 3.0, 2.0, 2.5]
    original = BestEpoch.on_epoch_end
    monkeypatch.setattr(
        BestEpoch,
        "on_epoch_end",
        lambda self, epoch, logs: original(self, epoch, {**logs, "val_elbo": elbos[epoch]}),
    )
    train(config, tmp_path / "whole")
    assert len(metric_lines(tmp_path / "whole", "validation")) == len(elbos)
    best, last = 2 * STEPS_PER_EPOCH, 4 * STEPS_PER_EPOCH
    for moment in [
        (WriteCheckpoints, "on_epoch_end", "before", best),  # the best is written, the state not
        (WriteCheckpoints, "on_epoch_end", "after", last),  # told to stop
    ]:
        with killed(monkeypatch, *moment), pytest.raises(Killed):
            train(config, tmp_path / "killed")
    trained = train(config, tmp_path / "killed")
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
    assert int(trained.optimizer.iterations) == best
    assert checkpoint_arrays(tmp_path / "killed")["optimizer/0/.ATTRIBUTES/VARIABLE_VALUE"] == last


@pytest.mark.slow
def test_a_run_killed_at_every_moment_ends_like_one_that_was_not(
    whole, restarts, tmp_path, monkeypatch
):
    kill_at(MOMENTS, CONFIG, tmp_path, monkeypatch)
    train(CONFIG, tmp_path)
    assert differences(whole, tmp_path) == []
    # Once more, as after a kill in the very last moment.
    train(CONFIG, tmp_path)
    assert differences(whole, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("variant", OTHER_VARIANTS)
def test_other_variants_killed_at_some_moments_end_like_those_that_were_not(
    variant, tmp_path, monkeypatch
):
    changes, moments = OTHER_VARIANTS[variant]
    config = tiny_config(**changes)
    Restarts().install(monkeypatch)
    train(config, tmp_path / "whole")
    kill_at(moments, config, tmp_path / "killed", monkeypatch)
    train(config, tmp_path / "killed")
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
