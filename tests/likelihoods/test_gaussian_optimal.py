import numpy as np
import pytest
import tensorflow as tf

from tests._models import images
from tf_sigma_vae import distributions, likelihoods
from tf_sigma_vae.likelihoods import NotCalibratedError

BATCH, DIMS = 3, 48
FLOAT32 = 2e-5
HALF_GREY_LEVEL = 1 / 510


def _params(seed=1, num=BATCH):
    return np.random.default_rng(seed).normal(size=(num, 4, 6, 2)).astype(np.float32)


def _mse(x, params, axis=None):
    return np.mean((x - 1.0 / (1.0 + np.exp(-params.astype(np.float64)))) ** 2, axis=axis)


def _train(likelihood, x, params):
    return likelihood.distribution(params, x, training=True)


@pytest.mark.parametrize(
    ("bound", "variance"),
    [
        ("none", lambda mse: mse),
        ("floor", lambda mse: mse + HALF_GREY_LEVEL**2),
        ("soft_clip", lambda mse: np.exp(2 * (-6 + np.logaddexp(0, 0.5 * np.log(mse) + 6)))),
    ],
)
def test_variance_equals_mean_squared_error_of_the_batch(bound, variance):
    x, params = images(BATCH), _params()
    likelihood = likelihoods.GaussianOptimal(bound=bound)
    stddev = _train(likelihood, x, params).stddev().numpy()
    expected = np.sqrt(variance(_mse(x, params)))
    np.testing.assert_allclose(stddev, np.full_like(stddev, expected), rtol=FLOAT32)


@pytest.mark.parametrize("bound", ["floor", "soft_clip"])
def test_perfect_reconstruction_keeps_the_scale_off_zero(bound):
    likelihood = likelihoods.GaussianOptimal(bound=bound, loc_activation="linear")
    x = images(BATCH)
    expected = {"floor": HALF_GREY_LEVEL, "soft_clip": np.exp(-6.0)}[bound]
    distribution = _train(likelihood, x, x)
    np.testing.assert_allclose(distribution.stddev(), np.full(x.shape, expected), rtol=1e-3)
    assert np.all(np.isfinite(distribution.log_prob(x).numpy()))


def test_mean_distortion_of_the_batch_is_the_optimal_one():
    x, params = images(BATCH), _params()
    distribution = _train(likelihoods.GaussianOptimal(bound="none"), x, params)
    distortion = -distribution.log_prob(x).numpy()
    expected = DIMS / 2 * (np.log(2 * np.pi * _mse(x, params)) + 1)
    assert distortion.mean() == pytest.approx(expected, rel=FLOAT32)


def test_gradient_is_that_of_the_stopped_scale_and_of_half_the_log_of_the_error():
    x, params = images(BATCH), tf.Variable(_params())
    optimal = likelihoods.GaussianOptimal(bound="none")
    fixed = likelihoods.GaussianFixed(scale=float(np.sqrt(_mse(x, params.numpy()))))
    with tf.GradientTape(persistent=True) as tape:
        analytic = tf.reduce_mean(-_train(optimal, x, params).log_prob(x))
        stopped = tf.reduce_mean(-fixed.distribution(params).log_prob(x))
        log_error = DIMS / 2 * tf.math.log(tf.reduce_mean((x - tf.sigmoid(params)) ** 2))
    gradient = tape.gradient(analytic, params).numpy()
    # Single precision; the gradients are of order 0.1.
    np.testing.assert_allclose(gradient, tape.gradient(stopped, params), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient, tape.gradient(log_error, params), rtol=1e-4, atol=1e-6)
    assert np.abs(gradient).max() > 0.05


def test_scale_is_stopped_where_the_floor_moves_it_off_its_optimum():
    # At the optimum a gradient through the scale would vanish and be missed.
    x, params = images(BATCH), tf.Variable(_params())
    optimal = likelihoods.GaussianOptimal(floor=0.5)
    fixed = likelihoods.GaussianFixed(scale=float(np.sqrt(_mse(x, params.numpy()) + 0.25)))
    with tf.GradientTape(persistent=True) as tape:
        analytic = tf.reduce_mean(-_train(optimal, x, params).log_prob(x))
        stopped = tf.reduce_mean(-fixed.distribution(params).log_prob(x))
    gradient = tape.gradient(analytic, params).numpy()
    np.testing.assert_allclose(gradient, tape.gradient(stopped, params), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("factor", [255.0, 0.01])
def test_data_times_a_factor_only_shifts_scale_and_likelihood(factor):
    def scored(unit):
        likelihood = likelihoods.GaussianOptimal(
            floor=HALF_GREY_LEVEL * unit, loc_activation="linear"
        )
        x, params = images(BATCH) * np.float32(unit), _params() * np.float32(unit)
        distribution = _train(likelihood, x, params)
        return -distribution.log_prob(x).numpy(), likelihood.log_scale(distribution).numpy()

    (nll, log_scale), (nll_times, log_scale_times) = scored(1.0), scored(factor)
    np.testing.assert_allclose(log_scale_times, log_scale + np.log(factor), rtol=1e-4)
    np.testing.assert_allclose(nll_times, nll + DIMS * np.log(factor), rtol=FLOAT32)


def test_moving_average_is_of_the_variance_with_a_uniform_start():
    likelihood = likelihoods.GaussianOptimal(momentum=0.75)
    expected, batches = 0.0, [(images(BATCH, seed=s), s * _params(seed=s)) for s in range(1, 9)]
    for step, (x, params) in enumerate(batches):
        _train(likelihood, x, params)
        keep = min(0.75, step / (step + 1))
        expected = keep * expected + (1 - keep) * _mse(x, params)
        if step == 2:
            uniform = np.mean([_mse(*batch) for batch in batches[:3]])
            assert float(likelihood.variance) == pytest.approx(uniform, rel=FLOAT32)
    assert float(likelihood.variance) == pytest.approx(expected, rel=FLOAT32)
    assert likelihood.provenance() == {"source": "moving_average", "num_updates": 8}


def test_zero_momentum_keeps_the_last_batch_only():
    likelihood = likelihoods.GaussianOptimal(momentum=0.0)
    for seed in (1, 2):
        _train(likelihood, images(BATCH), _params(seed))
    assert float(likelihood.variance) == pytest.approx(_mse(images(BATCH), _params(2)), rel=FLOAT32)


def test_evaluation_never_looks_at_the_evaluated_data():
    likelihood = likelihoods.GaussianOptimal()
    _train(likelihood, images(BATCH), _params())
    state = [w.numpy() for w in likelihood.weights]
    params = _params(2)
    plain = likelihood.distribution(params)
    stored = np.sqrt(_mse(images(BATCH), _params()) + HALF_GREY_LEVEL**2)
    np.testing.assert_allclose(plain.stddev(), np.full(params.shape, stored), rtol=FLOAT32)
    for x in (images(BATCH, seed=9), np.zeros((BATCH, 4, 6, 2)), np.full((1,), np.nan)):
        looked = likelihood.distribution(params, x, training=False)
        np.testing.assert_array_equal(looked.stddev(), plain.stddev())
    assert all(np.array_equal(a, w.numpy()) for a, w in zip(state, likelihood.weights, strict=True))


def test_calibration_is_the_float64_mean_over_all_examples():
    likelihood = likelihoods.GaussianOptimal()
    x, params = images(7), _params(num=7)
    statistics = likelihood.calibration_statistic(params, x).numpy()
    np.testing.assert_allclose(statistics, DIMS * _mse(x, params, axis=(1, 2, 3)), rtol=FLOAT32)
    # A million equal examples: a running sum in float32 would drift.
    many = np.full(1_000_000, 0.1, np.float32)
    likelihood.calibrate(many, 1, step=3)
    assert float(likelihood.variance) == pytest.approx(0.1, rel=1e-7)
    likelihood.calibrate(statistics, DIMS, step=11)
    assert float(likelihood.variance) == pytest.approx(_mse(x, params), rel=FLOAT32)
    assert likelihood.provenance() == {"source": "calibrate", "num_examples": 7, "step": 11}


def test_training_after_calibration_makes_the_calibrated_value_stale():
    likelihood = likelihoods.GaussianOptimal()
    likelihood.distribution(_params(), images(BATCH), training=True)
    likelihood.calibrate(np.ones(5), DIMS, step=1)
    _train(likelihood, images(BATCH), _params())
    assert likelihood.provenance() == {"source": "moving_average", "num_updates": 2}


def test_asking_for_a_scale_before_any_training_is_an_error():
    likelihood = likelihoods.GaussianOptimal()
    assert likelihood.needs_calibration
    assert likelihood.provenance() == {"source": "none"}
    with pytest.raises(NotCalibratedError, match="GaussianOptimal holds no scale yet.*calibrate"):
        likelihood.distribution(_params())
    with pytest.raises(NotCalibratedError):
        likelihood.distribution(_params(), images(BATCH), training=False)
    with pytest.raises(NotCalibratedError):
        likelihood.require_scale()


def test_training_without_the_data_is_an_error():
    with pytest.raises(ValueError, match="GaussianOptimal needs x in training; got x=None"):
        likelihoods.GaussianOptimal().distribution(_params(), training=True)


@pytest.mark.parametrize("statistics", [np.zeros(0), np.array([1.0, np.nan]), np.array([np.inf])])
def test_calibration_needs_finite_errors_of_some_examples(statistics):
    likelihood = likelihoods.GaussianOptimal()
    with pytest.raises(ValueError, match="at least one example, and finite squared errors"):
        likelihood.calibrate(statistics, DIMS, 0)
    assert likelihood.provenance() == {"source": "none"}


def test_plug_in_scale_is_that_of_the_evaluated_batch_and_changes_no_state():
    likelihood = likelihoods.GaussianOptimal(bound="none")
    _train(likelihood, images(BATCH), _params())
    state = [w.numpy() for w in likelihood.weights]
    x, params = images(BATCH, seed=4), _params(2)
    stddev = likelihood.plug_in_distribution(params, x).stddev()
    expected = np.full(x.shape, np.sqrt(_mse(x, params)))
    np.testing.assert_allclose(stddev, expected, rtol=FLOAT32)
    assert all(np.array_equal(a, w.numpy()) for a, w in zip(state, likelihood.weights, strict=True))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"average_over": "pixel"}, r"average_over must be one of \('batch', 'image'\)"),
        ({"bound": "hard"}, r"bound must be one of \('floor', 'soft_clip', 'none'\)"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
        ({"momentum": -0.1}, "momentum must lie in"),
        ({"floor": 0.0}, "floor must be a positive number"),
    ],
)
def test_impossible_option_is_rejected(option, message):
    with pytest.raises(ValueError, match=message):
        likelihoods.GaussianOptimal(**option)


def test_config_round_trip_keeps_every_option():
    options = {"average_over": "image", "bound": "none", "floor": 0.5, "momentum": 0.9}
    likelihood = likelihoods.GaussianOptimal(loc_activation="linear", **options)
    config = likelihoods.GaussianOptimal.from_config(likelihood.get_config()).get_config()
    assert {key: config[key] for key in options} == options
    assert config["loc_activation"] == "linear"


def test_average_over_image_is_the_per_image_variant():
    by_option = likelihoods.GaussianOptimal(average_over="image")
    by_name = likelihoods.GaussianOptimalPerImage()
    assert by_name.average_over == "image"
    x, params = images(BATCH), _params()
    for likelihood in (by_option, by_name):
        _train(likelihood, x, params)
        assert isinstance(likelihood.distribution(params), distributions.MarginalGaussian)
    np.testing.assert_array_equal(
        by_option.distribution(params).log_prob(x), by_name.distribution(params).log_prob(x)
    )
