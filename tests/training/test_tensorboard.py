import keras
import pytest
import tensorflow as tf

from tests._videos import CONTEXT, FRAME, LENGTH, InstantSvg, videos
from tests.training._runs import Killed, killed, metric_lines, tiny_config, train
from tf_sigma_vae.training import callbacks, metrics_log

FLOAT32 = 1e-6
"""Relative; event files hold float32."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two epochs with event files, and what these hold."""
    folder = tmp_path_factory.mktemp("run")
    config = tiny_config(
        likelihood="gaussian_optimal",
        tensorboard=True,
        dataset_options={"num_train": 40, "num_test": 8, "image_size": 4},
    )
    train(config, folder)
    return folder, events_of(folder / "tensorboard")


def events_of(folder):
    """All that the event files of a folder hold."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    everything = {"tensors": 0, "images": 0, "scalars": 0}
    events = event_accumulator.EventAccumulator(str(folder), everything)
    events.Reload()
    return events


def scalars(events, tag):
    """Steps and values of a series."""
    return {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)}


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_scalars_are_the_lines_of_the_metrics(run, split):
    folder, events = run
    lines = metric_lines(folder, split)
    names = [name for name in lines[0] if name not in ("step", "split")]
    assert {"elbo", "rate", "distortion", "log_scale", "beta_equivalent"} <= set(names)
    for name in names:
        expected = {line["step"]: line[name] for line in lines}
        assert scalars(events, f"{split}/{name}") == pytest.approx(expected, rel=FLOAT32)


@pytest.mark.parametrize("tag", ["reconstructions", "prior_mean"])
def test_there_is_a_picture_after_every_epoch(run, tag):
    _, events = run
    series = events.Tensors(tag)
    assert [event.step for event in series] == [1, 2]
    for event in series:
        width, height, png = tf.make_ndarray(event.tensor_proto)[:3]
        picture = tf.io.decode_png(png)
        assert picture.shape[:2] == (int(height), int(width))
        assert tf.reduce_max(picture) > tf.reduce_min(picture)


def test_of_videos_there_is_a_strip_with_three_rows_a_clip(tmp_path):
    pictures = callbacks.Pictures(str(tmp_path), videos(9), seed=0)
    pictures.set_model(InstantSvg())
    pictures.on_epoch_end(2)
    events = events_of(tmp_path)
    (event,) = events.Tensors("rollouts")
    assert event.step == 3
    picture = tf.io.decode_png(tf.make_ndarray(event.tensor_proto)[2]).numpy()
    height, width, channels = FRAME
    assert picture.shape == (
        3 * callbacks.CLIPS * (height + 1) - 1,
        (LENGTH - CONTEXT) * (width + 1) - 1,
        channels,
    )
    assert (picture[:height, :width] == videos(9)[0, CONTEXT]).all()


def test_without_tensorboard_a_run_says_so_and_goes_on_to_train(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(metrics_log, "has_tensorboard", lambda: False)
    config = tiny_config(
        likelihood="gaussian_fixed", tensorboard=True, num_train_steps=1, validation_fraction=0.0
    )
    with killed(monkeypatch, keras.Model, "fit"), pytest.raises(Killed):
        train(config, tmp_path)
    assert "TensorBoard is not installed: no event files" in capsys.readouterr().out
    assert not (tmp_path / "tensorboard").exists()
