"""A sweep that trains in earnest: killed and started again, it ends as one that was not."""

import json

import pytest

import tf_sigma_vae as sv
from tests.sweep import _fakes
from tests.training._runs import Killed, killed
from tf_sigma_vae.cli import evaluate
from tf_sigma_vae.training.callbacks import WriteCheckpoints

ASKED = {"betas": [0.1], "variants": ["gaussian_optimal"]}
# A checkpoint at step 2 of 3.
CONFIG = {"num_train_steps": 3, "checkpoint_every_steps": 2}


def sweep(path):
    return _fakes.sweep(path, config=_fakes.config(**CONFIG), **ASKED)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep")
    assert sweep(path).run() == []
    return path


@pytest.mark.slow
def test_a_killed_sweep_ends_like_one_that_was_not(finished, tmp_path, monkeypatch, capsys):
    kill = killed(monkeypatch, WriteCheckpoints, "on_train_batch_end", "after", step=2)
    with kill, pytest.raises(Killed):
        sweep(tmp_path).run()
    assert "stopped at step 2" in sweep(tmp_path).plan()
    capsys.readouterr()
    sweep(tmp_path).run()
    printed = capsys.readouterr().out
    assert "[1/2] beta=0.1 seed 0 ...\nstrategy: one_device (as asked for)\nresuming" in printed
    assert "[2/2] gaussian_optimal seed 0 ..." in printed
    for name in ("results.csv", "table.csv", "table.md", "rate_distortion.png"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


def test_its_runs_are_ordinary_workdirs(finished):
    run = finished / "runs" / "gaussian_optimal-seed0"
    assert sv.load(run).likelihood.provenance()["source"] == "calibrate"
    content = json.loads((run / "evaluation.json").read_text())
    assert {"elbo", "rate", "mse", "bits_per_dim_mass"} <= set(content["metrics"])
    assert content["protocol"]["variant"] == "gaussian_optimal"
    before = (run / "evaluation.json").read_bytes()
    evaluate.evaluate([str(run)], num_samples=0)
    assert (run / "evaluation.json").read_bytes() == before


def test_the_evaluated_scale_of_the_grid_is_that_of_its_beta(finished):
    content = json.loads((finished / "runs" / "beta=0.1-seed0" / "evaluation.json").read_text())
    # The log of the scale is float32.
    assert content["metrics"]["beta_equivalent"]["value"] == pytest.approx(0.1, rel=1e-6)
    assert content["protocol"]["step"] == 3
