"""What every network plug-in owes: walks `networks/`, so that a new file is tested too.

Of any kind of latent a network has two layers, which are applied here to images and to vectors, of
latents or of a frame's features. Those that give more than one tensor: all are held together.
"""

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import TINY_OPTIONS
from tf_sigma_vae import networks, plugins

NETWORKS = plugins.names("networks")
LATENT_SIZE, PARAMS_CHANNELS, BATCH = 3, 4, 2
# 9x11 is no multiple of 4, 28x20 is Frey Face, 8x8 the digits.
SHAPES = [(9, 11, 1), (8, 8, 3), (28, 20, 3), (30, 30, 1)]
# Frames are of sizes that can be halved often; those of 32 and 64 pixels go down to 4x4.
FRAME_SHAPES = [(16, 16, 1), (20, 28, 3), (32, 48, 1), (64, 64, 3)]
NUM_SHAPES_BY_DEFAULT = 2
FLOAT32 = 1e-5


class Flat:
    """An encoder and a decoder."""

    shapes, shape = SHAPES, (9, 11, 3)

    def __init__(self, shape, network, options):
        encoder, decoder = network
        self.latent_size, self.num_outputs = LATENT_SIZE, 2 * LATENT_SIZE
        self.layers = (
            encoder(shape, 2 * LATENT_SIZE, **options),
            decoder(shape, LATENT_SIZE, PARAMS_CHANNELS, **options),
        )
        self.input_shapes = ((None, *shape), (None, LATENT_SIZE))
        for layer, input_shape in zip(self.layers, self.input_shapes, strict=True):
            layer.build(input_shape)

    def apply(self, layer, value):
        """All that a layer makes of a value, `[B, N]`."""
        return tf.reshape(layer(value), [tf.shape(value)[0], -1])

    def require_shapes(self, shape, x, z):
        encoder, decoder = self.layers
        assert encoder(x).shape == (BATCH, 2 * LATENT_SIZE)
        assert decoder(z).shape == (BATCH, *shape[:2], PARAMS_CHANNELS)
        assert encoder.compute_output_shape((None, *shape)) == (None, 2 * LATENT_SIZE)
        expected = (None, *shape[:2], PARAMS_CHANNELS)
        assert decoder.compute_output_shape((None, LATENT_SIZE)) == expected


class Ladder:
    """The ways up and down a ladder, on the way up with the means of what is drawn."""

    shapes, shape = SHAPES, (9, 11, 3)

    def __init__(self, shape, network, options):
        bottom_up, top_down = network
        self.layers = (
            bottom_up(shape, LATENT_SIZE, **options),
            top_down(shape, LATENT_SIZE, PARAMS_CHANNELS, True, **options),
        )
        self.input_shapes = ((None, *shape), (None, LATENT_SIZE))
        for layer, input_shape in zip(self.layers, self.input_shapes, strict=True):
            layer.build(input_shape)
        self.level_shapes = self.layers[1].level_shapes
        self.latent_size = sum(math.prod(shape) for shape in self.level_shapes)
        features, _ = self.up(self.layers[0], np.zeros((1, *shape), np.float32))
        # What a way down looks at beside the latents, whatever the images are.
        self.features = [tf.random.stateless_uniform(f.shape, [0, 1]) for f in features]

    def up(self, layer, x):
        return layer(x, draw=lambda level, params: tf.split(params, 2, axis=-1)[0])

    def down(self, layer, z):
        """Parameters of p and of q at all levels, top first, and those of the decoder."""
        num_rows = tf.shape(z)[0]
        parts = tf.split(z, [math.prod(shape) for shape in self.level_shapes], axis=-1)
        state, priors, posteriors = layer.start(num_rows), [], []
        for level, (part, shape) in enumerate(zip(parts, self.level_shapes, strict=True)):
            features = tf.cast(tf.repeat(self.features[level], num_rows, axis=0), state.dtype)
            priors.append(layer.prior(level, state))
            posteriors.append(layer.posterior(level, state, features))
            state = layer.merge(level, state, tf.reshape(part, [-1, *shape]))
        return priors, posteriors, layer.output(state)

    def apply(self, layer, value):
        """All that a layer makes of a value, `[B, N]`."""
        found = self.down(layer, value) if value.shape.rank == 2 else self.up(layer, value)
        tensors = [tensor for tensor in tf.nest.flatten(found) if tensor is not None]
        return tf.concat([tf.reshape(t, [tf.shape(value)[0], -1]) for t in tensors], axis=1)

    def require_shapes(self, shape, x, z):
        bottom_up, top_down = self.layers
        assert bottom_up.level_shapes == top_down.level_shapes
        assert self.level_shapes[0][2] == LATENT_SIZE
        features, drawn = self.up(bottom_up, x)
        priors, posteriors, params = self.down(top_down, z)
        assert priors[0] is None and drawn[0] is None
        for level, (*size, channels) in enumerate(self.level_shapes):
            below = top_down.bottom_up_channels[level]
            assert features[level].shape[:-1] == (BATCH, *size)
            assert posteriors[level].shape == (BATCH, *size, 2 * (channels - below))
            assert level == 0 or priors[level].shape == (BATCH, *size, 2 * channels)
            assert (below > 0) == (drawn[level] is not None)
            if below:
                of_drawn = [part.shape for part in drawn[level]]
                assert of_drawn == [(BATCH, *size, below), (BATCH, *size, 2 * below)]
        assert params.shape == (BATCH, *shape[:2], PARAMS_CHANNELS)


class Sequence:
    """An encoder of frames and a decoder, which looks at the skips of one frame for all rows."""

    shapes, shape = FRAME_SHAPES, (16, 24, 3)

    def __init__(self, shape, network, options):
        encoder, decoder = network
        self.latent_size = LATENT_SIZE
        self.layers = (
            encoder(shape, LATENT_SIZE, **options),
            decoder(shape, LATENT_SIZE, PARAMS_CHANNELS, **options),
        )
        self.input_shapes = ((None, *shape), (None, LATENT_SIZE))
        for layer, input_shape in zip(self.layers, self.input_shapes, strict=True):
            layer.build(input_shape)
        sizes = self.layers[1].skip_shapes
        self.skips = [tf.random.stateless_normal([1, *size], [0, 1]) for size in sizes]

    def apply(self, layer, value):
        """All that a layer makes of a value, `[B, N]`."""
        found = layer(value, self.skips) if value.shape.rank == 2 else layer(value)
        rows = tf.shape(value)[0]
        return tf.concat([tf.reshape(t, [rows, -1]) for t in tf.nest.flatten(found)], axis=1)

    def require_shapes(self, shape, x, z):
        encoder, decoder = self.layers
        assert encoder.skip_shapes == decoder.skip_shapes
        assert len({size[:2] for size in encoder.skip_shapes}) == len(encoder.skip_shapes)
        features, skips = encoder(x)
        assert features.shape == (BATCH, LATENT_SIZE)
        assert [skip.shape for skip in skips] == [(BATCH, *size) for size in encoder.skip_shapes]
        expected = (None, LATENT_SIZE), [(None, *size) for size in encoder.skip_shapes]
        assert encoder.compute_output_shape((None, *shape)) == expected
        assert decoder(z, skips).shape == (BATCH, *shape[:2], PARAMS_CHANNELS)
        expected = (None, *shape[:2], PARAMS_CHANNELS)
        assert decoder.compute_output_shape((None, LATENT_SIZE)) == expected


KINDS = {"flat": Flat, "ladder": Ladder, "sequence": Sequence}


def kind_of(name):
    return KINDS[networks.latent_of(name)]


@functools.cache
def network(name, shape=None, dtype="float32"):
    """The layers of a network, which no test changes."""
    keras.utils.set_random_seed(0)
    options = {**TINY_OPTIONS.get(name, {}), "dtype": keras.DTypePolicy(dtype)}
    kind = kind_of(name)
    return kind(shape or kind.shape, networks.layers_of(name), options)


def inputs(tried):
    rng = np.random.default_rng(0)
    shape = tried.input_shapes[0][1:]
    x, z = rng.uniform(size=(BATCH, *shape)), rng.normal(size=(BATCH, tried.latent_size))
    return tf.constant(x, tf.float32), tf.constant(z, tf.float32)


def with_first_row_changed(value):
    changed = value.numpy()
    changed[0] += 1.0
    return tf.constant(changed)


def test_every_kind_of_latent_is_tried():
    assert set(KINDS) == set(networks.LATENTS) == {networks.latent_of(name) for name in NETWORKS}


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param(name, shape, marks=() if i < NUM_SHAPES_BY_DEFAULT else pytest.mark.slow)
        for name in NETWORKS
        for i, shape in enumerate(kind_of(name).shapes)
    ],
)
def test_layers_fit_any_image_shape(name, shape):
    tried = network(name, shape)
    assert all(layer.built and layer.weights for layer in tried.layers)
    tried.require_shapes(shape, *inputs(tried))


@pytest.mark.parametrize("name", NETWORKS)
def test_unknown_batch_size_gives_the_eager_values(name):
    tried = network(name)
    for layer, value in zip(tried.layers, inputs(tried), strict=True):
        spec = tf.TensorSpec([None, *value.shape[1:]])
        compiled = tf.function(functools.partial(tried.apply, layer), input_signature=[spec])
        found = compiled(value)
        np.testing.assert_allclose(found, tried.apply(layer, value), rtol=FLOAT32, atol=FLOAT32)


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_are_independent(name):
    tried = network(name)
    for layer, value in zip(tried.layers, inputs(tried), strict=True):
        pair = value, with_first_row_changed(value)
        before, after = (tried.apply(layer, one).numpy() for one in pair)
        np.testing.assert_allclose(after[1], before[1], rtol=FLOAT32, atol=FLOAT32)
        assert np.any(after[0] != before[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_config_round_trip_keeps_shape_options_and_policy(name):
    policy = "mixed_bfloat16"
    tried = network(name, dtype=policy)
    for layer, shape, value in zip(tried.layers, tried.input_shapes, inputs(tried), strict=True):
        config = keras.saving.serialize_keras_object(layer)
        restored = keras.saving.deserialize_keras_object(config)
        assert restored.dtype_policy.name == policy
        if not restored.built:
            restored.build(shape)
        restored.set_weights(layer.get_weights())
        np.testing.assert_array_equal(tried.apply(restored, value), tried.apply(layer, value))


@pytest.mark.parametrize("name", NETWORKS)
def test_mixed_precision_computes_low_and_stores_float32(name):
    tried = network(name, dtype="mixed_bfloat16")
    for layer, value in zip(tried.layers, inputs(tried), strict=True):
        assert tried.apply(layer, value).dtype == tf.bfloat16
        assert {w.dtype for w in layer.weights} == {"float32"}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_has_a_gradient(name):
    tried = network(name)
    for layer, value in zip(tried.layers, inputs(tried), strict=True):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(tried.apply(layer, value) ** 2)
        gradients = tape.gradient(total, layer.trainable_variables)
        assert all(g is not None and np.any(g) for g in gradients)
