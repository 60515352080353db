import numpy as np
import pytest

from tf_sigma_vae.networks import dense

SHAPE = (3, 5, 2)


def _built(layer, shape):
    layer.build(shape)
    return layer


def test_shapes_follow_the_options():
    encoder = _built(dense.Encoder(SHAPE, 8, hidden_sizes=(6, 4)), (None, *SHAPE))
    decoder = _built(dense.Decoder(SHAPE, 4, 7, hidden_sizes=(6, 4)), (None, 4))
    assert [tuple(w.shape) for w in encoder.weights[::2]] == [(30, 6), (6, 4), (4, 8)]
    # The decoder has the encoder's sizes in reverse.
    assert [tuple(w.shape) for w in decoder.weights[::2]] == [(4, 4), (4, 6), (6, 105)]
    x, z = np.ones((2, *SHAPE), np.float32), np.ones((2, 4), np.float32)
    assert encoder(x).shape == encoder.compute_output_shape(x.shape) == (2, 8)
    assert decoder(z).shape == decoder.compute_output_shape(z.shape) == (2, 3, 5, 7)


def test_without_hidden_layers_the_networks_are_affine_in_row_major_order():
    encoder = _built(dense.Encoder(SHAPE, 8, hidden_sizes=()), (None, *SHAPE))
    decoder = _built(dense.Decoder(SHAPE, 4, 7, hidden_sizes=()), (None, 4))
    rng = np.random.default_rng(0)
    for layer in (encoder, decoder):
        layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    x = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    z = rng.normal(size=(2, 4)).astype(np.float32)
    for layer, value in ((encoder, x), (decoder, z)):
        kernel, bias = layer.get_weights()
        expected = (value.reshape(2, -1) @ kernel + bias).reshape(layer(value).shape)
        np.testing.assert_allclose(layer(value), expected, rtol=1e-4, atol=1e-4)


def test_activation_is_that_of_the_hidden_layers_only():
    encoder = _built(dense.Encoder(SHAPE, 8, (6,), activation="tanh"), (None, *SHAPE))
    hidden_kernel, hidden_bias, kernel, bias = encoder.get_weights()
    x = np.random.default_rng(1).normal(size=(2, *SHAPE)).astype(np.float32)
    hidden = np.tanh(x.reshape(2, -1) @ hidden_kernel + hidden_bias)
    np.testing.assert_allclose(encoder(x), hidden @ kernel + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(0,), (4, -1)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match="hidden_sizes must be positive whole numbers, got"):
        dense.Encoder(SHAPE, 8, sizes)


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="relux"):
        dense.Decoder(SHAPE, 4, 7, activation="relux")
