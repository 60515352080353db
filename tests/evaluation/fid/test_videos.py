import numpy as np
import pytest

from tests.evaluation import _video_runs as runs
from tests.evaluation._eagerly import eagerly
from tf_sigma_vae import image_grid
from tf_sigma_vae.evaluation import fid

NUM_VIDEOS = 3


def test_distances_are_between_true_frames_and_those_of_a_rollout():
    model, source = runs.shared_model(), runs.source(NUM_VIDEOS)

    def rollout_frames(draw="mean", **options):
        return np.concatenate(list(fid.rollout_frames(model, source, 5, 4, draw, 4, **options)))

    in_order = runs.clips(source)
    # The first clip of each of the three videos, then the second one of the first.
    x = in_order[[0, 2, 4, 1]]
    assert len(in_order) == 2 * NUM_VIDEOS
    true = np.concatenate(list(fid.future_frames(model, source, 5, 4)))
    expected = image_grid.to_uint8(x[:, runs.CONTEXT_FRAMES :]).reshape(12, *runs.FRAME_SHAPE)
    np.testing.assert_array_equal(true, expected)
    context = x[:, : runs.CONTEXT_FRAMES]
    params = model.rollout(context, 3, model.rollout_noise_ids(context, 1, seed=4)).numpy()
    mean = image_grid.to_uint8(1.0 / (1.0 + np.exp(-params[:, 0])))
    with eagerly():
        made, whole, noisy = rollout_frames(), rollout_frames(whole=True), rollout_frames("noisy")
    # Rounding to a level may go the other way.
    assert np.abs(made.astype(int) - mean.reshape(made.shape)).max() <= 1
    np.testing.assert_array_equal(whole[:, : runs.CONTEXT_FRAMES], image_grid.to_uint8(context))
    np.testing.assert_array_equal(whole[:, runs.CONTEXT_FRAMES :].reshape(made.shape), made)
    assert np.std(noisy.astype(float) - made) > 10.0


def test_an_unknown_draw_is_refused():
    with pytest.raises(ValueError, match="draw must be 'mean' or 'noisy', got 'median'"):
        fid.rollout_frames(runs.shared_model(), runs.source(2), 5, 4, "median")
