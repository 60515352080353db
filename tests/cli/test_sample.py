import math
import pathlib

import numpy as np
import pytest

from tests.cli._finished_run import finished_run
from tests.evaluation._hierarchies import hierarchy
from tf_sigma_vae.cli import sample

NAMES = ["prior_mean", "prior_noisy", "reconstructions", "interpolations", "traversals"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    options = {"num_train": 20, "num_test": 4, "image_size": 4}
    folder = tmp_path_factory.mktemp("runs") / "optimal"
    return finished_run(folder, dataset="synthetic", dataset_options=options)


def test_the_same_seed_gives_the_same_bytes(run, tmp_path):
    folders = [tmp_path / "first", tmp_path / "again"]
    first, again = (sample.sample(run, seed=3, num_samples=4, output=str(f)) for f in folders)
    for one, other in zip(first, again, strict=True):
        assert pathlib.Path(one).read_bytes() == pathlib.Path(other).read_bytes()
    (other_seed, *_) = sample.sample(run, seed=4, num_samples=4, output=str(tmp_path / "other"))
    assert pathlib.Path(other_seed).read_bytes() != pathlib.Path(first[0]).read_bytes()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": -1}, "seed must not be negative"),
        ({"num_samples": 0}, "num_samples must be at least 1"),
        ({"temperature": -0.5}, "temperature must be a number from 0, got -0.5"),
        ({"temperature": math.nan}, "temperature must be a number from 0, got nan"),
        ({"split": "tset"}, "unknown split 'tset'"),
    ],
)
def test_impossible_requests_are_refused_before_the_run_is_looked_at(given, message):
    with pytest.raises(ValueError, match=message):
        sample.sample("absent", **given)


def test_of_a_hierarchy_there_is_a_picture_of_its_levels(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sample.runs.FinishedRun, "model", lambda self: hierarchy((4, 4, 1)))
    cold, warm = (
        sample.sample(run, num_samples=2, output=str(tmp_path / f"{t:g}"), temperature=t)
        for t in (0.0, 1.0)
    )
    assert [pathlib.Path(path).stem for path in cold] == [*NAMES, "levels"]
    for number in (0, -1):
        assert pathlib.Path(cold[number]).read_bytes() != pathlib.Path(warm[number]).read_bytes()


def test_a_run_that_is_missing_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no workdir"):
        sample.sample(str(tmp_path / "absent"))


def test_an_output_that_cannot_be_made_is_said_before_any_work(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="cannot write to"):
        sample.sample(run, output=str(tmp_path / "file" / "pictures"))


def test_one_image_is_enough_for_all_pictures_but_the_interpolations(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sample.runs.FinishedRun, "images", one_image)
    names = [pathlib.Path(path).stem for path in sample.sample(run, output=str(tmp_path))]
    assert names == [name for name in NAMES if name != "interpolations"]


def one_image(self, *args, **kwargs):
    return np.full((1, 4, 4, 1), 100, np.uint8)
