"""Several workers train to the values of one device, whatever happens to them on the way.

Bit for bit the same after a kill or a stop: weights, their averages, optimizer, stored scale, best
epoch, validation. The running metrics of an interrupted epoch are to rounding: each worker goes on
from an equal part of their sum, and not from its own.

One short training of two workers is tried by default; each of the others starts four processes or
more and is slow.
"""

import dataclasses
import pathlib
import signal

import numpy as np
import pytest

from tests.multi_worker._config import CHECKPOINT_EVERY_STEPS, CONFIG, NUM_STEPS, STEPS_PER_EPOCH
from tests.multi_worker._train import MASKED
from tests.multi_worker._workers import training
from tests.training._runs import checkpoint_arrays, differences, metric_lines, train
from tf_sigma_vae import models
from tf_sigma_vae.training import EXIT_CODE
from tf_sigma_vae.training.checkpoints import listed_step

STEEPEST = {"optimizer": "sgd", "learning_rate": 0.03}
"""What is compared with one device: Adam divides by the size of a gradient, so that the rounding of
one that is nearly 0 may become a whole step."""
REORDERED = 1e-5
"""Of the largest value of an array: sums of float32 in another order change a gradient, whose norm
is at most 2, by 2e-6 of it, and 26 steps of 0.03 add up."""
REORDERED_LINES = 2e-4
"""Relative: a line of one example is the difference of two sums of 97 in float32."""
ROUNDED_AFTER_A_RESTART = {
    "metrics.jsonl",
    "metrics/.ATTRIBUTES/VARIABLE_VALUE",
    "counters/3/.ATTRIBUTES/VARIABLE_VALUE",  # the running metrics where a line begins
}


@pytest.fixture(scope="module")
def whole(cluster, tmp_path_factory):
    """A run of two workers that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    ends = cluster(2).run(training(folder))
    assert [end.code for end in ends] == [0, 0], ends
    return folder


def flags_of(changes):
    """The flags that change `CONFIG`, dictionaries by their items."""
    items = [
        (f"{name}.{key}", item)
        for name, value in changes.items()
        for key, item in (value.items() if isinstance(value, dict) else [(None, value)])
    ]
    return [f"--config.{name.removesuffix('.None')}={value}" for name, value in items]


def files(workdir):
    return {str(path.relative_to(workdir)) for path in pathlib.Path(workdir).rglob("*")}


def final_variables(workdir):
    """Values by position: the name of a model counts the models of the process that made it."""
    model = models.load(workdir / "model.keras")
    found = [*model.variables, *model.optimizer.variables]
    return {f"{i} {v.name}": v.numpy() for i, v in enumerate(found)}


def check_lines_are_close(workdir, other):
    lines, others = metric_lines(workdir), metric_lines(other)
    assert [(line["step"], line["split"]) for line in lines] == [
        (line["step"], line["split"]) for line in others
    ]
    for line, expected in zip(lines, others, strict=True):
        del line["split"], expected["split"]
        assert line == pytest.approx(expected, rel=REORDERED_LINES)


def check_values_are_close(workdir, one_device):
    for read in (checkpoint_arrays, final_variables):
        values, expected = read(workdir), read(one_device)
        assert values.keys() == expected.keys()
        for name, value in expected.items():
            largest = np.max(np.abs(value), initial=0)
            np.testing.assert_allclose(
                values[name], value, rtol=0, atol=REORDERED * largest, err_msg=name
            )
    check_lines_are_close(workdir, one_device)


def check_ended_like(workdir, whole):
    assert set(differences(workdir, whole)) <= ROUNDED_AFTER_A_RESTART
    assert metric_lines(workdir, "validation") == metric_lines(whole, "validation")
    check_lines_are_close(workdir, whole)
    assert files(workdir) == files(whole)


def check_finished(ends, step):
    assert [end.code for end in ends] == [0, 0], ends
    assert f"resuming from step {step} of {NUM_STEPS}" in ends[0].output


def test_two_workers_train_to_the_values_of_one_device_and_the_chief_alone_writes(
    cluster, tmp_path
):
    # Of 33 images in batches of 8 the last batch holds one: a worker has none of it.
    changes = {
        **STEEPEST,
        "likelihood": "gaussian_shared",
        "dataset_options": {"num_train": 33},
        "validation_fraction": 0.0,
        "select": "last",
        "num_epochs": 1,
        "ema_momentum": 0.0,
    }
    options = {**CONFIG.dataset_options, **changes["dataset_options"]}
    config = dataclasses.replace(CONFIG, **{**changes, "dataset_options": options})
    one, workers = tmp_path / "one", tmp_path / "workers"
    train(config, one, strategy_name="one_device")
    two = cluster(2)
    two.start(0, training(workers, *flags_of(changes)))
    two.start(1, training(workers, *flags_of(changes), harm="refuse_to_write"))
    ends = [two.end(0), two.end(1)]
    assert [end.code for end in ends] == [0, 0], two.outputs()
    assert "strategy: multi_worker (as asked for); 2 replicas in 2 workers" in ends[0].output
    check_values_are_close(workers, one)
    # Neither what the other worker would write nor a temporary file is there.
    assert files(workers) == files(one)
    modes = {name: (workers / name).stat().st_mode for name in files(workers)}
    assert all(mode & MASKED for mode in modes.values()), modes


@pytest.mark.slow
def test_three_workers_train_to_the_values_of_one_device(cluster, tmp_path):
    # The last batch of an epoch has 7 images; of 10 with 9 each, two workers get 2 and one 3.
    changes = {**STEEPEST, "global_batch_size": 9}
    train(dataclasses.replace(CONFIG, **changes), tmp_path / "one", strategy_name="one_device")
    ends = cluster(3).run(training(tmp_path / "three", *flags_of(changes)))
    assert [end.code for end in ends] == [0, 0, 0], ends
    check_values_are_close(tmp_path / "three", tmp_path / "one")
    variance = models.load(tmp_path / "three" / "model.keras").likelihood.variance
    assert 0 < float(variance) < 1


@pytest.mark.slow
def test_a_run_ends_alike_after_a_worker_was_killed_in_mid_epoch(whole, cluster, tmp_path):
    step = STEPS_PER_EPOCH + 5
    two = cluster(2)
    two.start(0, training(tmp_path))
    two.start(1, training(tmp_path, harm="SIGKILL", step=step))
    assert two.end(1).code == -signal.SIGKILL
    # At once, while the chief has yet to notice: it waits for the chief to be started again.
    two.start(1, training(tmp_path))
    chief = two.end(0)
    assert chief.code == EXIT_CODE, two.outputs()
    assert "another worker was lost" in chief.output
    assert "Start all workers again by the same command" in chief.output
    resumed = step // CHECKPOINT_EVERY_STEPS * CHECKPOINT_EVERY_STEPS
    assert listed_step(str(tmp_path / "checkpoints")) == resumed
    two.start(0, training(tmp_path))
    check_finished([two.end(0), two.end(1)], resumed)
    check_ended_like(tmp_path, whole)


@pytest.mark.slow
def test_a_run_ends_alike_after_the_chief_was_killed_while_writing(whole, cluster, tmp_path):
    step = STEPS_PER_EPOCH + 7
    assert step % CHECKPOINT_EVERY_STEPS == 0
    checkpoint = tmp_path / "checkpoints" / f"step-{step}"
    two = cluster(2)
    two.start(0, training(tmp_path, harm="block_index", step=step))
    two.start(1, training(tmp_path))
    two.wait_until(checkpoint.with_suffix(".data-00000-of-00001").exists)
    assert two.kill(0).code == -signal.SIGKILL
    checkpoint.with_suffix(".index").unlink()
    # At once, while the other has yet to notice.
    two.start(0, training(tmp_path))
    worker = two.end(1)
    assert worker.code == EXIT_CODE, two.outputs()
    assert "Start all workers again by the same command" in worker.output
    resumed = step - CHECKPOINT_EVERY_STEPS
    assert listed_step(str(tmp_path / "checkpoints")) == resumed
    two.start(1, training(tmp_path))
    check_finished([two.end(0), two.end(1)], resumed)
    check_ended_like(tmp_path, whole)


@pytest.mark.slow
def test_a_run_goes_on_after_the_chief_was_killed_before_listing_the_first_checkpoint(
    whole, cluster, tmp_path
):
    two = cluster(2)
    two.start(0, training(tmp_path, harm="SIGKILL", step=CHECKPOINT_EVERY_STEPS + 1))
    two.start(1, training(tmp_path))
    assert two.end(0).code == -signal.SIGKILL
    assert two.end(1).code == EXIT_CODE
    # As if it had been killed a moment before: the checkpoint is complete by then.
    (tmp_path / "checkpoints" / "checkpoint").unlink()
    two.start(0, training(tmp_path, harm="list_late"))
    two.start(1, training(tmp_path))
    check_finished([two.end(0), two.end(1)], CHECKPOINT_EVERY_STEPS)
    check_ended_like(tmp_path, whole)


@pytest.mark.slow
def test_all_workers_leave_at_one_step_when_one_is_asked_to_stop(whole, cluster, tmp_path):
    asked = STEPS_PER_EPOCH + 1
    two = cluster(2)
    two.start(0, training(tmp_path))
    two.start(1, training(tmp_path, harm="SIGTERM", step=asked))
    ends = [two.end(0), two.end(1)]
    assert [end.code for end in ends] == [EXIT_CODE] * 2, ends
    left = listed_step(str(tmp_path / "checkpoints"))
    assert asked <= left < NUM_STEPS
    for end, by in zip(ends, ["a signal to another worker", "SIGTERM"], strict=True):
        assert f"stopped by {by} at step {left}; the checkpoint is written" in end.output
    check_finished(two.run(training(tmp_path)), left)
    check_ended_like(tmp_path, whole)
