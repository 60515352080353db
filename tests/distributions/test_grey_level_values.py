"""What the discrete distributions do with values that are no grey levels."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae import distributions

tfd = tfp.distributions

ZEROS = np.zeros([2, 3], np.float32)
MAKERS = {
    "categorical": lambda **kw: distributions.GreyLevelCategorical(np.zeros([2, 256]), **kw),
    "bits": lambda **kw: distributions.GreyLevelBits(np.zeros([2, 8]), **kw),
    "mixture": lambda **kw: distributions.DiscretizedLogisticMixture(
        ZEROS, ZEROS[:, None], ZEROS[:, None], **kw
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_they_are_refused_if_that_is_asked(name):
    distribution = MAKERS[name](validate_args=True)
    x = np.full([2, *distribution.event_shape], 7 / 255)
    assert np.all(np.isfinite(distribution.log_prob(x)))
    for value in (0.5, -1 / 255, 256 / 255, np.nan):
        x[1] = value
        with pytest.raises(tf.errors.InvalidArgumentError, match="values must be k / 255"):
            distribution.log_prob(x)


@pytest.mark.parametrize("name", MAKERS)
def test_they_are_scored_as_the_nearest_level_otherwise(name):
    distribution = MAKERS[name]()
    x = np.full([2, *distribution.event_shape], 99 / 255)
    np.testing.assert_array_equal(distribution.log_prob(x + 0.4 / 255), distribution.log_prob(x))


@pytest.mark.parametrize("name", MAKERS)
def test_their_bin_mass_is_their_probability_in_float64(name):
    distribution = MAKERS[name]()
    x = np.full([2, *distribution.event_shape], 99 / 255)
    mass = distribution.bin_log_mass(x)
    assert mass.dtype == tf.float64
    np.testing.assert_allclose(mass, distribution.log_prob(x), rtol=1e-6)
    whole = tfd.Independent(distribution, reinterpreted_batch_ndims=1)
    np.testing.assert_allclose(
        distributions.bin_log_mass(whole, x), np.sum(mass.numpy()), rtol=1e-12
    )


def test_the_first_draws_do_not_depend_on_how_many_there_are():
    """At this size TensorFlow's categorical sampler divides its rows among threads."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(64, 28, 28, 10)).astype(np.float32)
    loc = rng.uniform(size=(64, 28, 28, 1, 10)).astype(np.float32)

    def draw(number):
        log_scale = np.full_like(loc[:number], -5.0)
        mixture = distributions.DiscretizedLogisticMixture(logits[:number], loc[:number], log_scale)
        return mixture.sample(seed=[1, 2]).numpy()

    whole = draw(64)
    for number in (1, 17, 32):
        # A location in a batch of another size is rounded otherwise in its last bit, 1e-5 gray
        # levels: about as many draws end at another level. Of numbers that depend on the threads
        # nearly all differ.
        assert np.mean(draw(number) != whole[:number]) < 1e-3
