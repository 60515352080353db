import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests._models import images
from tf_sigma_vae import likelihoods

BATCH = 3
FLOAT32 = 2e-5


def _softplus(value):
    return np.logaddexp(0.0, value)


def _params(seed=1, channels=2):
    size = (BATCH, 4, 6, 2 * channels)
    return np.random.default_rng(seed).normal(scale=2.0, size=size).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_first_half_of_the_channels_is_the_mean_and_the_second_the_log_scale(channels):
    likelihood = likelihoods.GaussianPerPixel()
    assert likelihood.params_channels(channels) == 2 * channels
    x, params = images(BATCH, (4, 6, channels)), _params(channels=channels)
    raw_loc, raw = params.astype(np.float64)[..., :channels], params[..., channels:]
    log_scale = -6.0 + _softplus(0.0 - _softplus(0.0 - raw.astype(np.float64)) + 6.0)
    distribution = likelihood.distribution(params)
    loc = 1.0 / (1.0 + np.exp(-raw_loc))
    np.testing.assert_allclose(distribution.mean(), loc, rtol=FLOAT32)
    expected = scipy.stats.norm.logpdf(x, loc, np.exp(log_scale)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(distribution.log_prob(x), expected, rtol=1e-4)
    mean_log_scale = log_scale.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(likelihood.log_scale(distribution), mean_log_scale, rtol=1e-4)


@pytest.mark.parametrize("raw", [-1e4, 1e4])
def test_scale_stays_inside_its_bounds_however_extreme_the_network(raw):
    likelihood = likelihoods.GaussianPerPixel(log_scale_min=-4.0, log_scale_max=1.0)
    params = np.full((BATCH, 4, 6, 2), raw, np.float32)
    log_scale = np.log(likelihood.distribution(params).stddev().numpy())
    # The lower clip comes last and lifts the upper bound by softplus(5) - 5 = 0.0067.
    bound = -4.0 if raw < 0 else 1.0 + _softplus(5.0) - 5.0
    np.testing.assert_allclose(log_scale, bound, atol=1e-4)


def test_exact_reconstruction_has_bounded_likelihood_and_finite_gradient():
    likelihood = likelihoods.GaussianPerPixel()
    x = np.full((BATCH, 4, 6, 1), 0.5, np.float32)
    params = tf.Variable(np.concatenate([np.zeros_like(x), np.full_like(x, -50.0)], axis=-1))
    with tf.GradientTape() as tape:
        log_prob = likelihood.distribution(params).log_prob(x)
    ceiling = 24 * (6.0 - 0.5 * np.log(2 * np.pi))
    assert np.all(log_prob.numpy() <= ceiling * (1 + 1e-6))
    assert np.all(np.isfinite(tape.gradient(log_prob, params).numpy()))


def test_gradient_in_log_scale_vanishes_where_the_squared_residual_is_the_variance():
    likelihood = likelihoods.GaussianPerPixel(log_scale_min=-30.0, log_scale_max=30.0)
    params = tf.Variable(_params(channels=1))
    deviation = likelihood.distribution(params)
    x = deviation.mean() + deviation.stddev()
    with tf.GradientTape() as tape:
        nll = -likelihood.distribution(params).log_prob(x)
    gradient = tape.gradient(nll, params).numpy()
    np.testing.assert_allclose(gradient[..., 1], 0.0, atol=1e-4)
    assert np.all(np.abs(gradient[..., 0]) > 1e-4)


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, -6.0), (-3.0, -3.0), (-np.inf, 0.0), (-6.0, np.nan)]
)
def test_bounds_out_of_order_are_rejected(low, high):
    with pytest.raises(ValueError, match="log_scale_min must be a number below log_scale_max"):
        likelihoods.GaussianPerPixel(log_scale_min=low, log_scale_max=high)


def test_config_round_trip_keeps_the_bounds():
    likelihood = likelihoods.GaussianPerPixel(-3.0, 2.0, loc_activation="linear")
    restored = likelihoods.GaussianPerPixel.from_config(likelihood.get_config())
    assert (restored.log_scale_min, restored.log_scale_max) == (-3.0, 2.0)
    assert restored.loc_activation == "linear"
