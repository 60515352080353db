"""Training on clips: what a run leaves, how it is resumed, and what its scale is of."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import tf_sigma_vae as sv
from tests.training._runs import (
    Killed,
    Restarts,
    differences,
    killed,
    metric_lines,
    tiny_config,
    train,
)
from tests.training._video_runs import (
    CONTEXT,
    NUM_FRAMES,
    STEPS_PER_EPOCH,
    TRAIN_FRAMES,
    tiny_video_config,
    write_videos,
)
from tf_sigma_vae import build, training
from tf_sigma_vae.training import batches
from tf_sigma_vae.training.callbacks import WriteCheckpoints
from tf_sigma_vae.training.metrics_log import MetricsLog
from tf_sigma_vae.workdir import Workdir, WorkdirError

FLOAT32 = 2e-5
"""Relative; sums of float32 over some thousand elements, in batches of another size."""
IN_PARTS = 1e-5
"""The same, of updates by steepest descent, relative to a weight's largest one."""
PREDICTED = TRAIN_FRAMES - CONTEXT
MOMENTS = [
    (WriteCheckpoints, "on_train_batch_end", "after", 1),
    (MetricsLog, "on_epoch_end", "before", STEPS_PER_EPOCH),
    (WriteCheckpoints, "on_train_batch_end", "before", 3),
    (sv.models.SequenceVAE, "calibrate", "after", None),
]


@pytest.fixture(scope="module")
def restarts():
    """All runs of this module have the same model, which is built once."""
    with pytest.MonkeyPatch.context() as patch:
        yield Restarts(eager=True).install(patch)


@pytest.fixture(scope="module")
def run(restarts, tmp_path_factory):
    """A run with all that goes over the weights, and its folder."""
    folder = tmp_path_factory.mktemp("run")
    config = tiny_video_config(
        write_videos(tmp_path_factory.mktemp("data")),
        likelihood="gaussian_optimal",
        ema_momentum=0.5,
        select="best",
        flip=True,
        tensorboard=True,
    )
    train(config, folder)
    assert restarts.has_changed_every_network_weight()
    return config, folder


@pytest.fixture(scope="module")
def loaded(run):
    return sv.load(run[1])


def windows(videos):
    """Clips that follow one another, by hand: float32 `[N, TRAIN_FRAMES, H, W, C]`."""
    everything = videos.clips(np.arange(len(videos)), np.zeros(len(videos), int), NUM_FRAMES)
    starts = range(0, NUM_FRAMES - TRAIN_FRAMES + 1, TRAIN_FRAMES)
    found = [each[start : start + TRAIN_FRAMES] for each in everything for start in starts]
    return np.float32(found) / np.float32(255)


def test_a_run_leaves_what_runs_leave(run, loaded):
    config, folder = run
    assert {"config.json", "metrics.jsonl", "checkpoints", "model.keras", "tensorboard"} == {
        path.name for path in folder.iterdir()
    }
    assert Workdir(folder).read_config()[0] == config
    assert type(loaded) is sv.models.SequenceVAE
    assert loaded.image_shape == (16, 16, 1)
    for line in metric_lines(folder):
        assert np.all(np.isfinite([v for k, v in line.items() if k != "split"])), line


@pytest.mark.parametrize("split", ["train", "validation"])
def test_metrics_are_noted_by_clip_and_by_predicted_frame(run, split):
    lines = metric_lines(run[1], split)
    assert [line["step"] for line in lines] == ([1, 2, 3, 4] if split == "train" else [2, 4])
    for line in lines:
        assert line["elbo_per_frame"] == pytest.approx(line["elbo"] / PREDICTED, rel=FLOAT32)
        assert line["elbo"] == pytest.approx(-line["distortion"] - line["rate"], rel=FLOAT32)
        dims = PREDICTED * 16 * 16
        # A density in [0, 1], said in bits of grey levels.
        bits = -line["elbo"] / (dims * np.log(2)) + 8
        assert line["bits_per_dim"] == pytest.approx(bits, rel=FLOAT32)


def test_the_model_is_the_average_that_was_best_in_validation(run, loaded):
    config, folder = run
    lines = metric_lines(folder, "validation")
    best = max(lines, key=lambda line: line["elbo"])
    held_out = windows(build.load_splits(config).validation)
    assert len(held_out) == 4
    # The rate knows nothing of the scale, which is another one since.
    assert np.mean(loaded(held_out).rate) == pytest.approx(best["rate"], rel=FLOAT32)
    others = [line["rate"] for line in lines if line is not best]
    assert best["rate"] != pytest.approx(others[0], rel=10 * FLOAT32)


def test_the_scale_is_that_of_all_training_windows(run, loaded):
    config, _ = run
    x = windows(build.load_splits(config).train)
    assert len(x) == 16
    mean = np.float64(loaded(x).likelihood.mean())
    error = np.mean((mean - np.float64(x[:, CONTEXT:])) ** 2)
    assert float(loaded.likelihood.variance) == pytest.approx(error, rel=FLOAT32)
    step = int(loaded.optimizer.iterations)
    wanted = {"source": "calibrate", "num_examples": len(x), "step": step}
    assert loaded.likelihood.provenance() == wanted


def test_pictures_of_rollouts_are_written_after_each_epoch(run):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    folder = str(run[1] / "tensorboard")
    events = event_accumulator.EventAccumulator(folder, {"tensors": 0})
    events.Reload()
    series = events.Tensors("rollouts")
    assert [event.step for event in series] == [1, 2]
    for event in series:
        picture = tf.io.decode_png(tf.make_ndarray(event.tensor_proto)[2])
        assert tf.reduce_max(picture) > tf.reduce_min(picture)


def test_clips_of_a_picture_are_no_longer_than_the_videos(run):
    source = build.load_splits(run[0]).test
    for train_frames, length in ((TRAIN_FRAMES, TRAIN_FRAMES), (NUM_FRAMES + 3, NUM_FRAMES)):
        config = dataclasses.replace(run[0], train_frames=train_frames)
        shown = batches.first(config, source, 1)
        everything = source.clips(np.zeros(1, int), np.zeros(1, int), NUM_FRAMES)
        np.testing.assert_array_equal(shown, everything[:, :length])


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_like_one_that_was_not(
    run, restarts, tmp_path, monkeypatch
):
    config, whole = run
    for moment in MOMENTS:
        with killed(monkeypatch, *moment), pytest.raises(Killed):
            train(config, tmp_path)
        assert not (tmp_path / "model.keras").exists()
    train(config, tmp_path)
    assert differences(whole, tmp_path) == []


def test_the_workdir_of_a_run_on_images_is_left_alone(run, tmp_path):
    Workdir(tmp_path).prepare(tiny_config(), None)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(WorkdirError, match="dataset: 'synthetic' there, 'video_npz' now"):
        train(run[0], tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before


def test_what_cannot_be_trained_leaves_no_workdir(run, tmp_path):
    path = run[0].dataset_options["path"]
    for changes, message in [
        ({"train_frames": 2}, "train_frames must be above the 2 context_frames"),
        ({"train_frames": NUM_FRAMES + 1}, "a clip of 10 frames was asked for, but the videos"),
        ({"validation_fraction": 0.01}, "keeps 0 of 10"),
    ]:
        with pytest.raises(ValueError, match=message):
            train(tiny_video_config(path, **changes), tmp_path / "run")
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["gaussian_optimal", "categorical"])
def test_a_step_in_parts_is_that_of_the_whole_batch(likelihood, tmp_path):
    path, found = write_videos(tmp_path), []
    for num_parts in (1, 3):
        config = tiny_video_config(
            path, likelihood=likelihood, optimizer="sgd", gradient_accumulation_steps=num_parts
        )
        splits = build.load_splits(config)
        model = training.compiled_model(config, build.image_shape(splits), num_steps=2)
        start = [weight.numpy() for weight in model.weights]
        one_device = tf.distribute.get_strategy()
        clips = batches.training(one_device, config, splits.train, 0, num_steps=2)
        history = model.fit(clips, shuffle=False, verbose=0).history
        found.append((history, [w.numpy() for w in model.weights]))
    (history, weights), (in_parts, weights_in_parts) = found
    assert history.keys() == in_parts.keys()
    for name, values in history.items():
        assert in_parts[name] == pytest.approx(values, rel=FLOAT32), name
    for weight, one, other, initial in zip(
        model.weights, weights, weights_in_parts, start, strict=True
    ):
        largest = np.max(np.abs(one - initial))
        tolerance = IN_PARTS * largest + 1e-7 * np.max(np.abs(one))
        np.testing.assert_allclose(other, one, rtol=0, atol=tolerance, err_msg=weight.path)
        assert largest > 0 or not weight.trainable, weight.path
