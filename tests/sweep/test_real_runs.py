"""A sweep that trains in earnest: killed and started again, it ends as one that was not."""

import functools
import json
import shutil

import pytest

import tf_sigma_vae as sv
from tests.evaluation._eagerly import eagerly
from tests.evaluation.fid import _networks
from tests.sweep import _fakes
from tests.training._runs import Killed, killed
from tf_sigma_vae.cli import evaluate
from tf_sigma_vae.evaluation import measures
from tf_sigma_vae.sweep.measuring import Measuring
from tf_sigma_vae.training.callbacks import WriteCheckpoints

ASKED = {"betas": [0.1], "variants": ["gaussian_optimal"]}
CONFIG = {
    # A checkpoint at step 2 of 3.
    "num_train_steps": 3,
    "checkpoint_every_steps": 2,
    # As many images as information in three dimensions needs.
    "dataset_options": {"num_train": 20, "num_test": 32, "image_size": [4, 6]},
}


def sweep(path, **given):
    return _fakes.sweep(path, config=_fakes.config(**CONFIG), **ASKED, **given)


def run(path, **given):
    """The failures of a sweep that trains op by op: it takes a few steps."""
    with eagerly():
        return sweep(path, **given).run()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep")
    assert run(path) == []
    return path


@pytest.mark.slow
def test_a_killed_sweep_ends_like_one_that_was_not(finished, tmp_path, monkeypatch, capsys):
    kill = killed(monkeypatch, WriteCheckpoints, "on_train_batch_end", "after", step=2)
    with kill, pytest.raises(Killed):
        run(tmp_path)
    assert "stopped at step 2" in sweep(tmp_path).plan()
    capsys.readouterr()
    run(tmp_path)
    printed = capsys.readouterr().out
    assert "[1/2] beta=0.1 seed 0 ...\nstrategy: one_device (as asked for)\nresuming" in printed
    assert "[2/2] gaussian_optimal seed 0 ..." in printed
    for name in ("results.csv", "table.csv", "table.md", "rate_distortion.png"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.slow
def test_its_runs_are_ordinary_workdirs(finished):
    path = finished / "runs" / "gaussian_optimal-seed0"
    assert sv.load(path).likelihood.provenance()["source"] == "calibrate"
    content = json.loads((path / "evaluation.json").read_text())
    assert {"elbo", "rate", "mse", "bits_per_dim_mass"} <= set(content["metrics"])
    assert content["protocol"]["variant"] == "gaussian_optimal"
    before = (path / "evaluation.json").read_bytes()
    with eagerly():
        evaluate.evaluate([str(path)], num_samples=0)
    assert (path / "evaluation.json").read_bytes() == before


@pytest.mark.slow
def test_both_runs_are_measured_by_one_network(finished, tmp_path, monkeypatch):
    monkeypatch.setenv(measures.CACHE_VARIABLE, str(tmp_path / "cache"))
    shutil.copytree(finished, tmp_path / "sweep")
    network = str(tmp_path / "network.keras")
    _networks.dense_network((None, None, 3)).save(network)
    asked = Measuring(
        ("information", "distances"), load=functools.partial(measures.extractor, network)
    )
    # What is cleared between two runs leaves the network whole.
    assert run(tmp_path / "sweep", measuring=asked) == []
    again = sweep(tmp_path / "sweep", measuring=asked)
    assert again.plan().count("  done") == 2
    found, missing = again.results()
    assert (len(found), missing) == (2, [])
    for result in found:
        figures = result.figures()
        assert figures["frechet"] > 0.0
        assert 0.0 <= figures["mutual_information_lower"] <= figures["mutual_information_upper"]
    assert (tmp_path / "sweep" / "information.png").stat().st_size > 10_000


def test_the_evaluated_scale_of_the_grid_is_that_of_its_beta(finished):
    content = json.loads((finished / "runs" / "beta=0.1-seed0" / "evaluation.json").read_text())
    # The log of the scale is float32.
    assert content["metrics"]["beta_equivalent"]["value"] == pytest.approx(0.1, rel=1e-6)
    assert content["protocol"]["step"] == 3
