import numpy as np
import pytest
import tensorflow as tf

from tests._videos import CONTEXT, FRAME, LENGTH, tiny_svg, videos
from tf_sigma_vae import image_grid, video_frames

HORIZON = LENGTH - CONTEXT
ONE_LEVEL = 1
"""Gray levels: frames in batches of other sizes, or by other kernels, are rounded otherwise."""


# What they compute is tried, not its graph.
pytestmark = pytest.mark.usefixtures("untraced")


@pytest.fixture(scope="module")
def untraced():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def model():
    return tiny_svg()


@pytest.fixture(scope="module")
def clips():
    return videos(3)


def ids_of(model, clips, num_samples, seed=0):
    x = video_frames.unit_interval(clips[:, :CONTEXT])
    return np.asarray(model.rollout_noise_ids(x, num_samples, seed))


def assert_same_frames(found, expected):
    assert found.dtype == expected.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=ONE_LEVEL)


def test_reconstructions_stand_below_the_true_frames_after_the_context(model, clips):
    found = video_frames.reconstructions(model, clips, seed=1)
    assert found.shape == (3, 3, HORIZON, *FRAME)
    np.testing.assert_array_equal(found[0], clips[:, CONTEXT:])
    output = model(video_frames.unit_interval(clips), training=False)
    assert_same_frames(found[1], image_grid.to_uint8(output.likelihood.mean()))
    again, other = (video_frames.reconstructions(model, clips, seed)[2] for seed in (1, 2))
    np.testing.assert_array_equal(found[2], again)
    assert np.mean(found[2] != other) > 0.5


def test_rollouts_are_means_of_what_the_model_rolls_out(model, clips):
    ids = ids_of(model, clips, 2)
    found = video_frames.rollouts(model, clips[:, :CONTEXT], HORIZON, ids)
    assert found.shape == (3, 2, HORIZON, *FRAME)
    params = model.rollout(video_frames.unit_interval(clips[:, :CONTEXT]), HORIZON, ids)
    params = np.asarray(params).reshape(-1, *params.shape[-3:])
    means = image_grid.to_uint8(model.frame_distribution(params).mean())
    assert_same_frames(found, means.reshape(found.shape))
    assert np.any(found[:, 0] != found[:, 1])


def test_rollouts_in_parts_are_those_at_once(model, clips, monkeypatch):
    ids = ids_of(model, clips, 2)
    whole = video_frames.rollouts(model, clips[:, :CONTEXT], HORIZON, ids)
    monkeypatch.setattr(video_frames, "_VALUES_AT_ONCE", 4 * HORIZON * np.prod(FRAME))
    assert_same_frames(video_frames.rollouts(model, clips[:, :CONTEXT], HORIZON, ids), whole)


def test_the_mean_rollout_is_that_without_temperature(model, clips):
    found = video_frames.mean_rollouts(model, clips[:, :CONTEXT], HORIZON)
    for seed in (0, 7):
        ids = ids_of(model, clips, 1, seed)
        cold = video_frames.rollouts(model, clips[:, :CONTEXT], HORIZON, ids, temperature=0.0)
        assert_same_frames(found, cold[:, 0])


def test_the_posterior_is_fed_with_frames_of_its_own(model, clips):
    found = video_frames.posterior_rollouts(model, clips)
    assert found.shape == (3, HORIZON, *FRAME)
    x = video_frames.unit_interval(clips)
    output = model(x, training=False)
    one_step = image_grid.to_uint8(output.likelihood.mean())
    # The first frame after the context has true ones before it either way; the others have not.
    assert_same_frames(found[:, 0], one_step[:, 0])
    assert np.any(np.abs(found[:, 1:].astype(int) - one_step[:, 1:]) > ONE_LEVEL)
    params = model.rollout(
        x[:, :CONTEXT], HORIZON, ids_of(model, clips, 1), latents=output.z[:, np.newaxis]
    )
    means = model.frame_distribution(np.asarray(params).reshape(-1, *params.shape[-3:])).mean()
    assert_same_frames(found, image_grid.to_uint8(means).reshape(found.shape))


def test_a_strip_has_three_rows_a_clip_and_a_column_a_step(model, clips):
    found = video_frames.strip(model, clips)
    height, width, channels = FRAME
    assert found.shape == (9 * (height + 1) - 1, HORIZON * (width + 1) - 1, channels)
    for clip in range(3):
        top = 3 * clip * (height + 1)
        row = found[top : top + height]
        for step in range(HORIZON):
            left = step * (width + 1)
            frame = clips[clip, CONTEXT + step]
            np.testing.assert_array_equal(row[:, left : left + width], frame)
