import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from tests._models import images, set_weights, tiny_vae
from tf_sigma_vae import likelihoods, objectives

BATCH, SHAPE = 3, (4, 6, 2)
DIMS = 48
FLOAT32 = 2e-5


def _params(channels=2, seed=1):
    size = (BATCH, 4, 6, 256 * channels)
    return np.random.default_rng(seed).normal(scale=2.0, size=size).astype(np.float32)


def _log_prob(params, x, channels=2):
    """Float64 log-probability of each image, by a loop over channels."""
    levels = np.round(255.0 * x).astype(int)
    total = np.zeros(len(x))
    for channel in range(channels):
        logits = params[..., 256 * channel : 256 * (channel + 1)].astype(np.float64)
        log_masses = scipy.special.log_softmax(logits, axis=-1)
        found = np.take_along_axis(log_masses, levels[..., channel, None], axis=-1)
        total += found.sum(axis=(1, 2, 3))
    return total


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_log_prob_sums_the_log_softmax_of_256_neighboring_params_a_channel(channels):
    likelihood = likelihoods.Categorical()
    assert likelihood.params_channels(channels) == 256 * channels
    x, params = images(BATCH, (4, 6, channels)), _params(channels)
    distribution = likelihood.distribution(params)
    expected = _log_prob(params, x, channels)
    np.testing.assert_allclose(distribution.log_prob(x), expected, rtol=FLOAT32)
    mass = likelihood.bin_log_mass(distribution, x)
    assert mass.dtype == tf.float64
    np.testing.assert_allclose(mass, expected, rtol=FLOAT32)


def test_zero_logits_give_exactly_eight_bits_per_dim():
    likelihood = likelihoods.Categorical()
    distribution = likelihood.distribution(np.zeros((BATCH, 4, 6, 512), np.float32))
    nll = -likelihood.bin_log_mass(distribution, images(BATCH))
    bits = objectives.bits_per_dim(nll, DIMS, likelihood.measure).numpy()
    np.testing.assert_allclose(bits, 8.0, rtol=1e-14)


@pytest.mark.parametrize("size", [40.0, 1e4])
def test_extreme_logits_have_a_finite_score_and_gradient(size):
    signs = np.where(_params() > 0, 1.0, -1.0)
    params = tf.Variable((size * signs).astype(np.float32))
    with tf.GradientTape() as tape:
        log_prob = likelihoods.Categorical().distribution(params).log_prob(images(BATCH))
    np.testing.assert_allclose(log_prob, _log_prob(params.numpy(), images(BATCH)), rtol=FLOAT32)
    gradient = tape.gradient(log_prob, params).numpy()
    assert np.all(np.isfinite(gradient)) and np.any(gradient != 0.0)


def test_mean_mode_and_samples_are_images_of_the_same_channels():
    peak = np.random.default_rng(2).integers(0, 256, size=(BATCH, *SHAPE))
    logits = 60.0 * (peak[..., None] == np.arange(256))
    params = logits.reshape(BATCH, 4, 6, 512).astype(np.float32)
    distribution = likelihoods.Categorical().distribution(params)
    expected = (peak / 255).astype(np.float32)
    np.testing.assert_allclose(distribution.mean(), expected, rtol=1e-6)
    np.testing.assert_array_equal(distribution.mode(), expected)
    np.testing.assert_array_equal(distribution.sample(seed=[1, 2]), expected)
    np.testing.assert_allclose(distribution.stddev(), 0.0, atol=1e-6)


def test_bfloat16_params_are_scored_in_float32():
    params = tf.cast(_params(), tf.bfloat16)
    log_prob = likelihoods.Categorical().distribution(params).log_prob(images(BATCH))
    assert log_prob.dtype == tf.float32
    exact = _log_prob(tf.cast(params, tf.float32).numpy(), images(BATCH))
    np.testing.assert_allclose(log_prob, exact, rtol=FLOAT32)


@pytest.mark.parametrize("spec", [[None, 4, 6, 512], [None, None, None, 512]])
def test_unknown_sizes_keep_the_known_ones_and_the_values(spec):
    @tf.function(input_signature=[tf.TensorSpec(spec), tf.TensorSpec([*spec[:-1], 2])])
    def score(params, x):
        distribution = likelihoods.Categorical().distribution(params)
        assert distribution.event_shape.as_list() == [*spec[1:-1], 2]
        return distribution.log_prob(x), distribution.mean()

    log_prob, mean = score(_params(), images(BATCH))
    np.testing.assert_allclose(log_prob, _log_prob(_params(), images(BATCH)), rtol=FLOAT32)
    assert mean.shape == (BATCH, *SHAPE)


def test_params_that_are_no_multiple_of_256_are_rejected():
    with pytest.raises(ValueError, match=r"256 channels for each channel .*\(3, 4, 6, 511\)"):
        likelihoods.Categorical().distribution(np.zeros((BATCH, 4, 6, 511), np.float32))


def test_is_a_mass_on_grey_levels_without_a_scale():
    likelihood = likelihoods.Categorical()
    assert likelihood.measure == "mass" and likelihood.value_range == (0.0, 1.0)
    distribution = likelihood.distribution(_params())
    assert not likelihood.has_scale and likelihood.log_scale(distribution) is None
    assert likelihood.provenance() == {"source": "network"}


def test_model_scores_its_own_params_and_refuses_values_between_grey_levels():
    model, x = set_weights(tiny_vae("categorical", SHAPE)), images(BATCH)
    output = model(x)
    assert output.params.shape == (BATCH, 4, 6, 512)
    np.testing.assert_allclose(
        output.distortion, -_log_prob(output.params.numpy(), x), rtol=FLOAT32
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="must hold grey levels k / 255"):
        model(x * 0.999)
