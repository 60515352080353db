import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tests._models import images
from tf_sigma_vae import likelihoods
from tf_sigma_vae.likelihoods import _gaussian

tfd = tfp.distributions

BATCH, SHAPE = 3, (4, 6, 2)
FLOAT32 = 2e-5


def _params(channels=2, seed=1):
    return np.random.default_rng(seed).normal(size=(BATCH, 4, 6, channels)).astype(np.float32)


def _sigmoid(params):
    return 1.0 / (1.0 + np.exp(-params.astype(np.float64)))


def _gaussian_log_prob(x, loc, scale):
    return scipy.stats.norm.logpdf(x.astype(np.float64), loc, scale).sum(axis=(1, 2, 3))


def test_soft_clip_has_the_bias_that_the_method_states():
    # At -2.9 the lower clip at -6 inflates the scale by 4.5 %, at -4.17 by 16 %.
    far_above = 1e4
    for log_scale, bias in ((-2.9, 0.045), (-4.17, 0.16)):
        clipped = float(_gaussian.soft_clip(tf.constant(log_scale), -6.0, far_above))
        assert np.exp(clipped - log_scale) - 1 == pytest.approx(bias, abs=2e-3)


def test_soft_clip_stays_inside_its_bounds_and_has_a_gradient_everywhere():
    raw = tf.Variable(np.linspace(-12.0, 8.0, 41), dtype=tf.float32)
    with tf.GradientTape() as tape:
        clipped = _gaussian.soft_clip(raw, -6.0, 0.0)
    gradient = tape.gradient(clipped, raw).numpy()
    # The lower clip comes last and lifts the upper bound by softplus(6) - 6 = 0.0025.
    assert np.all(clipped.numpy() > -6.0) and np.all(clipped.numpy() < 0.003)
    assert np.all(np.diff(clipped.numpy()) > 0) and np.all(gradient > 0)
    assert float(_gaussian.soft_clip(tf.constant(-3.0), -6.0, 0.0)) == pytest.approx(-3.0, abs=0.01)


@pytest.mark.parametrize(
    ("likelihood", "scale"),
    [
        (likelihoods.GaussianFixed(), 1.0),
        (likelihoods.GaussianFixed(scale=0.3), 0.3),
        (likelihoods.Mse(), np.sqrt(48 / 2)),
        (likelihoods.GaussianShared(), 1.0),
        (likelihoods.GaussianShared(initial_scale=0.2), 0.2),
        (likelihoods.GaussianPerChannel(initial_scale=0.4), 0.4),
    ],
)
def test_log_prob_is_the_scipy_normal_summed_over_the_event(likelihood, scale):
    x, params = images(BATCH), _params()
    for training in (False, True):
        distribution = likelihood.distribution(params, x, training=training)
        assert isinstance(distribution, tfd.Distribution) and distribution.dtype == tf.float32
        expected = _gaussian_log_prob(x, _sigmoid(params), scale)
        np.testing.assert_allclose(distribution.log_prob(x), expected, rtol=FLOAT32)
        np.testing.assert_allclose(likelihood.log_scale(distribution), np.log(scale), atol=1e-5)


def test_linear_activation_leaves_the_mean_free_and_has_no_range():
    likelihood = likelihoods.GaussianFixed(loc_activation="linear")
    params = 30.0 * _params()
    np.testing.assert_array_equal(likelihood.distribution(params).mean(), params)
    assert likelihood.value_range is None
    assert likelihoods.GaussianFixed().value_range == (0.0, 1.0)


def test_mse_has_the_gradient_of_the_mean_squared_error_and_its_stated_constant():
    x, params = images(BATCH), tf.Variable(_params())
    num_dims = np.prod(SHAPE)
    with tf.GradientTape(persistent=True) as tape:
        nll = tf.reduce_sum(-likelihoods.Mse().distribution(params).log_prob(x))
        loc = tf.sigmoid(params)
        mean_squared_error = tf.reduce_sum(tf.reduce_mean((x - loc) ** 2, axis=[1, 2, 3]))
    np.testing.assert_allclose(
        tape.gradient(nll, params), tape.gradient(mean_squared_error, params), rtol=1e-4, atol=1e-8
    )
    constant = BATCH * num_dims / 2 * np.log(np.pi * num_dims)
    assert float(nll) == pytest.approx(float(mean_squared_error) + constant, rel=FLOAT32)


def test_half_the_squared_error_plus_a_constant_is_the_unit_gaussian():
    x, params = images(BATCH), _params()
    nll = -likelihoods.GaussianFixed().distribution(params).log_prob(x).numpy()
    error = np.sum((x - _sigmoid(params)) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(nll, error / 2 + 24 * np.log(2 * np.pi), rtol=FLOAT32)


@pytest.mark.parametrize(
    "likelihood",
    [
        likelihoods.GaussianFixed(scale=0.2),
        likelihoods.GaussianShared(initial_scale=0.3),
        likelihoods.GaussianPerChannel(initial_scale=0.3),
        likelihoods.GaussianPerPixel(),
        likelihoods.GaussianOptimal(),
        likelihoods.GaussianOptimalPerImage(),
    ],
)
def test_tiled_image_has_four_times_the_distortion(likelihood):
    x, params = images(BATCH), _params(likelihood.params_channels(2))
    tiled_x, tiled_params = np.tile(x, (1, 2, 2, 1)), np.tile(params, (1, 2, 2, 1))
    once = likelihood.distribution(params, x, training=True).log_prob(x).numpy()
    tiled = likelihood.distribution(tiled_params, tiled_x, training=True).log_prob(tiled_x).numpy()
    np.testing.assert_allclose(tiled, 4 * once, rtol=FLOAT32)


@pytest.mark.parametrize("name", ["GaussianFixed", "GaussianShared", "GaussianPerChannel"])
@pytest.mark.parametrize("factor", [255.0, 0.01])
def test_data_times_a_factor_only_shifts_scale_and_likelihood(name, factor):
    option = "scale" if name == "GaussianFixed" else "initial_scale"

    def scored(unit):
        likelihood = getattr(likelihoods, name)(**{option: 0.2 * unit, "loc_activation": "linear"})
        x = images(BATCH) * np.float32(unit)
        distribution = likelihood.distribution(_params() * np.float32(unit))
        return -distribution.log_prob(x).numpy(), likelihood.log_scale(distribution).numpy()

    (nll, log_scale), (nll_times, log_scale_times) = scored(1.0), scored(factor)
    np.testing.assert_allclose(log_scale_times, log_scale + np.log(factor), rtol=1e-5)
    # Hence bits/dim, which add D log(256 / range), stay what they are.
    np.testing.assert_allclose(nll_times, nll + 48 * np.log(factor), rtol=FLOAT32)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
@pytest.mark.parametrize(
    "name", ["GaussianFixed", "GaussianShared", "GaussianPerPixel", "GaussianOptimal"]
)
def test_low_precision_params_give_a_float32_distribution(name, dtype):
    likelihood = getattr(likelihoods, name)(dtype="mixed_bfloat16")
    x, params = images(BATCH), tf.cast(_params(likelihood.params_channels(2)), dtype)
    log_prob = likelihood.distribution(params, x, training=True).log_prob(x)
    exact = getattr(likelihoods, name)().distribution(tf.cast(params, tf.float32), x, training=True)
    assert log_prob.dtype == tf.float32
    assert all(weight.dtype in ("float32", "int64") for weight in likelihood.weights)
    np.testing.assert_allclose(log_prob, exact.log_prob(x), rtol=1e-6)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "0.1", None])
def test_scale_that_is_not_a_positive_number_is_rejected(value):
    with pytest.raises(ValueError, match="scale must be a positive number, got"):
        likelihoods.GaussianFixed(scale=value)


def test_unknown_activation_is_rejected():
    with pytest.raises(ValueError, match=r"one of \['linear', 'sigmoid'\], got 'tanh'"):
        likelihoods.GaussianShared(loc_activation="tanh")


def test_likelihood_without_analytic_scale_has_nothing_to_calibrate():
    likelihood = likelihoods.GaussianShared()
    assert not likelihood.needs_calibration
    likelihood.require_scale()
    with pytest.raises(TypeError, match="GaussianShared has no analytic scale"):
        likelihood.calibrate(np.ones(3), 4, 0)
    with pytest.raises(TypeError, match="GaussianShared has no analytic scale"):
        likelihood.calibration_statistic(_params(), images(BATCH))


def test_provenance_names_where_the_scale_comes_from():
    assert likelihoods.GaussianFixed(scale=0.5).provenance() == {"source": "constant", "scale": 0.5}
    assert likelihoods.Mse().provenance()["source"] == "constant"
    assert likelihoods.GaussianShared().provenance() == {"source": "weights"}
    assert likelihoods.GaussianPerPixel().provenance() == {"source": "network"}
    assert likelihoods.GaussianOptimal().measure == "density"
