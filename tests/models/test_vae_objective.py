"""Loss and metrics of `vae` under Keras's fit, evaluate and predict."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, set_weights, tiny_vae, weights_of
from tf_sigma_vae import likelihoods, objectives

DIMS = 48
FLOAT32 = 2e-5

pytestmark = pytest.mark.usefixtures("untraced")


def _one_step(num=6, **kwargs):
    """Loss and terms of the first training step, at learning rate zero."""
    model, x = set_weights(tiny_vae(**kwargs)), images(num)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    output = model(x, training=True)
    logs = model.train_on_batch(x, return_dict=True)
    return logs, output, model


@pytest.fixture(scope="module")
def fitted():
    model = tiny_vae("gaussian_shared")
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    model.fit(images(8), batch_size=4, verbose=0)
    return model


def test_loss_is_the_mean_of_distortion_plus_beta_times_rate():
    logs, output, _ = _one_step(likelihood=likelihoods.GaussianFixed(scale=0.3), beta=2.5)
    expected = np.mean(output.distortion + 2.5 * output.rate)
    assert logs["loss"] == pytest.approx(expected, rel=FLOAT32)
    assert logs["rate"] == pytest.approx(np.mean(output.rate), rel=FLOAT32)
    assert logs["distortion"] == pytest.approx(np.mean(output.distortion), rel=FLOAT32)
    # The elbo is what it is, whatever beta.
    assert logs["elbo"] == pytest.approx(-np.mean(output.distortion + output.rate), rel=FLOAT32)
    assert logs["log_scale"] == pytest.approx(np.log(0.3), rel=FLOAT32)
    assert logs["beta_equivalent"] == pytest.approx(2 * 0.3**2 * 2.5, rel=1e-4)
    bits = objectives.bits_per_dim(-logs["elbo"], DIMS, "density")
    assert logs["bits_per_dim"] == pytest.approx(bits, rel=FLOAT32)


def test_gradient_is_that_of_the_sum_over_pixels_not_of_their_mean():
    """One step of plain gradient descent on the decoder's bias, in closed form."""
    model, x = set_weights(tiny_vae(likelihoods.GaussianFixed(scale=0.5))), images(6)
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    loc = model(x, training=True).likelihood.mean().numpy()
    bias = model.decoder.head.bias
    before = bias.numpy()
    model.train_on_batch(x)
    gradient = np.mean((loc - x) / 0.5**2 * loc * (1 - loc), axis=0).ravel()
    np.testing.assert_allclose(bias.numpy() - before, -1e-3 * gradient, rtol=1e-3, atol=1e-7)


def test_rate_warm_up_weighs_the_rate_linearly_from_zero_to_beta():
    model, x = set_weights(tiny_vae(beta=2.0, rate_warmup_steps=4)), images(6)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    for step in (0, 1, 4, 6):
        model.optimizer.iterations.assign(step)
        output = model(x, training=True)
        logs = model.train_on_batch(x, return_dict=True)
        weight = 2.0 * min(step / 4, 1.0)
        expected = np.mean(output.distortion + weight * output.rate)
        assert logs["loss"] == pytest.approx(expected, rel=FLOAT32)
        model.reset_metrics()


def test_free_bits_are_granted_in_the_loss_and_not_in_the_elbo():
    logs, output, _ = _one_step(free_bits=0.65)
    by_group = np.mean(output.rate_groups, axis=0)
    assert np.any(by_group < 0.65) and np.any(by_group > 0.65)
    charged = np.maximum(by_group, 0.65).sum()
    assert logs["loss"] == pytest.approx(np.mean(output.distortion) + charged, rel=FLOAT32)
    assert logs["rate"] == pytest.approx(by_group.sum(), rel=FLOAT32)
    assert logs["elbo"] == pytest.approx(-np.mean(output.distortion + output.rate), rel=FLOAT32)


def test_many_free_bits_stop_the_gradient_of_the_rate():
    model, x = set_weights(tiny_vae(free_bits=1e6)), images(4)
    model.compile("sgd")
    with tf.GradientTape() as tape:
        output = model(x, training=True)
        charged = tf.reduce_sum(model.objective_rate(output))
    assert float(charged) == pytest.approx(4 * 3e6)
    gradient = tape.gradient(charged, model.encoder.trainable_variables)
    assert all(g is None or not np.any(g) for g in gradient)


def test_evaluate_is_the_mean_over_examples_with_a_partial_last_batch(fitted):
    x = images(7, seed=3)
    logs = fitted.evaluate(x, batch_size=4, verbose=0, return_dict=True)
    output = fitted(x)
    assert logs["rate"] == pytest.approx(np.mean(output.rate), rel=FLOAT32)
    assert logs["distortion"] == pytest.approx(np.mean(output.distortion), rel=FLOAT32)
    assert logs["loss"] == pytest.approx(-logs["elbo"], rel=FLOAT32)


def test_evaluation_changes_no_weight():
    model = tiny_vae("gaussian_optimal")
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    model.train_on_batch(images(8))
    before = weights_of(model)
    model.evaluate(images(4, seed=3), verbose=0)
    model.predict(images(4, seed=3), verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights_of(model), strict=True))


def test_predict_returns_plain_arrays_equal_to_call(fitted):
    x = images(7, seed=3)
    predicted = fitted.predict(x, batch_size=4, verbose=0)
    output = fitted(x)
    expected = {
        "reconstruction": output.likelihood.mean(),
        "z": output.posterior.mean(),
        "rate": output.rate,
        "distortion": output.distortion,
        "elbo": -(output.distortion + output.rate),
    }
    assert set(predicted) == set(expected)
    for name, value in predicted.items():
        assert isinstance(value, np.ndarray)
        np.testing.assert_allclose(value, expected[name], rtol=FLOAT32, atol=1e-6)


def test_sample_weights_weigh_the_loss_by_example():
    weights = np.array([0.0, 2.0, 1.0, 0.5, 3.0, 0.0], np.float32)
    model, x = set_weights(tiny_vae()), images(6)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    output = model(x, training=True)
    terms = (output.distortion + output.rate).numpy()
    loss = model.train_on_batch(x, sample_weight=weights, return_dict=True)
    assert loss["loss"] == pytest.approx(np.sum(weights * terms) / 6, rel=FLOAT32)
    assert -loss["elbo"] == pytest.approx(np.average(terms, weights=weights), rel=FLOAT32)


def test_weight_zero_removes_an_example_from_the_gradient():
    updated = []
    for last in (0, 1):
        model, x = set_weights(tiny_vae()), images(6)
        x[-1] = float(last)
        model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
        model.train_on_batch(x, sample_weight=np.array([1, 1, 1, 1, 1, 0], np.float32))
        updated.append(weights_of(model))
    for first, second in zip(*updated, strict=True):
        np.testing.assert_allclose(first, second, rtol=FLOAT32, atol=1e-7)


def test_sample_weights_are_refused_with_an_analytic_scale():
    model = tiny_vae("gaussian_optimal")
    model.compile("sgd")
    with pytest.raises(ValueError, match="sample_weight is not supported by GaussianOptimal"):
        model.train_on_batch(images(4), sample_weight=np.ones(4))


def test_labels_are_ignored(fitted):
    x = images(6)
    labelled = fitted.evaluate(x, np.arange(6), verbose=0, return_dict=True)
    assert labelled == fitted.evaluate(x, verbose=0, return_dict=True)


def test_training_improves_the_elbo():
    model, x = tiny_vae("gaussian_shared"), images(16)
    model.compile(keras.optimizers.Adam(3e-2))
    before = model.evaluate(x, verbose=0, return_dict=True)["elbo"]
    model.fit(x, epochs=5, verbose=0)
    # Evaluations draw the same numbers. The scale alone, of 48 values, falls by up to 0.03 a step.
    after = model.evaluate(x, verbose=0, return_dict=True)["elbo"]
    assert after > before + 1.0


def test_validation_during_fit_uses_the_moving_average():
    model = tiny_vae("gaussian_optimal")
    model.compile(keras.optimizers.SGD(0.0))
    x = images(8)
    history = model.fit(x, validation_data=(images(3, seed=5),), batch_size=8, verbose=0).history
    assert history["val_log_scale"][0] == pytest.approx(history["log_scale"][0], rel=1e-4)
