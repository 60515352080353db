import os

import numpy as np
import pytest

from tf_sigma_vae import build, data
from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation import runs
from tf_sigma_vae.workdir import Workdir


@pytest.fixture
def run(tmp_path):
    workdir = Workdir(tmp_path / "run")
    workdir.prepare(Config(), data_dir="remembered")
    with open(workdir.model_file, "wb"):
        pass
    return runs.FinishedRun(workdir.path)


@pytest.fixture
def splits(monkeypatch):
    """Puts three known splits in the place of the dataset; returns what it was asked for."""
    asked = []
    arrays = [np.full((n, 4, 6, 2), n, np.uint8) for n in (7, 5, 3)]

    def load_splits(config, data_dir, download):
        asked.append((data_dir, download))
        return data.Splits(*arrays)

    monkeypatch.setattr(build, "load_splits", load_splits)
    return asked


@pytest.mark.parametrize(("split", "size"), [("train", 7), ("validation", 5), ("test", 3)])
def test_the_split_asked_for_is_loaded(run, splits, split, size):
    assert len(run.images(split)) == size


def test_the_first_images_are_taken(run, splits):
    assert len(run.images("train", num_examples=4)) == 4
    with pytest.raises(ValueError, match=r"num_examples is 8, but the train split .* 7 images"):
        run.images("train", num_examples=8)


def test_data_come_from_where_the_run_had_them(run, splits):
    run.images()
    run.images(data_dir="other", download=True)
    assert splits == [("remembered", False), ("other", True)]


def test_a_split_that_the_run_does_not_have_is_an_error(run, monkeypatch):
    images = np.zeros((3, 4, 6, 2), np.uint8)
    monkeypatch.setattr(build, "load_splits", lambda *_: data.Splits(images, None, images))
    with pytest.raises(ValueError, match="has no validation split"):
        run.images("validation")


@pytest.mark.parametrize(
    ("split", "num_examples", "message"),
    [
        ("tset", 0, "unknown split 'tset'; known: train, validation, test"),
        ("test", -1, "num_examples must not be negative"),
    ],
)
def test_impossible_images_are_refused_before_data_are_read(
    run, splits, split, num_examples, message
):
    with pytest.raises(ValueError, match=message):
        run.images(split, num_examples)
    assert splits == []


def test_a_folder_that_is_missing_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no workdir '.*absent'"):
        runs.FinishedRun(str(tmp_path / "absent"))


def test_a_folder_without_a_run_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        runs.FinishedRun(str(tmp_path))


def test_a_run_that_is_not_finished_is_said(tmp_path):
    Workdir(tmp_path).prepare(Config(), None)
    with pytest.raises(FileNotFoundError, match=r"not finished: it holds no model\.keras"):
        runs.FinishedRun(str(tmp_path))


def test_a_place_that_cannot_be_written_to_is_said(run, tmp_path):
    (tmp_path / "file").write_text("")
    run.require_writable()
    run.require_writable(str(tmp_path / "new" / "folder"))
    assert not os.path.exists(tmp_path / "new")
    with pytest.raises(PermissionError, match="cannot write to"):
        run.require_writable(str(tmp_path / "file" / "folder"))


def test_columns_are_named_after_the_folder_unless_two_are_alike():
    assert runs.column_names(["runs/a", "runs/b/"]) == ["a", "b"]
    assert runs.column_names(["x/a", "y/a", "y/b"]) == ["x/a", "y/a", "b"]
    # Long paths differ where a legend still shows it.
    assert runs.column_names(["/p/q/x/runs/a", "/p/q/y/runs/a"]) == ["x/runs/a", "y/runs/a"]
    assert runs.column_names(["/p/a", "/p/q/a"]) == ["a", "q/a"]
    assert runs.column_names(["/p/a", "/p/a"]) == ["/p/a", "/p/a"]
