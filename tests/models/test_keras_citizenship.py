"""What Keras's users take for granted: callbacks, regularizers, weights, directions, datasets."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, tiny_vae
from tf_sigma_vae import models

SHAPE = (4, 6, 3)
FLOAT32 = 1e-5
"""Relative; losses are sums of 72 numbers."""


class Set(keras.callbacks.Callback):
    """Sets an attribute of the model after the first epoch."""

    def __init__(self, name, value):
        super().__init__()
        self.name, self.value = name, value

    def on_epoch_end(self, epoch, logs=None):
        setattr(self.model, self.name, self.value)


def frozen(**options):
    """A model that does not learn, whose loss is thus that of each epoch's weights."""
    model = tiny_vae("gaussian_shared", image_shape=SHAPE, **options)
    model.compile(keras.optimizers.SGD(0.0))
    return model


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_beta_set_by_a_callback_acts_at_the_next_step(jit_compile):
    model = frozen(beta=1.0)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=jit_compile)
    found = model.fit(images(6, SHAPE), batch_size=6, epochs=2, callbacks=[Set("beta", 3.0)])
    for epoch, beta in enumerate((1.0, 3.0)):
        loss, distortion, rate = (found.history[n][epoch] for n in ("loss", "distortion", "rate"))
        assert loss == pytest.approx(distortion + beta * rate, rel=FLOAT32)
        scale = np.exp(found.history["log_scale"][epoch])
        assert found.history["beta_equivalent"][epoch] == pytest.approx(2 * scale**2 * beta)


@pytest.mark.parametrize(("before", "after"), [(0.0, 50.0), (50.0, 20.0), (50.0, 0.0)])
def test_free_bits_set_by_a_callback_act_at_the_next_step(before, after):
    model = frozen(free_bits=before, latent_size=2)
    # Far above the rates of the two groups, or none.
    found = model.fit(images(6, SHAPE), batch_size=6, epochs=2, callbacks=[Set("free_bits", after)])
    for epoch, bits in enumerate((before, after)):
        loss, distortion, rate = (found.history[n][epoch] for n in ("loss", "distortion", "rate"))
        charged = 2 * bits if bits else rate
        assert loss == pytest.approx(distortion + charged, rel=FLOAT32)


def test_what_was_set_is_saved_and_read_back(tmp_path):
    model = frozen()
    model.beta, model.free_bits = 0.1, 0.7
    model.save(tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras")
    assert (loaded.beta, loaded.free_bits) == (0.1, 0.7)
    with pytest.raises(ValueError, match="beta must not be negative, got -1"):
        model.beta = -1.0
    assert model.beta == 0.1


def test_free_bits_beside_an_optimizer_that_accumulates_are_refused():
    model = tiny_vae("gaussian_shared", image_shape=SHAPE)
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    with pytest.raises(ValueError, match="fraction of the batch"):
        model.free_bits = 1.0
    assert model.free_bits == 0.0 and not model.grants_free_bits


def regularized(factor, **options):
    """A model of networks of one's own, the encoder with an L2 penalty."""
    encoder = keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(factor)),
        ]
    )
    decoder = keras.Sequential([keras.layers.Dense(72), keras.layers.Reshape(SHAPE)])
    return models.VAE(SHAPE, 2, "gaussian_shared", network=(encoder, decoder), **options)


@pytest.mark.parametrize("parts", [1, 3])
def test_a_regularizer_of_a_custom_network_is_counted_and_reported(parts):
    model = regularized(100.0, gradient_accumulation_steps=parts)
    model.compile(keras.optimizers.SGD(0.0))
    penalty = 100.0 * np.sum(model.encoder.layers[1].kernel.numpy() ** 2)
    found = model.fit(images(6, SHAPE), batch_size=6, verbose=0).history
    assert penalty > 1.0
    assert found["regularization"] == pytest.approx([penalty], rel=FLOAT32)
    expected = found["distortion"][0] + found["rate"][0] + penalty
    assert found["loss"] == pytest.approx([expected], rel=FLOAT32)
    assert "regularization" in model.evaluate(images(6, SHAPE), verbose=0, return_dict=True)


def test_the_gradient_is_also_that_of_the_regularizer():
    plain, penalized = regularized(0.0), regularized(100.0)
    penalized.set_weights(plain.get_weights())
    for model in (plain, penalized):
        model.compile(keras.optimizers.SGD(1e-4))
        kernel = model.encoder.layers[1].kernel
        before = kernel.numpy()
        model.fit(images(6, SHAPE), batch_size=6, verbose=0)
        model.moved = kernel.numpy() - before
    # The gradient of 100 |w|^2 is 200 w.
    np.testing.assert_allclose(penalized.moved - plain.moved, -2e-2 * before, rtol=1e-2, atol=1e-6)


def test_weights_without_targets_weigh_the_images():
    model, x = frozen(), images(6, SHAPE)
    weights = np.array([1.0, 0.0, 2.0, 0.0, 0.0, 3.0], np.float32)
    output = model(x)
    each = (output.distortion + output.rate).numpy()
    found = model.evaluate(x, sample_weight=weights, batch_size=6, verbose=0, return_dict=True)
    assert found["elbo"] == pytest.approx(-np.sum(weights * each) / weights.sum(), rel=FLOAT32)
    trained = model.fit(x, sample_weight=weights, batch_size=6, verbose=0).history
    noisy = model.fit(x, batch_size=6, verbose=0).history
    assert trained["loss"] != noisy["loss"]


def test_weights_with_an_analytic_scale_are_refused():
    model = tiny_vae("gaussian_optimal", image_shape=SHAPE)
    model.compile("sgd")
    with pytest.raises(ValueError, match="sample_weight is not supported by GaussianOptimal"):
        model.fit(images(4, SHAPE), sample_weight=np.ones(4), verbose=0)


@pytest.mark.parametrize(("metric", "better"), [("elbo", 1.0), ("bits_per_dim", -1.0)])
def test_early_stopping_knows_which_way_is_better(metric, better):
    model, x = frozen(), images(4, SHAPE)
    stopping = keras.callbacks.EarlyStopping(f"val_{metric}", patience=1)
    # A model that does not learn: nothing gets better.
    model.fit(x, validation_data=(x,), epochs=4, callbacks=[stopping], verbose=0)
    assert stopping.stopped_epoch == 1
    assert stopping.monitor_op(better, 0.0) and not stopping.monitor_op(-better, 0.0)


class Batches(keras.utils.PyDataset):
    """Images in batches of two."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return len(self.x) // 2

    def __getitem__(self, index):
        return self.x[2 * index : 2 * index + 2]


@pytest.mark.parametrize("kind", ["pydataset", "generator", "list", "tensor"])
def test_calibration_takes_what_fit_takes(kind):
    x = images(6, SHAPE)
    given = {
        "pydataset": Batches(x),
        "generator": (x[i : i + 2] for i in (0, 2, 4)),
        "list": [x[:2], x[2:]],
        "tensor": tf.constant(x),
    }[kind]
    model = tiny_vae("gaussian_optimal", image_shape=SHAPE)
    model.calibrate(x)
    expected = model.likelihood.variance.numpy()
    model.calibrate(given)
    np.testing.assert_allclose(model.likelihood.variance, expected, rtol=FLOAT32)
    assert model.likelihood.provenance()["num_examples"] == 6


def test_calibration_by_something_else_is_refused():
    model = tiny_vae("gaussian_optimal", image_shape=SHAPE)
    with pytest.raises(ValueError, match=r"batches of images.*got 3"):
        model.calibrate(3)


def test_the_summary_has_shapes_and_the_latent(capsys):
    lines = []
    tiny_vae("gaussian_shared", image_shape=SHAPE, latent_size=2).summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert "?" not in text and "(None, 4, 6, 3)" in text
    assert "z: (None, 2)" in text


@pytest.mark.parametrize("value", [np.nan, 200.0])
def test_impossible_values_are_said_in_one_sentence(value):
    model, x = frozen(), images(6, SHAPE)
    x[4, 0, 0, 0] = value
    for function in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match="images must lie in \\[0, 1\\]") as caught:
            function(x, batch_size=3, verbose=0)
        assert len(str(caught.value).splitlines()) == 1
        assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.mark.parametrize(("width", "channels"), [(3, 3), (4, 5)])
def test_networks_of_another_width_are_named(width, channels):
    encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(width)])
    size = 24 * channels
    decoder = keras.Sequential([keras.layers.Dense(size), keras.layers.Reshape((4, 6, channels))])
    name, wanted = ("encoder", "4") if width == 3 else ("decoder", "3")
    with pytest.raises(ValueError, match=f"{name} must give .*{wanted}"):
        models.VAE(SHAPE, 2, "gaussian_shared", network=(encoder, decoder))
