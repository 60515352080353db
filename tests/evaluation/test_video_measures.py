import json
import os
import shutil

import keras
import numpy as np
import pytest

from tests.cli._finished_run import finished_run
from tests.evaluation import _video_runs as runs
from tests.evaluation.fid._networks import Averages
from tf_sigma_vae.evaluation import clips, fid, measures, rollouts, video_measures
from tf_sigma_vae.evaluation.runs import FinishedRun

# Six videos of two clips of three predicted frames.
OPTIONS = measures.Options(
    num_samples=2, distance_samples=29, num_rollouts=2, rollout_clips=5, num_examples=5
)
TEST_VIDEOS = 6


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The path of a run with all its measures, and their records."""
    folder = tmp_path_factory.mktemp("videos")
    path, records = runs.finished_video_run(folder / "run"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(measures.CACHE_VARIABLE, str(folder / "cache"))
        for name in measures.VIDEO_NAMES:
            records[name] = obtain(path, name)
    return path, records


def canned(name):
    """The part of a record's protocol that says whether it fits, of `OPTIONS`."""
    size = {"clip_length": 5, "clips_per_video": 2, "image_shape": list(runs.FRAME_SHAPE)}
    batch = {"num_examples": 5, "num_samples": 2, "global_batch_size": 512 // 5}
    rolled = {"num_clips": 5, "num_rollouts": 2, "seed": 0}
    images = ("data", 27, runs.FRAME_SHAPE, True)
    made = fid.Protocol(
        Averages().extraction,
        fid.Source(*images, what="frames of rollouts"),
        fid.Source("mean", *images[1:], seed=0, what="frames of rollouts"),
    )
    return {
        "evaluation": {**size, **batch, "conventions": dict(clips.CONVENTIONS)},
        "rollouts": {**size, **rolled, "conventions": dict(rollouts.CONVENTIONS)},
        "distances": {**made.to_dict(), "distance_samples": 29, "clips": None},
    }[name]


@pytest.fixture(scope="module")
def run_with_records(tmp_path_factory):
    """The path of a run, the records of which were not measured."""
    path = runs.finished_video_run(tmp_path_factory.mktemp("canned") / "run")
    for name in measures.VIDEO_NAMES:
        with pytest.MonkeyPatch.context() as patch:
            record = {"metrics": {}, "protocol": canned(name)}
            patch.setitem(video_measures.MEASURES, name, lambda *_, record=record: record)
            obtain(path, name)
    return path


@pytest.fixture
def path(run_with_records, tmp_path):
    """A copy of that run."""
    return shutil.copytree(run_with_records, tmp_path / "run")


def obtain(path, name, options=OPTIONS, **more):
    return measures.obtain(FinishedRun(path), name, options, Averages(), **more)


@pytest.fixture
def made(monkeypatch):
    """Names of the measures that were made and not read."""
    names = []

    def counted(name):
        return lambda *arguments: names.append(name) or {"metrics": {}, "protocol": {}}

    for name in list(video_measures.MEASURES):
        monkeypatch.setitem(video_measures.MEASURES, name, counted(name))
    return names


@pytest.mark.slow
@pytest.mark.parametrize("name", measures.VIDEO_NAMES)
def test_a_measure_is_made_once_and_read_again(measured, made, name):
    path, records = measured
    assert obtain(path, name) == records[name]
    assert made == []
    with open(measures.path_of(FinishedRun(path), name), encoding="utf-8") as file:
        assert json.load(file) == records[name]
    protocol = records[name]["protocol"]
    found = (protocol["dataset"], protocol["split"], protocol["split_size"])
    assert found == ("video_npz", "test", TEST_VIDEOS)
    for key, value in canned(name).items():
        if key not in ("reference", "samples"):
            assert protocol[key] == value


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("evaluation", {"num_samples": 3}),
        ("evaluation", {"num_samples": None}),
        ("evaluation", {"num_examples": 0}),
        ("rollouts", {"num_rollouts": 3}),
        ("rollouts", {"rollout_clips": 6}),
        ("rollouts", {"seed": 1}),
        ("rollouts", {"num_examples": 2}),
        ("distances", {"distance_samples": 30}),
        ("distances", {"draw": "noisy"}),
        ("distances", {"seed": 1}),
        ("distances", {"extrapolate": True}),
        ("distances", {"split": "train"}),
    ],
)
def test_a_record_of_another_protocol_is_made_anew(path, made, name, other):
    obtain(path, name, OPTIONS._replace(**other))
    assert made == [name]


@pytest.mark.parametrize("name", measures.VIDEO_NAMES)
def test_a_record_that_fits_is_read(path, made, name):
    assert obtain(path, name)["protocol"]["split_size"] == TEST_VIDEOS
    assert made == []


def test_rollouts_fit_while_their_clips_are_the_same(run_with_records):
    run = FinishedRun(run_with_records)
    for other in ({"num_examples": 3}, {"num_examples": 0}, {"num_samples": 7}):
        assert measures.stored(run, "rollouts", OPTIONS._replace(**other)) is not None


@pytest.mark.parametrize("name", ["evaluation", "rollouts"])
def test_a_record_of_other_conventions_does_not_fit(path, name):
    run = FinishedRun(path)
    record = measures.stored(run, name, OPTIONS)
    record["protocol"]["conventions"]["standard_error"] = "as it was once"
    with open(measures.path_of(run, name), "w", encoding="utf-8") as file:
        json.dump(record, file)
    assert measures.stored(run, name, OPTIONS) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [("information", "rollouts.json"), ("calibration", "coverage_90 and variance_ratio")],
)
def test_what_is_of_images_is_refused_with_the_reason(path, made, name, reason):
    with pytest.raises(measures.NotMeasurableError, match=reason):
        obtain(path, name)
    assert measures.stored(FinishedRun(path), name, OPTIONS) is None


def test_rollouts_of_images_are_refused_with_the_reason(tmp_path):
    path = finished_run(tmp_path / "digits", "gaussian_fixed")
    run = FinishedRun(path)
    assert measures.names_of(run) == measures.NAMES
    assert "rollouts" not in measures.NAMES
    with pytest.raises(measures.NotMeasurableError, match="of a model of videos"):
        obtain(path, "rollouts")
    with pytest.raises(ValueError, match="clip_extractor is of the distances of a model of videos"):
        obtain(path, "distances", clip_extractor=object())


def test_a_run_of_videos_has_its_own_measures_and_sources(run_with_records):
    run = FinishedRun(run_with_records)
    assert measures.names_of(run) == ("evaluation", "rollouts", "distances")
    assert run.of_videos
    assert len(run.images()) == run.split_size("test") == TEST_VIDEOS
    first = run.images("test", 2)
    assert len(first) == 2
    np.testing.assert_array_equal(
        first.clips(np.array([1]), np.array([0]), 11), runs.videos(TEST_VIDEOS)[1:2]
    )
    assert run.clip_length(first) == runs.CLIP_LENGTH
    assert run.clip_length(runs.source(2, num_frames=4)) == 4
    with pytest.raises(ValueError, match="num_examples is 7, .* of video_npz has 6 videos"):
        run.images("test", 7)


@pytest.mark.slow
def test_distances_are_of_whole_clips_worth_of_frames(measured):
    found = measured[1]["distances"]
    protocol = found["protocol"]
    # 29 frames have room for nine clips.
    assert (protocol["num_clips"], protocol["distance_samples"]) == (9, 29)
    for name in ("reference", "samples"):
        assert protocol[name]["num_images"] == 27
        assert protocol[name]["what"] == "frames of rollouts"
    assert found["labels"]["frechet"].startswith("frechet distance of frames of rollouts (averages")
    assert set(found["metrics"]) == {"frechet", "kid"}
    assert protocol["clips"] is None


def clip_network(path, shape=(runs.CLIP_LENGTH, 16, 16, 1)):
    """Writes a network of clips, to the differences of neighboring frames and their means."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    flat = keras.layers.GlobalAveragePooling3D()(keras.layers.Conv3D(3, 2)(inputs))
    keras.Model(inputs, flat).save(path)
    return str(path)


def test_too_few_clips_are_refused_before_the_network_sees_one(path, tmp_path):
    network = measures.clip_extractor(clip_network(tmp_path / "clips.keras"))
    options = OPTIONS._replace(distance_samples=24)
    with pytest.raises(measures.NotMeasurableError, match="at least 20 of them, got 8"):
        obtain(path, "distances", options, clip_extractor=network)


@pytest.mark.slow
def test_a_network_of_clips_adds_its_distances(tmp_path):
    path = runs.finished_video_run(tmp_path / "run", num_test=12)
    network = measures.clip_extractor(clip_network(tmp_path / "clips.keras"))
    options = OPTIONS._replace(distance_samples=69, num_examples=0)
    found = obtain(path, "distances", options, clip_extractor=network)
    assert set(found["metrics"]) == {"frechet", "kid", "clip_frechet", "clip_kid"}
    label = found["labels"]["clip_frechet"]
    assert label.startswith("frechet distance of clips (clip_network")
    assert found["protocol"]["clips"]["samples"]["image_shape"] == [5, 16, 16, 1]
    assert "FVD only with the I3D" in found["protocol"]["conventions"]["clips"]
    run, extraction = FinishedRun(path), network.extraction
    assert measures.stored(run, "distances", options, None, extraction) == found
    os.remove(tmp_path / "clips.keras")
    other = measures.clip_extractor(clip_network(tmp_path / "clips.keras", (None, None, None, 1)))
    assert measures.stored(run, "distances", options, None, other.extraction) is None
