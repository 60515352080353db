import dataclasses
import os
import pathlib

import keras
import numpy as np
import pytest

import tf_sigma_vae as sv
from tests._representatives import REPRESENTATIVES
from tests.training._runs import (
    STEPS_PER_EPOCH,
    Killed,
    Restarts,
    checkpoint_arrays,
    killed,
    metric_lines,
    tiny_config,
    train,
)
from tf_sigma_vae import build
from tf_sigma_vae.config import Config
from tf_sigma_vae.training import CheckpointError, loop
from tf_sigma_vae.training.callbacks import WriteCheckpoints
from tf_sigma_vae.workdir import Workdir, WorkdirError

FLOAT32 = 1e-5
"""Relative; sums of float32 in another order."""
X = np.random.default_rng(0).uniform(size=(3, 4, 4, 1)).astype(np.float32)


def weights_of(model):
    return [v.numpy() for v in model.weights]


# `test_resume` trains one of them at once; `tests/conformance` walks all without the loop.
@pytest.mark.slow
@pytest.mark.parametrize("variant", [*REPRESENTATIVES, "gaussian_inverse_gamma"])
def test_every_variant_trains_with_and_without_validation(variant, tmp_path, monkeypatch):
    restarts = Restarts().install(monkeypatch)
    for fraction in (0.1, 0.0):
        folder = tmp_path / str(fraction)
        config = tiny_config(
            likelihood=variant,
            validation_fraction=fraction,
            dataset_options={"num_train": 20, "num_test": 4, "image_size": 4},
            learning_rate=0.02,
        )
        model = train(config, folder)
        splits = [line["split"] for line in metric_lines(folder)]
        assert ("validation" in splits) == (fraction > 0)
        num_images = len(build.load_splits(config).train)
        assert num_images == (18 if fraction else 20)
        assert int(model.optimizer.iterations) == 6
        assert restarts.has_changed_every_network_weight()
        if model.likelihood.needs_calibration:
            provenance = {"source": "calibrate", "num_examples": num_images, "step": 6}
            assert sv.load(folder).likelihood.provenance() == provenance
        for one, other in zip(weights_of(model), weights_of(sv.load(folder)), strict=True):
            np.testing.assert_array_equal(one, other)
        for line in metric_lines(folder):
            assert np.isfinite(list(v for k, v in line.items() if k != "split")).all()


@pytest.fixture(scope="module")
def model():
    return Restarts()


@dataclasses.dataclass
class Short:
    """A finished run, and what is to be known of its model."""

    config: Config
    folder: pathlib.Path
    weights: list
    distortion: np.ndarray
    objective: tuple


@pytest.fixture(scope="module")
def short_run(model, tmp_path_factory):
    """A finished run without validation."""
    folder = tmp_path_factory.mktemp("short")
    config = tiny_config(
        likelihood="gaussian_fixed",
        validation_fraction=0.0,
        num_train_steps=4,
        beta=0.5,
        free_bits=0.25,
        rate_warmup_steps=8,
        log_every_steps=1,
    )
    with pytest.MonkeyPatch.context() as patch:
        model.install(patch)
        vae = train(config, folder)
    objective = (vae.beta, vae.free_bits, vae.rate_warmup_steps, float(vae.rate_weight()))
    return Short(config, folder, weights_of(vae), vae(X).distortion.numpy(), objective)


@pytest.fixture
def restarts(model, short_run, monkeypatch):
    """Starts runs of the configuration of `short_run` without compiling its model again."""
    return model.install(monkeypatch)


def test_rate_warm_up_and_free_bits_of_the_config_act_in_training(short_run):
    for step, line in enumerate(metric_lines(short_run.folder)):
        weight = 0.5 * step / 8
        charged = (line["loss"] - line["distortion"]) / weight if step else 0.0
        if step == 0:
            assert line["loss"] == pytest.approx(line["distortion"], rel=FLOAT32)
        # Each of the two latents is charged 0.25 nats at least. The difference of two numbers of
        # some 15 nats is known to a few float32 roundings.
        else:
            assert charged >= max(line["rate"], 0.5) - 1e-3


def test_the_objective_of_the_first_steps_is_that_of_the_config(short_run):
    assert short_run.objective == (0.5, 0.25, 8, pytest.approx(0.5 * 4 / 8))


def test_model_keras_is_the_trained_model(short_run):
    loaded = sv.load(short_run.folder)
    np.testing.assert_array_equal(loaded(X).distortion, short_run.distortion)
    assert int(loaded.optimizer.iterations) == 4
    assert not list(short_run.folder.glob(".partial*"))


def test_a_kill_while_model_keras_is_written_leaves_the_old_one(short_run, monkeypatch):
    config, folder = short_run.config, short_run.folder
    before = (folder / "model.keras").read_bytes()

    def torn(self, path, **kwargs):
        with open(path, "wb") as file:
            file.write(b"half a model")
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(keras.Model, "save", torn)
        train(config, folder)
    assert (folder / "model.keras").read_bytes() == before
    with killed(monkeypatch, sv.models.VAE, "save"), pytest.raises(Killed):
        train(config, folder)
    assert (folder / "model.keras").read_bytes() == before
    train(config, folder)
    assert not list(folder.glob(".partial*"))
    sv.load(folder)


def test_a_finished_run_is_not_trained_again(short_run, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", None)
    again = train(short_run.config, short_run.folder)
    for one, other in zip(short_run.weights, weights_of(again), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"likelihood": "gauss"}, "unknown likelihood"),
        ({"network_options": {"hidden_sizes": [0]}}, "hidden_sizes must be positive"),
        ({"network": "conv28", "network_options": {"width": 4}}, "conv28"),  # 4x4 is too small
        ({"warmup_steps": 14}, r"warmup_steps \(14\) must be below"),
        ({"validation_fraction": 0.001}, "keeps 0 of 60"),
        ({"likelihood_options": {"momentum": 2.0}}, "momentum must lie in"),
    ],
)
def test_what_cannot_be_trained_leaves_no_workdir(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train(tiny_config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_missing_data_leave_no_workdir(tmp_path):
    config = tiny_config(dataset="npz", dataset_options={"path": str(tmp_path / "absent.npz")})
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_strategy_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="unknown strategy 'all'; known: auto, one_device, mirr"):
        train(tiny_config(), tmp_path / "run", strategy_name="all")
    assert not (tmp_path / "run").exists()


def test_the_run_of_another_configuration_is_left_alone(tmp_path):
    Workdir(tmp_path).prepare(tiny_config(beta=3.0), None)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(WorkdirError, match="beta: 3.0 there, 1.0 now"):
        train(tiny_config(), tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before
    assert os.listdir(tmp_path / "checkpoints") == []


def test_a_full_disk_is_said_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", None)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(CheckpointError, match="has 0 MiB free, but the checkpoints of this model"):
        train(tiny_config(), tmp_path)


def test_a_disk_that_fills_up_leaves_a_checkpoint_to_resume_from(
    short_run, restarts, tmp_path, monkeypatch
):
    whole = short_run.folder
    config = dataclasses.replace(short_run.config, checkpoint_every_steps=1)
    original = loop.Checkpoints._save

    def full_at_3(self, manager, step):
        if step == 3:
            # A folder where the part files of the checkpoint go.
            os.makedirs(os.path.join(self.folder, "step-3.index", "in the way"))
        original(self, manager, step)

    with monkeypatch.context() as patch, pytest.raises(CheckpointError) as caught:
        patch.setattr(loop.Checkpoints, "_save", full_at_3)
        train(config, tmp_path)
    assert "cannot write the checkpoint of step 3" in str(caught.value)
    assert f"complete one is '{tmp_path / 'checkpoints' / 'step-2'}'" in str(caught.value)
    os.removedirs(tmp_path / "checkpoints" / "step-3.index" / "in the way")
    train(config, tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    finished, expected = checkpoint_arrays(tmp_path), checkpoint_arrays(whole)
    assert all(finished[n].tobytes() == expected[n].tobytes() for n in expected)


def test_images_out_of_range_are_said_as_such(short_run, restarts, tmp_path, monkeypatch):
    original = loop.data.training_batches
    monkeypatch.setattr(
        loop.data, "training_batches", lambda *a, **k: original(*a, **k).map(lambda x: 2.0 * x)
    )
    with pytest.raises(ValueError, match=r"^images must lie in \[0, 1\], the range of the likelih"):
        train(short_run.config, tmp_path)


def test_the_steps_of_a_call_never_go_past_the_end(tmp_path, monkeypatch):
    # 7 steps an epoch and 10 in all, 4 a call of the compiled function.
    ends = []
    original = WriteCheckpoints.on_train_batch_end

    def record(self, batch, logs=None):
        original(self, batch, logs)
        ends.append((self.step, int(self.model.optimizer.iterations)))

    monkeypatch.setattr(WriteCheckpoints, "on_train_batch_end", record)
    config = tiny_config(
        likelihood="gaussian_fixed", steps_per_execution=4, num_train_steps=STEPS_PER_EPOCH + 3
    )
    train(config, tmp_path)
    assert ends == [(4, 4), (7, 7), (10, 10)]
    assert [line["step"] for line in metric_lines(tmp_path, "validation")] == [7, 10]


def test_a_run_is_not_cut_short_by_a_later_command(short_run):
    config, folder = short_run.config, short_run.folder
    before = (folder / "config.json").read_bytes()
    with pytest.raises(WorkdirError, match="holds a run of 4 steps"):
        train(dataclasses.replace(config, num_train_steps=3), folder)
    assert (folder / "config.json").read_bytes() == before
