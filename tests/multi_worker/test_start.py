"""Workers that do not come together say so, all of them, and write nothing.

`tests/training/test_rendezvous.py` tries the same without processes.
"""

import json
import shutil

import numpy as np
import pytest

from tests.cli._in_process import TINY, Command
from tests.multi_worker._config import CONFIG, NUM_STEPS
from tests.multi_worker._workers import training
from tests.training._runs import train
from tf_sigma_vae.training import EXIT_CODE

SHORT_TIMEOUT = 2


def texts(ends):
    """What the workers printed, all of which ended with an error that a user can read."""
    for end in ends:
        assert end.code == 1 and "sigma-vae-train: error: " in end.output, end.output
        assert "Traceback" not in end.output
    return [end.output for end in ends]


@pytest.mark.slow
def test_a_worker_that_never_comes_up_is_named_by_who_waits_for_it(cluster, tmp_path):
    without_worker, without_chief = cluster(2), cluster(2)
    flags = training(tmp_path / "run", f"--cluster_timeout={SHORT_TIMEOUT}")
    without_worker.start(0, flags)
    without_chief.start(1, flags)
    chief, worker = texts([without_worker.end(0), without_chief.end(1)])
    missing = f"without worker 1 ({without_worker.addresses[1]})"
    assert f"gave up after {SHORT_TIMEOUT} s {missing}" in chief
    assert f"worker 1 gave up after {SHORT_TIMEOUT} s: the chief at" in worker
    assert f"{without_chief.addresses[0]} does not answer" in worker
    assert "is worker 0 started" in worker
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_workers_with_different_configs_are_told_the_difference(cluster, tmp_path):
    two = cluster(2)
    two.start(0, training(tmp_path / "run", "--config.learning_rate=0.25"))
    two.start(1, training(tmp_path / "run", "--config.learning_rate=0.5"))
    for text in texts([two.end(0), two.end(1)]):
        assert (
            "the workers were not started alike: config.learning_rate is 0.25 in worker 0 (the "
            "chief) and 0.5 in worker 1" in text
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_workers_with_different_data_are_told_which(cluster, tmp_path):
    two = cluster(2)
    rng = np.random.default_rng(0)
    shapes = {"x_train": (40, 4, 4), "x_test": (9, 4, 4)}
    images = {split: rng.integers(0, 256, shape, np.uint8) for split, shape in shapes.items()}
    for index in (0, 1):
        images["x_train"][:, 2, 1] = index
        path = tmp_path / f"{index}.npz"
        np.savez(path, **images)
        two.start(index, training(tmp_path / "run", "--dataset=npz", f"--data_dir={path}"))
    for text in texts([two.end(0), two.end(1)]):
        assert "the workers differ in their train images (checksums): " in text
        assert "Give all the same data, and the same --data_dir" in text


SHARED = "--workdir must be one folder that all workers share"


@pytest.mark.slow
def test_workers_that_do_not_share_the_workdir_are_told_so(cluster, tmp_path):
    two = cluster(2)
    for index in (0, 1):
        two.start(index, training(tmp_path / str(index)))
    for text in texts([two.end(0), two.end(1)]):
        assert "differ in whether their workdir holds config.json: 1 in worker 0, 0 in" in text
        assert SHARED in text
    assert not (tmp_path / "1").exists()


@pytest.mark.slow
def test_workers_that_find_different_checkpoints_are_told_which(cluster, tmp_path):
    train(CONFIG, tmp_path / "0", strategy_name="one_device")
    (tmp_path / "1").mkdir()
    shutil.copy(tmp_path / "0" / "config.json", tmp_path / "1")
    two = cluster(2)
    for index in (0, 1):
        two.start(index, training(tmp_path / str(index)))
    for text in texts([two.end(0), two.end(1)]):
        assert f"differ in the step that they resume from: {NUM_STEPS} in worker 0, 0 in" in text
        assert SHARED in text
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["config.json"]


@pytest.mark.slow
def test_an_error_of_the_chief_ends_the_others_too(cluster, tmp_path):
    train(CONFIG, tmp_path, strategy_name="one_device")
    chief, worker = cluster(2).run(training(tmp_path, "--config.learning_rate=0.5"))
    (text,) = texts([chief])
    assert "holds a run with another configuration" in text
    assert worker.code == EXIT_CODE, worker.output
    assert "another worker was lost" in worker.output


@pytest.mark.filterwarnings(r"ignore:the load_module\(\) method:DeprecationWarning")
def test_a_dry_run_of_a_worker_does_not_wait_for_the_others(monkeypatch, capsys):
    addresses = ["127.0.0.1:1", "127.0.0.1:2"]
    task = {"type": "worker", "index": 1}
    variable = json.dumps({"cluster": {"worker": addresses}, "task": task})
    monkeypatch.setenv("TF_CONFIG", variable)
    command = Command(monkeypatch, capsys)
    assert command("--dry_run", "--strategy=multi_worker", *TINY) == 0
    assert "strategy: multi_worker (as asked for); worker 1 of:" in command.output
    assert all(address in command.output for address in addresses)
    assert "first batch: float32 (8, 4, 4, 1)" in command.output
