import json
import os
import shutil

import numpy as np
import pytest

from tests._models import set_weights
from tests.cli._finished_run import finished_run
from tests.evaluation._eagerly import eagerly
from tests.evaluation.fid._networks import Averages
from tf_sigma_vae.cli import evaluate as evaluate_command
from tf_sigma_vae.evaluation import image_measures, measures
from tf_sigma_vae.evaluation.runs import FinishedRun

OPTIONS = measures.Options(
    num_examples=20,
    num_samples=2,
    information_examples=40,
    calibration_examples=10,
    distance_samples=30,
)
DIGITS = 360


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The path of a run with all measures, their records, and the images that were counted."""
    folder = tmp_path_factory.mktemp("measured")
    path, records, images = finished_run(folder / "run"), {}, {name: [] for name in measures.NAMES}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(measures.CACHE_VARIABLE, str(folder / "cache"))
        for name in measures.NAMES:
            records[name] = obtain(path, name, progress=images[name].append)
    return path, records, images


@pytest.fixture
def path(measured, tmp_path):
    """A copy of that run."""
    return shutil.copytree(measured[0], tmp_path / "run")


def obtain(path, name, options=OPTIONS, **more):
    with eagerly():
        return measures.obtain(FinishedRun(path), name, options, Averages(), **more)


@pytest.fixture
def made(monkeypatch):
    """Names of the measures that were asked for anew; they are not made."""
    names = []

    def counted(name):
        return lambda *arguments: names.append(name) or {"metrics": {}, "protocol": {}}

    for name in list(image_measures.MEASURES):
        monkeypatch.setitem(image_measures.MEASURES, name, counted(name))
    return names


@pytest.mark.parametrize("name", measures.NAMES)
def test_a_measure_is_made_once_and_read_again(measured, made, name):
    path, records, images = measured
    assert sum(images[name]) > 0
    assert obtain(path, name) == records[name]
    assert made == []
    with open(measures.path_of(FinishedRun(path), name), encoding="utf-8") as file:
        assert json.load(file) == records[name]
    protocol = records[name]["protocol"]
    found = (protocol["dataset"], protocol["split"], protocol["split_size"])
    assert found == ("digits", "test", DIGITS)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("evaluation", {"num_samples": 3}),
        ("evaluation", {"num_examples": 21}),
        ("information", {"information_examples": 41}),
        ("information", {"split": "validation"}),
        ("calibration", {"calibration_examples": 11}),
        ("calibration", {"seed": 1}),
        ("distances", {"distance_samples": 31}),
        ("distances", {"draw": "noisy"}),
        ("distances", {"seed": 1}),
        ("distances", {"extrapolate": True}),
    ],
)
def test_a_record_of_another_protocol_does_not_fit(measured, name, other):
    run = FinishedRun(measured[0])
    assert measures.stored(run, name, OPTIONS) is not None
    assert measures.stored(run, name, OPTIONS._replace(**other)) is None


def test_another_protocol_makes_another_record(path, measured):
    options = OPTIONS._replace(information_examples=41)
    second = obtain(path, "information", options)
    assert second != measured[1]["information"]
    assert measures.stored(FinishedRun(path), "information", options) == second


def test_an_extrapolated_distance_answers_both(path):
    options = OPTIONS._replace(extrapolate=True)
    found = obtain(path, "distances", options)
    assert "frechet_extrapolated" in found["metrics"]
    assert measures.stored(FinishedRun(path), "distances", OPTIONS) == found


@pytest.mark.parametrize("name", ["information", "calibration"])
def test_a_record_of_other_conventions_does_not_fit(path, name):
    run = FinishedRun(path)
    record = measures.stored(run, name, OPTIONS)
    record["protocol"]["conventions"]["standard_error"] = "as it was once"
    with open(measures.path_of(run, name), "w", encoding="utf-8") as file:
        json.dump(record, file)
    assert measures.stored(run, name, OPTIONS) is None


def test_distances_of_another_network_are_made_anew(path):
    other = Averages()
    extraction = other.extraction.__class__(
        **{**other.extraction.__dict__, "content_hash": "other"}
    )
    run = FinishedRun(path)
    assert measures.stored(run, "distances", OPTIONS, extraction) is None
    assert measures.stored(run, "distances", OPTIONS, other.extraction) is not None


def test_a_record_of_another_model_is_made_anew(path, made):
    model = FinishedRun(path).model()
    set_weights(model, seed=5, scale=0.8).save(os.path.join(path, "model.keras"))
    obtain(path, "information")
    assert made == ["information"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"protocol": null}', '{"protocol": {"a": 1'])
def test_a_damaged_record_is_made_anew(path, made, content):
    with open(measures.path_of(FinishedRun(path), "information"), "w", encoding="utf-8") as file:
        file.write(content)
    obtain(path, "information")
    assert made == ["information"]


def test_numbers_above_the_split_mean_all_of_it():
    large = measures.Options(information_examples=361, calibration_examples=10**6)
    found = large.resolved(DIGITS)
    assert found == large._replace(
        num_examples=DIGITS,
        information_examples=DIGITS,
        calibration_examples=DIGITS,
        distance_samples=DIGITS,
    )
    assert OPTIONS.resolved(DIGITS) == OPTIONS


def test_the_file_of_the_evaluation_command_is_taken(path, made):
    with eagerly():
        evaluate_command.evaluate([path], num_samples=2, num_examples=20)
    found = obtain(path, "evaluation")
    assert made == []
    assert found["metrics"]["elbo"]["unit"] == "nats"


def test_distances_name_their_network(measured):
    labels = measured[1]["distances"]["labels"]
    assert labels["frechet"].startswith("frechet distance (averages")
    assert labels["kid"].startswith("kernel distance (averages")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "tests"}, "unknown split 'tests'"),
        ({"num_examples": -1}, "num_examples must not be negative"),
        ({"information_examples": 1}, "information_examples must be at least 2, got 1"),
        ({"calibration_examples": 0}, "calibration_examples must be at least 2, got 0"),
        ({"distance_samples": -3}, "distance_samples must be at least 2, got -3"),
        ({"draw": "median"}, "draw must be 'mean' or 'noisy', got 'median'"),
        ({"seed": -1}, "seed must not be negative"),
        ({"num_examples": DIGITS + 1}, "num_examples is 361, but the test split has 360 images"),
    ],
)
def test_an_impossible_option_is_refused(path, made, wrong, message):
    with pytest.raises(ValueError, match=message):
        obtain(path, "evaluation", OPTIONS._replace(**wrong))
    assert made == []


def test_what_is_no_measure_is_refused(path):
    with pytest.raises(ValueError, match="unknown measure 'fid'; known: evaluation, information"):
        obtain(path, "fid")


def test_distances_without_a_network_are_refused(path):
    with pytest.raises(ValueError, match="distances need an extractor: inception_2015"):
        measures.obtain(FinishedRun(path), "distances", OPTIONS)


def test_too_few_samples_are_refused_before_the_network_sees_one(path):
    extractor = Averages()
    options = OPTIONS._replace(distance_samples=19)
    with pytest.raises(measures.NotMeasurableError, match="at least 20 samples and images, got 19"):
        measures.obtain(FinishedRun(path), "distances", options, extractor)
    assert extractor.num_images == 0


def test_an_extractor_is_a_name_or_a_path(tmp_path):
    with pytest.raises(ValueError, match="unknown extractor 'inception'.* inception_2015"):
        measures.extractor("inception")
    with pytest.raises(FileNotFoundError):
        measures.extractor("inception_2015", str(tmp_path / "missing.pb"))
    (tmp_path / "a").touch()
    with pytest.raises(ValueError, match="two paths of an extractor"):
        measures.extractor(str(tmp_path / "a"), str(tmp_path / "b"))


def test_the_cache_is_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv(measures.CACHE_VARIABLE, str(tmp_path))
    assert measures.cache_folder() == str(tmp_path / "features")
    monkeypatch.delenv(measures.CACHE_VARIABLE)
    assert measures.cache_folder() == os.path.expanduser("~/.cache/tf_sigma_vae/features")


def test_reference_features_are_kept_in_the_cache(measured):
    folder = os.path.join(os.path.dirname(measured[0]), "cache", "features")
    (file,) = os.listdir(folder)
    with np.load(os.path.join(folder, file)) as arrays:
        assert len(arrays["features"]) == OPTIONS.distance_samples
