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
    size = (BATCH, 4, 6, 8 * channels)
    return np.random.default_rng(seed).normal(scale=2.0, size=size).astype(np.float32)


def _bits(x):
    """Bits `[..., 8]` of images, the most significant first, by NumPy."""
    return np.unpackbits(np.round(255.0 * x).astype(np.uint8)[..., None], axis=-1)


def _log_prob(params, x):
    """Float64 log-probability of each image."""
    log_odds = params.reshape(*x.shape, 8).astype(np.float64)
    signed = np.where(_bits(x) == 1, log_odds, -log_odds)
    return scipy.special.log_expit(signed).sum(axis=(1, 2, 3, 4))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_log_prob_sums_over_the_eight_bits_of_every_channel(channels):
    likelihood = likelihoods.BitwiseCategorical()
    assert likelihood.params_channels(channels) == 8 * channels
    x, params = images(BATCH, (4, 6, channels)), _params(channels)
    distribution = likelihood.distribution(params)
    np.testing.assert_allclose(distribution.log_prob(x), _log_prob(params, x), rtol=FLOAT32)
    mass = likelihood.bin_log_mass(distribution, x)
    assert mass.dtype == tf.float64
    np.testing.assert_allclose(mass, _log_prob(params, x), rtol=FLOAT32)


def test_zero_logits_give_exactly_eight_bits_per_dim():
    likelihood = likelihoods.BitwiseCategorical()
    distribution = likelihood.distribution(np.zeros((BATCH, 4, 6, 16), np.float32))
    nll = -likelihood.bin_log_mass(distribution, images(BATCH))
    bits = objectives.bits_per_dim(nll, DIMS, likelihood.measure).numpy()
    np.testing.assert_allclose(bits, 8.0, rtol=1e-14)


@pytest.mark.parametrize("size", [40.0, 1e4])
def test_extreme_logits_have_a_finite_score_and_gradient(size):
    params = tf.Variable((size * np.sign(_params())).astype(np.float32))
    with tf.GradientTape() as tape:
        log_prob = likelihoods.BitwiseCategorical().distribution(params).log_prob(images(BATCH))
    np.testing.assert_allclose(log_prob, _log_prob(params.numpy(), images(BATCH)), rtol=FLOAT32)
    gradient = tape.gradient(log_prob, params).numpy()
    assert np.all(np.isfinite(gradient)) and np.any(gradient != 0.0)


def test_certain_bits_spell_the_mean_the_mode_and_the_samples():
    x = images(BATCH, seed=2)
    params = (60.0 * (2.0 * _bits(x) - 1.0)).reshape(BATCH, 4, 6, 16).astype(np.float32)
    distribution = likelihoods.BitwiseCategorical().distribution(params)
    np.testing.assert_allclose(distribution.mean(), x, rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(distribution.mode(), x)
    np.testing.assert_array_equal(distribution.sample(seed=[1, 2]), x)
    np.testing.assert_allclose(distribution.stddev(), 0.0, atol=1e-9)


def test_bfloat16_params_are_scored_in_float32():
    params = tf.cast(_params(), tf.bfloat16)
    log_prob = likelihoods.BitwiseCategorical().distribution(params).log_prob(images(BATCH))
    assert log_prob.dtype == tf.float32
    exact = _log_prob(tf.cast(params, tf.float32).numpy(), images(BATCH))
    np.testing.assert_allclose(log_prob, exact, rtol=FLOAT32)


def test_params_that_are_no_multiple_of_eight_are_rejected():
    for channels in (7, 12):
        with pytest.raises(ValueError, match=r"8 channels for each channel of the image, got"):
            likelihoods.BitwiseCategorical().distribution(np.zeros((BATCH, 4, 6, channels)))


def test_is_a_mass_on_grey_levels_without_a_scale():
    likelihood = likelihoods.BitwiseCategorical()
    assert likelihood.measure == "mass" and likelihood.value_range == (0.0, 1.0)
    distribution = likelihood.distribution(_params())
    assert not likelihood.has_scale and likelihood.log_scale(distribution) is None
    assert likelihood.provenance() == {"source": "network"}


def test_model_scores_its_own_params():
    model, x = set_weights(tiny_vae("bitwise_categorical", SHAPE)), images(BATCH)
    output = model(x)
    assert output.params.shape == (BATCH, 4, 6, 16)
    np.testing.assert_allclose(
        output.distortion, -_log_prob(output.params.numpy(), x), rtol=FLOAT32
    )
