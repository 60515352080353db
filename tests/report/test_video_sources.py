"""What is gathered of runs of videos: no model is trained or measured."""

import types

import pytest

from tests._videos import FRAME, LENGTH, InstantSvg, source, videos
from tests.report import _records, _video_records
from tests.report.test_sources import finished, paths_of
from tf_sigma_vae import data, report
from tf_sigma_vae.evaluation import measures
from tf_sigma_vae.report import rollouts, sources

VIDEOS = {"dataset": "video_npz", "model": "sequence_vae", "network": "dcgan64"}


def test_a_run_of_images_and_one_of_videos_are_refused_by_name(tmp_path):
    images, of_videos = finished(tmp_path / "a"), finished(tmp_path / "b", **VIDEOS)
    with pytest.raises(ValueError, match="b' is of videos, '.*a' of images: .* be compared"):
        report.choose(images, [of_videos])
    with pytest.raises(ValueError, match="a' is of images, '.*b' of videos"):
        report.choose(of_videos, [images])
    assert paths_of(report.choose(of_videos)) == [of_videos]


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Runs whose videos, model and measures are made up; what is asked for is recorded."""
    calls = []

    class FakeRun(sources.FinishedRun):
        videos = source(6)

        def images(self, split="test", num_examples=0, data_dir=None, download=False):
            return self.videos

        def model(self, strategy=None):
            return InstantSvg()

    def obtain(run, name, options, progress=None, data_dir=None, download=False, **networks):
        calls.append((name, options, networks))
        progress(3)
        made = {"evaluation": _video_records.evaluation, "rollouts": _video_records.rollouts}
        return {**made, "distances": _records.distances}[name]()

    monkeypatch.setattr(sources, "FinishedRun", FakeRun)
    monkeypatch.setattr(measures, "obtain", obtain)
    paths = [finished(tmp_path / name, **VIDEOS, eval_frames=LENGTH + 5) for name in "ab"]
    return report.choose(paths[0], paths[1:]), calls


def test_the_measures_are_those_of_videos_and_the_pictures_a_film_and_strips(fake):
    chosen, calls = fake
    steps = []

    def step(title, total):
        steps.append((title, total))
        return lambda count: None

    options = measures.Options(rollout_clips=4)
    found = report.gather(chosen, report.Asked(options=options), step)
    assert found.of_videos and found.num_train == 6 and found.notices == []
    for run in found.runs:
        assert list(run.measures) == ["evaluation", "rollouts"]
        assert run.absent == {} and run.failed == ()
        assert list(run.pictures) == list(rollouts.CAPTIONS)
        assert run.film.startswith(b"GIF89a")
    assert found.runs[0].film == found.runs[1].film
    assert steps[:2] == [("a: evaluation", 6), ("a: rollouts", 4)]
    assert not any(given for _, _, networks in calls for given in networks.values())


def test_what_was_not_asked_for_is_not_measured(fake, monkeypatch):
    monkeypatch.setattr(rollouts, "draw", lambda *_: ({}, None))
    chosen, calls = fake
    found = report.gather(chosen, report.Asked(measure_names=["rollouts"]))
    assert [name for name, *_ in calls] == ["rollouts"] * 2
    assert found.runs[0].absent == dict.fromkeys(["evaluation", "distances"], sources.NOT_ASKED)


def test_both_networks_are_of_the_distances_alone(fake, monkeypatch):
    monkeypatch.setattr(rollouts, "draw", lambda *_: ({}, None))
    chosen, calls = fake
    network, of_clips = types.SimpleNamespace(extraction=1), types.SimpleNamespace(extraction=2)
    asked = report.Asked(extractor=network, clip_extractor=of_clips)
    found = report.gather(chosen, asked)
    assert list(found.runs[0].measures) == ["evaluation", "rollouts", "distances"]
    given = [networks for name, _, networks in calls if name == "distances"]
    assert given == [{"extractor": network, "clip_extractor": of_clips}] * 2
    others = [networks for name, _, networks in calls if name != "distances"]
    assert not any(given for networks in others for given in networks.values())


def test_a_page_of_many_runs_has_smaller_films(fake, monkeypatch):
    chosen, _ = fake
    asked_for = []
    monkeypatch.setattr(rollouts, "MOST_PAGE_BYTES", 1000)
    monkeypatch.setattr(rollouts, "draw", lambda *args: asked_for.append(args[2:]) or ({}, None))
    report.gather(chosen, report.Asked(measure_names=["rollouts"]))
    # No longer than the videos are, whatever was configured.
    assert asked_for == [(LENGTH, 0, 500)] * 2


def test_frames_that_are_not_finite_are_told(fake, monkeypatch):
    chosen, _ = fake

    def fail(*_):
        raise FloatingPointError("the model gives frames with values that are not finite")

    monkeypatch.setattr(rollouts, "draw", fail)
    (run, _) = report.gather(chosen, report.Asked(measure_names=["rollouts"])).runs
    assert (run.film, run.pictures, run.failed) == (None, {}, ("pictures",))
    assert "not finite" in run.absent["pictures"]


def test_runs_of_other_videos_are_told_and_those_of_another_shape_refused(fake, monkeypatch):
    chosen, _ = fake
    monkeypatch.setattr(rollouts, "draw", lambda *_: ({}, None))
    asked = report.Asked(measure_names=["rollouts"])
    for other in (source(6, seed=1), source(5)):
        chosen.runs[1].videos = other
        (notice,) = report.gather(chosen, asked).notices
        assert notice.startswith("b: the test videos are not those of a.")
    chosen.runs[1].videos = data.ArraySource(videos(6)[:, 1:])
    with pytest.raises(ValueError, match=rf"b is of videos of shape \({LENGTH - 1}, {FRAME[0]}"):
        report.gather(chosen, asked)


@pytest.mark.usefixtures("undrawn")
def test_distances_of_clips_are_apart_from_those_of_frames():
    record = _records.distances()
    record["protocol"]["clips"] = {
        key: dict(record["protocol"][key]) for key in ("extraction", "reference", "samples")
    }
    record["protocol"]["clips"]["samples"]["num_images"] = 40
    record["metrics"]["clip_frechet"] = _records.metric(3.25, 0.1, "feature^2")
    run = _video_records.video_run(measures={"distances": record})
    text = report.render(_video_records.content(run))
    rows = ["frechet distance (saved_file 5d7c1e02)", "whole clips, frechet distance"]
    assert all(row in text for row in rows)
    assert "3.25 ± 0.10" in text
    assert "500 samples (mean frames" in text and "40 samples (mean clips" in text
    assert "Samples are frames of one rollout of each clip" in text
