"""`sigma-vae-sample` of models of videos: films and strips."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from tests._models import TINY_OPTIONS
from tests._videos import CONTEXT, FRAME, LENGTH, InstantSvg, videos
from tests.cli._in_process import Command
from tf_sigma_vae import animation, build
from tf_sigma_vae.cli import sample
from tf_sigma_vae.config import Config
from tf_sigma_vae.workdir import Workdir

NAMES = ["rollouts.gif", "rollouts.mp4", "strips.png", "posterior.png"]


def finished(folder):
    """Writes a run of six test videos that is finished without training; returns its path."""
    np.savez(folder / "videos.npz", x_train=videos(3), x_test=videos(6, seed=1))
    config = Config(
        dataset="video_npz",
        dataset_options={"path": str(folder / "videos.npz")},
        validation_fraction=0.0,
        train_frames=4,
        eval_frames=LENGTH + 3,
        model="sequence_vae",
        model_options={"context_frames": CONTEXT, "feature_size": 6, "lstm_units": 5},
        network="dcgan64",
        network_options=TINY_OPTIONS["dcgan64"],
        likelihood="gaussian_shared",
        latent_size=3,
    )
    workdir = Workdir(folder / "run")
    workdir.prepare(config, data_dir=None)
    return workdir, config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose model is not opened: see `instant`."""
    workdir, _ = finished(tmp_path_factory.mktemp("video"))
    pathlib.Path(workdir.model_file).write_bytes(b"weights")
    return os.fspath(workdir.path)


@pytest.fixture
def instant(monkeypatch):
    """Takes the model of the run for one that needs no time."""
    monkeypatch.setattr(sample.runs.FinishedRun, "model", lambda self: InstantSvg())


def names_of(paths):
    return [os.path.basename(path) for path in paths]


def num_frames_of(path):
    with Image.open(path) as film:
        return film.n_frames


def require_written(run, arguments, command):
    """Calls the command and looks at its files."""
    assert command(f"--workdir={run}", *arguments) == 0, command.error
    expected = [os.path.join(run, "samples", name) for name in NAMES]
    assert command.output.splitlines() == expected
    assert sorted(os.listdir(os.path.join(run, "samples"))) == sorted(NAMES)
    # As configured, but no longer than the videos are.
    assert num_frames_of(expected[0]) == LENGTH
    for path in expected[2:]:
        with Image.open(path) as picture:
            assert np.asarray(picture).std() > 0


def test_the_command_writes_films_and_strips(run, instant, monkeypatch, capsys):
    pytest.importorskip("av")
    require_written(run, ["--num_clips=2"], Command(monkeypatch, capsys, sample))


@pytest.mark.slow
def test_the_command_opens_a_model_that_was_saved(tmp_path, monkeypatch, capsys):
    pytest.importorskip("av")
    workdir, config = finished(tmp_path)
    build.model(config, FRAME).save(workdir.model_file)
    arguments = ["--num_clips=2", "--num_samples=1"]
    require_written(workdir.path, arguments, Command(monkeypatch, capsys, sample))


def test_the_same_seed_gives_the_same_bytes_of_a_film_longer_than_the_videos(
    run, tmp_path, instant
):
    # Longer than the videos are.
    given = {"num_clips": 1, "num_samples": 2, "num_frames": LENGTH + 4}
    first, again, other = (
        sample.sample(run, seed=seed, output=str(tmp_path / folder), **given)
        for folder, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    for path, same, different in zip(first, again, other, strict=True):
        if path.endswith(".mp4"):
            # FFmpeg's conversion of colors reads beyond a row: the last columns of the chroma
            # depend on what was in memory before. (Seen with sides that are no multiple of 32.)
            continue
        content = pathlib.Path(path).read_bytes()
        assert pathlib.Path(same).read_bytes() == content
        assert pathlib.Path(different).read_bytes() != content
    assert num_frames_of(first[0]) == LENGTH + 4


def test_the_temperature_is_that_of_the_samples(run, tmp_path, instant):
    given = {"num_clips": 1, "num_samples": 2, "num_frames": CONTEXT + 1}
    cold, warm = (
        sample.sample(run, output=str(tmp_path / f"{t:g}"), temperature=t, **given)
        for t in (0.0, 1.0)
    )
    assert num_frames_of(cold[0]) == CONTEXT + 1
    films = [pathlib.Path(paths[0]).read_bytes() for paths in (cold, warm)]
    assert films[0] != films[1]


def test_without_pyav_there_is_a_gif_and_a_hint(run, tmp_path, instant, monkeypatch, capsys):
    monkeypatch.setattr(animation, "has_mp4", lambda: False)
    paths = sample.sample(run, output=str(tmp_path), num_clips=1, num_samples=1)
    assert names_of(paths) == [name for name in NAMES if name != "rollouts.mp4"]
    assert capsys.readouterr().err == "no MP4: it needs PyAV, pip install tf-sigma-vae[video]\n"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_clips": 0}, "num_clips must be at least 1, got 0"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"num_frames": 1}, "num_frames must be at least 2"),
    ],
)
def test_impossible_numbers_are_refused_before_the_run_is_looked_at(given, message):
    with pytest.raises(ValueError, match=message):
        sample.sample("absent", **given)


def test_a_film_of_given_frames_alone_is_refused(run, tmp_path, instant):
    with pytest.raises(ValueError, match="num_frames is 2, with the 2 frames that are given"):
        sample.sample(run, output=str(tmp_path / "none"), num_frames=CONTEXT)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["num_clips", "num_frames"])
def test_what_only_videos_have_is_refused_of_images_by_name(name, tmp_path):
    workdir = Workdir(tmp_path / "images")
    workdir.prepare(Config(), data_dir=None)
    pathlib.Path(workdir.model_file).write_bytes(b"weights")
    with pytest.raises(ValueError, match=f"{name} is of models of videos; .* is of images"):
        sample.sample(workdir.path, **{name: 4})
