"""One small run through all commands, each called as its console script calls it."""

import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

import tf_sigma_vae as sv
from tests.cli._in_process import TINY, Command
from tf_sigma_vae.cli import evaluate, export, sample, train
from tf_sigma_vae.export import model_card, release
from tf_sigma_vae.workdir import Workdir

# ml_collections loads a config file with it.
pytestmark = pytest.mark.filterwarnings(r"ignore:the load_module\(\) method:DeprecationWarning")

PICTURES = ["prior_mean", "prior_noisy", "reconstructions", "interpolations", "traversals"]


def test_a_run_is_trained_evaluated_sampled_and_exported(tmp_path, monkeypatch, capsys):
    run = tmp_path / "optimal"
    check_training(run, Command(monkeypatch, capsys, train))
    check_evaluation(run, Command(monkeypatch, capsys, evaluate))
    check_samples(run, Command(monkeypatch, capsys, sample))
    check_export(run, tmp_path / "served", Command(monkeypatch, capsys, export), monkeypatch)


def check_training(run, command):
    arguments = [*TINY, f"--workdir={run}", "--config.num_train_steps=3", "--seed=5"]
    assert command(*arguments) == 0, command.error
    written = {"config.json", "metrics.jsonl", "checkpoints", "model.keras"}
    assert written == {path.name for path in run.iterdir()}
    config, data_dir = Workdir(run).read_config()
    assert (config.num_train_steps, config.seed, config.dataset) == (3, 5, "synthetic")
    assert data_dir is None
    assert int(sv.load(run).optimizer.iterations) == 3
    before = (run / "config.json").read_bytes()
    assert command(*arguments, "--config.beta=0.5") == 1
    assert "beta: 1.0 there, 0.5 now" in command.error
    assert (run / "config.json").read_bytes() == before


def check_evaluation(run, command):
    few = ["--num_samples=2", "--num_examples=3"]
    assert command(f"--workdir={run}", *few) == 0, command.error
    assert command.output.splitlines()[0].split() == ["metric", "unit", "optimal"]
    assert "synthetic test: 3 images, iwae of 2 samples" in command.output
    assert "not likelihoods" in command.output
    assert "3/3" in command.error
    content = json.loads((run / "evaluation.json").read_text())
    assert {"elbo", "iwae", "elbo_batch_scale"} <= set(content["metrics"])
    protocol = content["protocol"]
    assert (protocol["dataset"], protocol["variant"]) == ("synthetic", "gaussian_optimal")
    assert (protocol["split"], protocol["num_examples"]) == ("test", 3)
    assert protocol["scale"]["source"] == "calibrate"
    assert "tf-sigma-vae" in protocol["versions"]


def check_samples(run, command):
    assert command(f"--workdir={run}", "--num_samples=2") == 0, command.error
    expected = [os.path.join(run, "samples", f"{name}.png") for name in PICTURES]
    assert command.output.splitlines() == expected
    assert sorted(os.listdir(run / "samples")) == sorted(f"{name}.png" for name in PICTURES)
    for path in expected:
        with Image.open(path) as picture:
            assert picture.mode == "RGB"
            assert np.asarray(picture).std() > 0


def check_export(run, served, command, monkeypatch):
    """Skips writing the SavedModel, which `tests/export/test_release.py` covers."""
    handed_on = []

    def keep(model, folder, signatures, probes, name):
        handed_on.append((model, name))
        pathlib.Path(folder, "saved_model.pb").touch()
        return {"encode/z_mean": 0.0}

    monkeypatch.setattr(release, "_write_saved_model", keep)
    monkeypatch.setattr(model_card, "signature_table", lambda folder: {})
    assert command(f"--workdir={run}", f"--export_dir={served}") == 0, command.error
    ((model, name),) = handed_on
    assert name == served.name
    for weight, trained_weight in zip(model.weights, sv.load(run).weights, strict=True):
        np.testing.assert_array_equal(weight, trained_weight)
    card = json.loads((served / "1" / model_card.JSON_FILE).read_text())
    assert card["variant"] == "gaussian_optimal" and card["data"]["dataset"] == "synthetic"
    assert card["anomaly"]["num_scores"] == 2
