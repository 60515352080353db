"""`WithLikelihood` in parts: any backbone, any structure of inputs, penalties, weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, weights_of
from tf_sigma_vae import likelihoods, models

REORDERED = 5e-6
"""Relative: float32 sums over the examples in another order."""
NATS = 2e-5
"""The same, absolute: metrics are sums of 24 terms of either sign."""
NUM_EXAMPLES, SHAPE, DIMS = 10, (3, 4, 2), 24

pytestmark = pytest.mark.usefixtures("untraced")


def backbone(channels, layer=None):
    """A model of two inputs, `image` `[B, 3, 4, 2]` and `level` `[B, 1]`."""
    keras.utils.set_random_seed(0)
    inputs = {"image": keras.Input(SHAPE, name="image"), "level": keras.Input((1,), name="level")}
    level = keras.layers.Reshape((1, 1, 5))(keras.layers.Dense(5)(inputs["level"]))
    hidden = keras.layers.Dense(5, kernel_regularizer=keras.regularizers.L2(0.5))(inputs["image"])
    hidden = hidden + level
    if layer is not None:
        hidden = layer(hidden)
    return keras.Model(inputs, keras.layers.Dense(channels)(hidden))


def batches(with_weights=False):
    """A dataset of ten examples, all in one batch."""
    x = {"image": images(NUM_EXAMPLES, SHAPE), "level": images(NUM_EXAMPLES, (1,), seed=2)}
    y = images(NUM_EXAMPLES, SHAPE, seed=1)
    y[::3] = 0.5 + 0.02 * (y[::3] - 0.5)
    given = (x, y)
    if with_weights:
        given += (np.linspace(0.1, 2.0, NUM_EXAMPLES, dtype=np.float32),)
    return tf.data.Dataset.from_tensor_slices(given).batch(NUM_EXAMPLES)


def trained(num_parts, head, with_weights=False, layer=None):
    network = backbone(head.params_channels(SHAPE[-1]), layer)
    model = models.WithLikelihood(network, head, gradient_accumulation_steps=num_parts)
    model.compile(keras.optimizers.SGD(1e-3))
    return model, model.fit(batches(with_weights), epochs=2, shuffle=False, verbose=0).history


@pytest.mark.parametrize(
    ("head", "with_weights"),
    [
        (likelihoods.GaussianOptimal, False),
        (lambda: likelihoods.GaussianShared(initial_scale="data"), True),
    ],
)
def test_parts_make_the_step_of_the_whole_batch(head, with_weights):
    (whole, history), (parts, other) = (trained(k, head(), with_weights) for k in (1, 4))
    assert history.keys() == other.keys()
    for name, values in history.items():
        np.testing.assert_allclose(other[name], values, rtol=REORDERED, atol=NATS, err_msg=name)
    for one, same in zip(weights_of(whole), weights_of(parts), strict=True):
        np.testing.assert_allclose(same, one, rtol=REORDERED, atol=1e-6)


def test_penalty_is_counted_once():
    model, history = trained(3, likelihoods.GaussianFixed())
    penalty = history["loss"][1] - history["nll"][1]
    # That of the weights before the second step: the first one shrank them by a thousandth.
    expected = float(sum(model.losses))
    assert penalty == pytest.approx(expected, rel=3e-3) and expected > 0.1


def test_both_passes_draw_the_same_dropout():
    """Else the scale would be that of another draw, and the normalized error not one."""
    _, history = trained(3, likelihoods.GaussianOptimal(), layer=keras.layers.Dropout(0.5))
    for nll, log_scale in zip(history["nll"], history["log_scale"], strict=True):
        variance = np.exp(2 * log_scale)
        error = (variance - (1 / 510) ** 2) / variance
        expected = DIMS / 2 * (np.log(2 * np.pi * variance) + error)
        assert nll == pytest.approx(expected, rel=1e-5)
    assert history["log_scale"][0] != history["log_scale"][1]


class CountsCalls(keras.layers.Layer):
    """The identity, with a state that every call changes, like a moving average."""

    def build(self, input_shape):
        self.calls = self.add_weight(name="calls", initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1.0)
        return x


@pytest.mark.parametrize("head", [likelihoods.GaussianOptimal, likelihoods.GaussianFixed])
def test_state_of_a_network_changes_once_a_part_however_many_passes(head):
    layer = CountsCalls()
    trained(4, head(), layer=layer)
    assert layer.calls.numpy() == 2 * 4
