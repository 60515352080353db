import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_sigma_vae.models._recurrent import StackedLstm

FLOAT32 = 1e-6
"""Absolute: sums of some ten terms of size 1."""
BATCH, FRAMES, INPUTS, UNITS, OUTPUTS = 3, 5, 4, 6, 2


@pytest.fixture(scope="module")
def layer():
    keras.utils.set_random_seed(0)
    made = StackedLstm(OUTPUTS, UNITS, num_layers=2)
    made.build((None, None, INPUTS))
    return made


@pytest.fixture(scope="module")
def vectors():
    values = np.random.default_rng(0).normal(size=(BATCH, FRAMES, INPUTS))
    return tf.constant(values, tf.float32)


def _lstm(x, weights):
    """An LSTM over time by its equations, `[B, T, F]` to `[B, T, UNITS]`, in float64."""
    kernel, recurrent, bias = (w.astype(np.float64) for w in weights)
    h = c = np.zeros((len(x), UNITS))
    outputs = []

    def sigmoid(value):
        return 1.0 / (1.0 + np.exp(-value))

    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def test_a_clip_goes_through_the_equations_of_two_lstms(layer, vectors):
    values = vectors.numpy().astype(np.float64)
    entry, end = (
        [w.numpy().astype(np.float64) for w in dense.weights] for dense in (layer.entry, layer.exit)
    )
    values = values @ entry[0] + entry[1]
    for loop in layer.loops:
        values = _lstm(values, loop.get_weights())
    found, _ = layer(vectors)
    np.testing.assert_allclose(found, values @ end[0] + end[1], atol=FLOAT32)


def test_steps_are_the_clip_frame_by_frame(layer, vectors):
    wanted, last = layer(vectors)
    state, outputs = layer.start(BATCH), []
    for t in range(FRAMES):
        output, state = layer.step(vectors[:, t], state)
        outputs.append(output)
    np.testing.assert_allclose(tf.stack(outputs, axis=1), wanted, atol=FLOAT32)
    for found, expected in zip(tf.nest.flatten(state), tf.nest.flatten(last), strict=True):
        np.testing.assert_allclose(found, expected, atol=FLOAT32)


def test_a_clip_goes_on_from_a_state(layer, vectors):
    wanted, _ = layer(vectors)
    _, state = layer(vectors[:, :2])
    rest, _ = layer(vectors[:, 2:], state)
    np.testing.assert_allclose(rest, wanted[:, 2:], atol=FLOAT32)


def test_outputs_see_no_later_input(layer, vectors):
    changed = vectors + tf.reshape([0.0, 0.0, 0.0, 1.0, 1.0], [1, FRAMES, 1])
    before, after = layer(vectors)[0], layer(changed)[0]
    np.testing.assert_array_equal(after[:, :3], before[:, :3])
    assert np.all(np.any(after[:, 3:] != before[:, 3:], axis=-1))


def test_the_graph_does_not_grow_with_the_number_of_frames(layer):
    def num_nodes(num_frames):
        spec = tf.TensorSpec([BATCH, num_frames, INPUTS])
        graph = tf.function(lambda x: layer(x)[0]).get_concrete_function(spec).graph
        functions = graph.as_graph_def().library.function
        return len(graph.get_operations()) + sum(len(f.node_def) for f in functions)

    assert num_nodes(30) == num_nodes(3)


def test_config_round_trip_keeps_sizes_and_policy():
    layer = StackedLstm(OUTPUTS, UNITS, num_layers=2, dtype="mixed_bfloat16")
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (restored.num_outputs, restored.units, restored.num_layers) == (OUTPUTS, UNITS, 2)
    assert restored.dtype_policy.name == "mixed_bfloat16"
