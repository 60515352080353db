"""What every network plug-in owes: walks `networks/`, so that a new file is tested too."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import TINY_OPTIONS
from tf_sigma_vae import plugins

NETWORKS = plugins.names("networks")
LATENT_SIZE, PARAMS_CHANNELS, BATCH = 3, 4, 2
# 9x11 is no multiple of 4, 28x20 is Frey Face, 8x8 the digits.
SHAPES = [(9, 11, 1), (28, 20, 3), (30, 30, 1), (8, 8, 3)]
FLOAT32 = 1e-5


def _network(name, shape, **kwargs):
    keras.utils.set_random_seed(0)
    module = plugins.find_module("networks", name)
    options = {**TINY_OPTIONS.get(name, {}), **kwargs}
    encoder = module.Encoder(shape, 2 * LATENT_SIZE, **options)
    decoder = module.Decoder(shape, LATENT_SIZE, PARAMS_CHANNELS, **options)
    encoder.build((None, *shape))
    decoder.build((None, LATENT_SIZE))
    return encoder, decoder


def _inputs(shape):
    rng = np.random.default_rng(0)
    x, z = rng.uniform(size=(BATCH, *shape)), rng.normal(size=(BATCH, LATENT_SIZE))
    return x.astype(np.float32), z.astype(np.float32)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_encoder_and_decoder_fit_any_image_shape(name, shape):
    encoder, decoder = _network(name, shape)
    assert encoder.built and decoder.built and encoder.weights and decoder.weights
    x, z = _inputs(shape)
    assert encoder(x).shape == (BATCH, 2 * LATENT_SIZE)
    assert decoder(z).shape == (BATCH, *shape[:2], PARAMS_CHANNELS)
    assert encoder.compute_output_shape((None, *shape)) == (None, 2 * LATENT_SIZE)
    expected = (None, *shape[:2], PARAMS_CHANNELS)
    assert decoder.compute_output_shape((None, LATENT_SIZE)) == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_unknown_batch_size_gives_the_eager_values(name):
    shape = (9, 11, 3)
    encoder, decoder = _network(name, shape)

    @tf.function(
        input_signature=[tf.TensorSpec([None, *shape]), tf.TensorSpec([None, LATENT_SIZE])]
    )
    def apply(x, z):
        encoded, decoded = encoder(x), decoder(z)
        assert decoded.shape[1:] == (*shape[:2], PARAMS_CHANNELS)
        return encoded, decoded

    x, z = _inputs(shape)
    for compiled, layer, value in zip(apply(x, z), (encoder, decoder), (x, z), strict=True):
        np.testing.assert_allclose(compiled, layer(value), rtol=FLOAT32, atol=FLOAT32)


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_are_independent(name):
    for layer, value in zip(_network(name, (9, 11, 3)), _inputs((9, 11, 3)), strict=True):
        changed = value.copy()
        changed[0] += 1.0
        np.testing.assert_allclose(layer(changed)[1], layer(value)[1], rtol=FLOAT32, atol=FLOAT32)
        assert np.any(layer(changed)[0].numpy() != layer(value)[0].numpy())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_config_round_trip_keeps_shape_options_and_policy(name, policy):
    shape = (9, 11, 3)
    for layer, value in zip(_network(name, shape, dtype=policy), _inputs(shape), strict=True):
        config = keras.saving.serialize_keras_object(layer)
        restored = keras.saving.deserialize_keras_object(config)
        assert restored.dtype_policy.name == policy
        if not restored.built:
            restored.build((None, *value.shape[1:]))
        restored.set_weights(layer.get_weights())
        np.testing.assert_array_equal(restored(value), layer(value))


@pytest.mark.parametrize("name", NETWORKS)
def test_mixed_precision_computes_low_and_stores_float32(name):
    shape = (9, 11, 3)
    policy = keras.DTypePolicy("mixed_bfloat16")
    for layer, value in zip(_network(name, shape, dtype=policy), _inputs(shape), strict=True):
        assert layer(value).dtype == tf.bfloat16
        assert {w.dtype for w in layer.weights} == {"float32"}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_has_a_gradient(name):
    shape = (9, 11, 3)
    for layer, value in zip(_network(name, shape), _inputs(shape), strict=True):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(value) ** 2)
        gradients = tape.gradient(total, layer.trainable_variables)
        assert all(g is not None and np.any(g) for g in gradients)
