import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae.distributions import IndependentFrames

tfd = tfp.distributions
CLIPS, FRAMES, SIZE = 3, 4, 2
FLOAT32 = 1e-6


@pytest.fixture(scope="module")
def loc():
    return np.random.default_rng(0).normal(size=(CLIPS, FRAMES, SIZE)).astype(np.float32)


def of_clips(loc, num_frames=FRAMES):
    rows = tf.reshape(loc, [-1, SIZE])
    return IndependentFrames(tfd.Independent(tfd.Normal(rows, 0.5), 1), num_frames)


@pytest.fixture(scope="module")
def expected(loc):
    return tfd.Independent(tfd.Normal(loc, 0.5), 2)


def test_shapes_and_moments_are_those_of_clips(loc, expected):
    found = of_clips(loc)
    assert found.batch_shape == (CLIPS,) and found.event_shape == (FRAMES, SIZE)
    np.testing.assert_array_equal(found.batch_shape_tensor(), [CLIPS])
    np.testing.assert_array_equal(found.event_shape_tensor(), [FRAMES, SIZE])
    for name in ("mean", "mode", "variance", "stddev"):
        np.testing.assert_allclose(getattr(found, name)(), getattr(expected, name)(), rtol=FLOAT32)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_log_prob_is_summed_over_frames(loc, expected, shape):
    x = np.random.default_rng(1).normal(size=(*shape, *loc.shape)).astype(np.float32)
    found = of_clips(loc).log_prob(x)
    np.testing.assert_allclose(found, expected.log_prob(x), rtol=1e-5)


def test_samples_are_around_the_frames_that_they_are_of(loc):
    drawn = of_clips(loc).sample(4000, seed=[0, 1])
    assert drawn.shape == (4000, CLIPS, FRAMES, SIZE)
    # By 5.7 standard errors one of the 24 means is off in less than 1e-6 runs.
    np.testing.assert_allclose(tf.reduce_mean(drawn, axis=0), loc, atol=5.7 * 0.5 / np.sqrt(4000))
    assert of_clips(loc).sample(seed=[0, 1]).shape == loc.shape


def test_sizes_may_be_unknown_to_a_graph(loc, expected):
    @tf.function(input_signature=[tf.TensorSpec([None, None, SIZE])] * 2)
    def read(loc, x):
        found = of_clips(loc, tf.shape(loc)[1])
        return found.log_prob(x), found.mean(), found.sample(seed=[0, 1])

    log_prob, mean, drawn = read(loc, loc + 0.3)
    np.testing.assert_allclose(log_prob, expected.log_prob(loc + 0.3), rtol=1e-5)
    np.testing.assert_allclose(mean, loc, rtol=FLOAT32)
    eager = of_clips(loc).sample(seed=[0, 1])
    np.testing.assert_allclose(drawn, eager, rtol=FLOAT32, atol=5 * FLOAT32)
