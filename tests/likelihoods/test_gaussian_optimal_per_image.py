import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from tests._models import images
from tf_sigma_vae import distributions, likelihoods
from tf_sigma_vae.likelihoods import NotCalibratedError, _inverse_gamma

BATCH, DIMS = 3, 48
FLOAT32 = 5e-5
HALF_GREY_LEVEL = 1 / 510
TRUE_A, TRUE_B = 3.5, 0.04


def _params(seed=1, num=BATCH):
    scales = np.linspace(0.2, 3.0, num).reshape(-1, 1, 1, 1)
    return (scales * np.random.default_rng(seed).normal(size=(num, 4, 6, 2))).astype(np.float32)


def _mse(x, params):
    loc = 1.0 / (1.0 + np.exp(-params.astype(np.float64)))
    return np.mean((x - loc) ** 2, axis=(1, 2, 3))


def _simulated_errors(num, dims=DIMS, a=TRUE_A, b=TRUE_B):
    rng = np.random.default_rng(0)
    return b / rng.gamma(a, size=num) * rng.chisquare(dims, size=num)


def _mean_marginal_log_prob(errors, dims, a, b):
    gammas = scipy.special.gammaln(a + dims / 2) - scipy.special.gammaln(a)
    tail = a * np.log(b) - (a + dims / 2) * np.log(b + errors / 2)
    return np.mean(gammas + tail) - dims / 2 * np.log(2 * np.pi)


def test_training_scale_is_the_root_mean_squared_error_of_each_image():
    x, params = images(BATCH), _params()
    stddev = likelihoods.GaussianOptimalPerImage().distribution(params, x, True).stddev().numpy()
    expected = np.sqrt(_mse(x, params) + HALF_GREY_LEVEL**2)
    np.testing.assert_allclose(stddev[:, 0, 0, 0], expected, rtol=FLOAT32)
    assert np.all(stddev == stddev[:, :1, :1, :1])


def test_training_gradient_is_that_of_half_the_log_of_each_images_error():
    x, params = images(BATCH), tf.Variable(_params())
    likelihood = likelihoods.GaussianOptimalPerImage(bound="none")
    with tf.GradientTape(persistent=True) as tape:
        nll = tf.reduce_sum(-likelihood.distribution(params, x, True).log_prob(x))
        error = tf.reduce_mean((x - tf.sigmoid(params)) ** 2, axis=[1, 2, 3])
        log_error = tf.reduce_sum(DIMS / 2 * tf.math.log(error))
    gradient = tape.gradient(nll, params).numpy()
    np.testing.assert_allclose(gradient, tape.gradient(log_error, params), rtol=1e-4, atol=1e-6)


def test_evaluation_integrates_the_variance_out_and_never_looks_at_the_data():
    likelihood = likelihoods.GaussianOptimalPerImage()
    likelihood.distribution(_params(), images(BATCH), training=True)
    params = _params(2)
    plain = likelihood.distribution(params)
    assert isinstance(plain, distributions.MarginalGaussian)
    x = images(BATCH, seed=8)
    looked = likelihood.distribution(params, x)
    np.testing.assert_array_equal(looked.log_prob(x), plain.log_prob(x))
    # The density of an image depends on its own residuals alone.
    changed = x.copy()
    changed[0] = 0.0
    np.testing.assert_array_equal(looked.log_prob(changed)[1:], looked.log_prob(x)[1:])


def test_moving_moments_give_the_inverse_gamma_of_the_same_moments():
    likelihood = likelihoods.GaussianOptimalPerImage(bound="none", momentum=0.9)
    moments = []
    for seed in (1, 2, 3):
        x, params = images(BATCH, seed=seed), _params(seed)
        likelihood.distribution(params, x, training=True)
        moments.append([_mse(x, params).mean(), (_mse(x, params) ** 2).mean()])
    mean, mean_square = np.mean(moments, axis=0)
    distribution = likelihood.distribution(_params())
    a, b = float(distribution.concentration), float(distribution.scale)
    law = scipy.stats.invgamma(a, scale=b)
    assert law.mean() == pytest.approx(mean, rel=1e-4)
    assert law.var() == pytest.approx(mean_square - mean**2, rel=1e-3)


def test_calibration_recovers_the_inverse_gamma_of_simulated_residuals():
    likelihood = likelihoods.GaussianOptimalPerImage(bound="none")
    likelihood.calibrate(_simulated_errors(20_000), DIMS, step=4)
    distribution = likelihood.distribution(_params())
    # The standard error of a at this N is about 0.04, and that of b 1.2 %.
    assert float(distribution.concentration) == pytest.approx(TRUE_A, abs=5.5 * 0.04)
    assert float(distribution.scale) == pytest.approx(TRUE_B, rel=5.5 * 0.012)
    assert likelihood.provenance() == {"source": "calibrate", "num_examples": 20_000, "step": 4}


def test_calibration_counts_the_floor_in():
    likelihood = likelihoods.GaussianOptimalPerImage(floor=0.1)
    likelihood.calibrate(np.full(50, 1e-9), DIMS, step=0)
    stddev = likelihood.distribution(_params()).stddev().numpy()
    np.testing.assert_allclose(stddev, 0.1, rtol=1e-2)


@pytest.mark.parametrize(("dims", "a", "b"), [(4, 1.3, 1e-4), (48, 8.0, 700.0), (3072, 2.5, 0.02)])
def test_fit_is_a_maximum_of_the_likelihood_in_any_unit(dims, a, b):
    errors = _simulated_errors(3_000, dims, a, b)
    found_a, found_b = _inverse_gamma.fit(errors, dims)
    best = _mean_marginal_log_prob(errors, dims, found_a, found_b)
    assert best >= _mean_marginal_log_prob(errors, dims, a, b)
    for factor in (0.97, 1.03):
        assert best > _mean_marginal_log_prob(errors, dims, factor * found_a, found_b)
        assert best > _mean_marginal_log_prob(errors, dims, found_a, factor * found_b)


def test_fit_scales_with_the_unit_of_the_data():
    errors = _simulated_errors(500)
    a, b = _inverse_gamma.fit(errors, DIMS)
    scaled_a, scaled_b = _inverse_gamma.fit(255.0**2 * errors, DIMS)
    assert scaled_a == pytest.approx(a, rel=1e-6)
    assert scaled_b == pytest.approx(255.0**2 * b, rel=1e-6)


@pytest.mark.parametrize("num", [1, 40])
def test_equal_errors_give_a_finite_fit_with_their_variance(num):
    a, b = _inverse_gamma.fit(np.full(num, DIMS * 0.03), DIMS)
    assert np.isfinite(a) and np.isfinite(b) and a > 10
    assert b / (a - 1) == pytest.approx(0.03, rel=0.05)


def test_heavy_tailed_errors_keep_a_marginal_with_a_variance():
    errors = _simulated_errors(2_000, a=0.4, b=1e-3)
    a, b = _inverse_gamma.fit(errors, DIMS)
    assert a >= _inverse_gamma.MIN_CONCENTRATION - 1e-9 and b > 0


def test_moment_estimate_of_a_vanishing_spread_is_large_but_finite():
    a, b = _inverse_gamma.from_moments(tf.constant(0.02), tf.constant(0.0004))
    assert np.isfinite(float(a)) and float(a) > 1e4
    assert float(b / (a - 1)) == pytest.approx(0.02, rel=1e-4)


def test_retrained_model_goes_back_to_the_moving_moments():
    likelihood = likelihoods.GaussianOptimalPerImage()
    x, params = images(BATCH), _params()
    likelihood.distribution(params, x, training=True)
    before = likelihood.distribution(params).log_prob(x).numpy()
    likelihood.calibrate(100.0 * _simulated_errors(50), DIMS, step=1)
    calibrated = likelihood.distribution(params).log_prob(x).numpy()
    assert np.all(np.abs(calibrated - before) > 1.0)
    likelihood.distribution(params, x, training=True)
    assert likelihood.provenance()["source"] == "moving_average"


def test_per_image_plug_in_uses_the_error_of_each_image():
    likelihood = likelihoods.GaussianOptimalPerImage(bound="none")
    likelihood.distribution(_params(), images(BATCH), training=True)
    x, params = images(BATCH, seed=4), _params(2)
    log_prob = likelihood.plug_in_distribution(params, x).log_prob(x)
    expected = -DIMS / 2 * (np.log(2 * np.pi * _mse(x, params)) + 1)
    np.testing.assert_allclose(log_prob, expected, rtol=FLOAT32)


def test_asking_for_a_scale_before_any_training_is_an_error():
    with pytest.raises(NotCalibratedError, match="GaussianOptimalPerImage holds no scale yet"):
        likelihoods.GaussianOptimalPerImage().distribution(_params())


def test_config_round_trip_keeps_every_option():
    likelihood = likelihoods.GaussianOptimalPerImage(bound="none", floor=0.5, momentum=0.9)
    config = likelihoods.GaussianOptimalPerImage.from_config(likelihood.get_config()).get_config()
    assert (config["bound"], config["floor"], config["momentum"]) == ("none", 0.5, 0.9)
