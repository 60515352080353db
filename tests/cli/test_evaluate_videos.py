import json
import os
import pathlib

import numpy as np
import pytest

from tests.cli._finished_run import finished_run
from tests.evaluation._video_runs import a_record, finished_video_run
from tf_sigma_vae.cli import evaluate
from tf_sigma_vae.evaluation import measures, record
from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.evaluate import Evaluation
from tf_sigma_vae.evaluation.runs import FinishedRun

FEW = {"num_samples": 0, "num_examples": 3, "num_rollouts": 2, "rollout_clips": 4}


def canned_evaluation(run, source, split, num_samples, global_batch_size, progress, strategy):
    progress(2 * len(source))
    protocol = {"dataset": "video_npz", "split": split, "num_samples": 0, "measure": "density"}
    protocol |= {"context_frames": 2, "horizon": 3, "clip_length": 5}
    protocol |= {"num_clips": 2 * len(source), "num_examples": len(source)}
    metrics = {"elbo_per_frame": Estimate(-3.0, 0.25, "nats/frame")}
    return Evaluation(metrics, protocol)


@pytest.fixture(scope="module")
def unevaluated(tmp_path_factory):
    return finished_video_run(tmp_path_factory.mktemp("runs") / "square")


@pytest.fixture
def canned(monkeypatch):
    """What is asked of the measures, which are not made."""
    asked = []

    def obtain(run, name, options, **rest):
        assert rest["anew"], "a stored record may be of other data"
        asked.append((name, options))
        return a_record()

    monkeypatch.setattr(measures, "obtain", obtain)
    monkeypatch.setattr(record, "evaluate_run", canned_evaluation)
    return asked


def test_videos_have_a_table_of_clips_and_one_of_steps(unevaluated, canned):
    lines = evaluate.evaluate([unevaluated], **FEW).splitlines()
    assert lines[2].split() == ["elbo_per_frame", "nats/frame", "-3.00", "±", "0.25"]
    about = "video_npz test: 6 clips of 5 frames (2 given, 3 predicted) of 3 videos, no iwae"
    assert f"{about}; mean ± standard error over videos" in lines
    assert lines[lines.index("") + 1].split() == ["rollouts", "step", "square"]
    options = measures.Options(num_examples=3, num_rollouts=2, rollout_clips=4)
    assert canned == [("rollouts", options)]
    picture = pathlib.Path(unevaluated) / "rollouts.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    picture.unlink()


def test_no_rollouts_are_made_where_none_are_asked_for(unevaluated, canned):
    text = evaluate.evaluate([unevaluated], **{**FEW, "num_rollouts": 0})
    assert "rollouts" not in text
    assert canned == []
    assert "rollouts.png" not in os.listdir(unevaluated)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The path of an evaluated run of videos, and what was printed."""
    path = finished_video_run(tmp_path_factory.mktemp("runs") / "square")
    return pathlib.Path(path), evaluate.evaluate([path], **FEW)


def test_runs_of_images_and_of_videos_do_not_go_together(unevaluated, tmp_path):
    digits = finished_run(tmp_path / "digits", "gaussian_fixed")
    message = r"runs of videos \(square\) and of images \(digits\) have no figures in common"
    with pytest.raises(ValueError, match=message):
        evaluate.evaluate([digits, unevaluated], **FEW)
    assert not (tmp_path / "digits" / "evaluation.json").exists()


def test_rollouts_on_several_devices_are_refused_before_any_work(unevaluated):
    with pytest.raises(ValueError, match="--num_rollouts=0 leaves them out under --strategy=mirr"):
        evaluate.evaluate([unevaluated], strategy_name="mirrored", **FEW)


@pytest.mark.slow
def test_the_tables_are_of_clips_and_of_steps(evaluated):
    lines = evaluated[1].splitlines()
    assert lines[0].split() == ["metric", "unit", "square"]
    about = "video_npz test: 6 clips of 5 frames (2 given, 3 predicted) of 3 videos, no iwae"
    assert f"{about}; mean ± standard error over videos" in lines
    second = lines.index("") + 1
    assert lines[second].split() == ["rollouts", "step", "square"]
    assert [line.split()[2] for line in lines if line.startswith("psnr best")] == ["1", "3"]
    assert lines[-1].startswith("best and mean of 2 rollouts of each of 4 clips")


@pytest.mark.slow
def test_the_records_and_the_picture_are_in_the_workdir(evaluated):
    path = evaluated[0]
    content = json.loads((path / "evaluation.json").read_text())
    assert content["protocol"]["num_examples"] == 3
    assert content["metrics"]["elbo_per_frame"]["unit"] == "nats/frame"
    content = json.loads((path / "rollouts.json").read_text())
    assert content["protocol"]["num_clips"] == 4
    assert content["protocol"]["step"] is None
    assert (path / "rollouts.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_other_commands_take_the_records(evaluated):
    run = FinishedRun(os.fspath(evaluated[0]))
    options = measures.Options(**FEW)
    for name in ("evaluation", "rollouts"):
        assert measures.stored(run, name, options) is not None


def test_rollouts_of_images_are_refused_by_name(tmp_path):
    digits = finished_run(tmp_path / "digits", "gaussian_fixed")
    with pytest.raises(ValueError, match="num_rollouts=5 is of videos, and these runs are of im"):
        evaluate.evaluate([digits], num_rollouts=5)


def test_a_strategy_that_comes_to_one_device_takes_rollouts(unevaluated, canned):
    assert "rollouts" in evaluate.evaluate([unevaluated], strategy_name="auto", **FEW)
    (pathlib.Path(unevaluated) / "rollouts.png").unlink()


@pytest.mark.slow
def test_rollouts_are_made_anew_of_other_data(tmp_path):
    """The same model and numbers, but the frames of an inverted test set."""
    path = finished_video_run(tmp_path / "square")
    before = _elbo_of_rollouts(path)
    source = FinishedRun(path).config.dataset_options["path"]
    with np.load(source) as arrays:
        inverted = {name: 255 - array for name, array in arrays.items()}
    np.savez(source, **inverted)
    assert abs(_elbo_of_rollouts(path) - before) > 1.0


def _elbo_of_rollouts(path):
    evaluate.evaluate([path], **FEW)
    found = json.loads((pathlib.Path(path) / "rollouts.json").read_text())
    return found["metrics"]["elbo_posterior"]["value"]
