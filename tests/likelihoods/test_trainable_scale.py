"""`gaussian_shared` and `gaussian_per_channel`: a scale that is a weight."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, tiny_vae
from tf_sigma_vae import likelihoods

BATCH, CHANNELS, DIMS = 3, 2, 48
FLOAT32 = 2e-5
HALF_GREY_LEVEL = 1 / 510


def _params(seed=1):
    return np.random.default_rng(seed).normal(size=(BATCH, 4, 6, CHANNELS)).astype(np.float32)


def _residuals(x, params):
    return x - 1.0 / (1.0 + np.exp(-params.astype(np.float64)))


def _gradient_in_log_scale(likelihood, x, params):
    with tf.GradientTape() as tape:
        nll = tf.reduce_mean(-likelihood.distribution(params, x, training=True).log_prob(x))
    return tape.gradient(nll, likelihood.trainable_variables[0]).numpy()


def test_gradient_in_log_scale_vanishes_at_the_mean_squared_error_and_only_there():
    x, params = images(BATCH), _params()
    mse = np.mean(_residuals(x, params) ** 2)
    for variance in (0.25 * mse, 0.9 * mse, mse, 1.1 * mse, 4.0 * mse):
        likelihood = likelihoods.GaussianShared(initial_scale=float(np.sqrt(variance)))
        gradient = _gradient_in_log_scale(likelihood, x, params)
        # d/d log s of e / (2 s^2) + D log s is D - e / s^2.
        assert gradient == pytest.approx(DIMS * (1 - mse / variance), rel=1e-3, abs=1e-3)


def test_each_channel_has_its_own_scale_and_optimum():
    x, params = images(BATCH), _params()
    # The channels differ in noise, so that one scale for both would show.
    params[..., 1] = np.log(np.clip(x[..., 1], 0.05, 0.95) / (1 - np.clip(x[..., 1], 0.05, 0.95)))
    mse = np.mean(_residuals(x, params) ** 2, axis=(0, 1, 2))
    likelihood = likelihoods.GaussianPerChannel()
    likelihood.distribution(params)
    assert likelihood.trainable_variables[0].shape == (CHANNELS,)
    likelihood.trainable_variables[0].assign(0.5 * np.log(mse))
    gradient = _gradient_in_log_scale(likelihood, x, params)
    np.testing.assert_allclose(gradient, [0.0, 0.0], atol=1e-3)
    stddev = likelihood.distribution(params).stddev().numpy()
    np.testing.assert_allclose(stddev, np.broadcast_to(np.sqrt(mse), stddev.shape), rtol=FLOAT32)
    assert mse[0] > 4 * mse[1]


def test_shared_scale_is_one_scalar_weight_that_starts_at_one():
    likelihood = likelihoods.GaussianShared()
    stddev = likelihood.distribution(_params()).stddev().numpy()
    assert [w.shape for w in likelihood.trainable_variables] == [()]
    np.testing.assert_array_equal(stddev, np.ones_like(stddev))


@pytest.mark.parametrize("multiplier", [1.0, 20.0])
def test_initial_scale_from_data_is_the_error_of_the_first_training_batch(multiplier):
    likelihood = likelihoods.GaussianShared(
        initial_scale="data", scale_learning_rate_multiplier=multiplier
    )
    x, params = images(BATCH), _params()
    expected = np.sqrt(np.mean(_residuals(x, params) ** 2) + HALF_GREY_LEVEL**2)

    def scale(training, x, params):
        return float(likelihood.distribution(params, x, training).stddev()[0, 0, 0, 0])

    assert scale(False, x, params) == 1.0
    assert scale(True, x, params) == pytest.approx(expected, rel=FLOAT32)
    # Neither a later training batch nor evaluation starts it anew.
    other = 3.0 * _params(seed=2)
    assert scale(True, images(BATCH, seed=5), other) == pytest.approx(expected, rel=FLOAT32)
    assert scale(False, images(BATCH, seed=5), other) == pytest.approx(expected, rel=FLOAT32)


def test_initial_scale_from_data_is_by_channel_where_the_scale_is():
    likelihood = likelihoods.GaussianPerChannel(initial_scale="data")
    x, params = images(BATCH), _params()
    params[..., 0] *= 8.0
    stddev = likelihood.distribution(params, x, training=True).stddev().numpy()
    mse = np.mean(_residuals(x, params) ** 2, axis=(0, 1, 2))
    expected = np.sqrt(mse + HALF_GREY_LEVEL**2)
    np.testing.assert_allclose(stddev[0, 0, 0], expected, rtol=FLOAT32)
    assert abs(np.diff(expected)[0]) > 0.01


def test_initial_scale_from_data_needs_the_data_in_training():
    likelihood = likelihoods.GaussianShared(initial_scale="data")
    with pytest.raises(ValueError, match="needs x in training; got x=None"):
        likelihood.distribution(_params(), training=True)


def test_initial_scale_from_data_leaves_the_first_loss_at_the_optimal_distortion():
    model = tiny_vae(likelihoods.GaussianShared(initial_scale="data"))
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    history = model.fit(images(8), batch_size=8, verbose=0)
    variance = np.exp(2 * history.history["log_scale"][0])
    expected = DIMS / 2 * (np.log(2 * np.pi * variance) + 1)
    # The variance includes half a grey level squared, which the residuals do not.
    assert history.history["distortion"][0] == pytest.approx(expected, rel=1e-3)


def test_learning_rate_multiplier_multiplies_the_step_of_adam():
    steps = {}
    for multiplier in (1.0, 10.0):
        likelihood = likelihoods.GaussianShared(
            initial_scale=0.5, scale_learning_rate_multiplier=multiplier
        )
        model = tiny_vae(likelihood)
        model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
        before = float(likelihood.current_log_scale())
        assert before == pytest.approx(np.log(0.5), rel=FLOAT32)
        model.fit(images(4), batch_size=4, verbose=0)
        steps[multiplier] = float(likelihood.current_log_scale()) - before
    # The first step of Adam is the learning rate, whatever the size of the gradient.
    assert abs(steps[1.0]) == pytest.approx(1e-3, rel=1e-2)
    assert steps[10.0] == pytest.approx(10 * steps[1.0], rel=1e-2)


@pytest.mark.parametrize("name", ["GaussianShared", "GaussianPerChannel"])
@pytest.mark.parametrize("initial_scale", ["Data", 0.0, -1, None])
def test_impossible_initial_scale_is_rejected(name, initial_scale):
    with pytest.raises(ValueError, match="initial_scale must be a positive number"):
        getattr(likelihoods, name)(initial_scale=initial_scale)


def test_impossible_multiplier_is_rejected():
    with pytest.raises(ValueError, match="scale_learning_rate_multiplier must be a positive"):
        likelihoods.GaussianShared(scale_learning_rate_multiplier=0.0)


@pytest.mark.parametrize("name", ["GaussianShared", "GaussianPerChannel"])
def test_config_round_trip_keeps_the_start_and_the_multiplier(name):
    options = {"initial_scale": "data", "scale_learning_rate_multiplier": 7.0}
    likelihood = getattr(likelihoods, name)(loc_activation="linear", **options)
    config = type(likelihood).from_config(likelihood.get_config()).get_config()
    assert {key: config[key] for key in options} == options
    assert config["loc_activation"] == "linear"
