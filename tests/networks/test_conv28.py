import keras
import numpy as np
import pytest

from tf_sigma_vae.networks import conv28

SIZES = [(8, 8), (9, 11), (28, 20)]


def _networks(height, breadth, channels=3, width=4, latent_size=5, params_channels=6):
    shape = (height, breadth, channels)
    encoder = conv28.Encoder(shape, 2 * latent_size, width=width)
    decoder = conv28.Decoder(shape, latent_size, params_channels, width=width)
    encoder.build((None, *shape))
    decoder.build((None, latent_size))
    return encoder, decoder


@pytest.mark.parametrize(("height", "breadth"), SIZES)
def test_shapes_are_exact_at_any_size(height, breadth):
    encoder, decoder = _networks(height, breadth)
    x = np.random.default_rng(0).uniform(size=(2, height, breadth, 3)).astype(np.float32)
    assert encoder(x).shape == encoder.compute_output_shape(x.shape) == (2, 10)
    z = np.random.default_rng(1).normal(size=(2, 5)).astype(np.float32)
    expected = (2, height, breadth, 6)
    assert decoder(z).shape == decoder.compute_output_shape(z.shape) == expected


@pytest.mark.parametrize(("height", "breadth"), SIZES)
def test_every_pixel_of_the_output_depends_on_the_latent(height, breadth):
    """Upsampling without holes: a crop at the wrong side or a zero border would show."""
    decoder = _networks(height, breadth)[1]
    rng = np.random.default_rng(0)
    decoder.set_weights([rng.normal(size=w.shape) for w in decoder.get_weights()])
    first, second = decoder(rng.normal(size=(2, 5)).astype(np.float32)).numpy()
    assert np.all(first != second)


def test_every_pixel_of_the_input_reaches_the_encoding():
    encoder = _networks(9, 11)[0]
    rng = np.random.default_rng(0)
    # Positive weights keep every ReLU open.
    encoder.set_weights([np.abs(rng.normal(size=w.shape)) for w in encoder.get_weights()])
    x = rng.uniform(size=(1, 9, 11, 3)).astype(np.float32)
    batch = np.repeat(x, 9 * 11, axis=0)
    for i in range(9 * 11):
        batch[i, i // 11, i % 11, 1] += 1.0
    outputs, plain = encoder(batch).numpy(), encoder(x).numpy()
    assert np.all(np.any(outputs != plain, axis=1))


def test_weights_at_28x28_are_those_of_the_authors_layers():
    shape = (28, 28, 3)
    encoder, decoder = conv28.Encoder(shape, 40), conv28.Decoder(shape, 20, 3)
    encoder.build((None, *shape))
    decoder.build((None, 20))
    kernels = {layer.name: tuple(layer.kernel.shape) for layer in encoder.convolutions}
    assert kernels == {"conv0": (3, 3, 3, 32), "conv1": (4, 4, 32, 64), "conv2": (5, 5, 64, 128)}
    assert tuple(encoder.head.kernel.shape) == (7 * 7 * 128, 40)
    # Transposed kernels hold the output channels before the input channels.
    kernels = {layer.name: tuple(layer.kernel.shape) for layer in decoder.convolutions}
    expected = {"deconv0": (6, 6, 64, 128), "deconv1": (6, 6, 32, 64), "deconv2": (5, 5, 3, 32)}
    assert kernels == expected
    assert tuple(decoder.stem.kernel.shape) == (20, 7 * 7 * 128)
    assert [layer.strides for layer in decoder.convolutions] == [(2, 2), (2, 2), (1, 1)]


def test_last_layers_are_linear():
    encoder, decoder = _networks(8, 8)
    activations = [encoder.head.activation, decoder.convolutions[-1].activation]
    assert activations == [keras.activations.linear] * 2


@pytest.mark.parametrize("shape", [(7, 28, 1), (28, 7, 1)])
def test_too_small_images_are_refused(shape):
    with pytest.raises(ValueError, match="conv28 needs images of at least 8x8, got"):
        conv28.Encoder(shape, 4)
    with pytest.raises(ValueError, match="conv28 needs images of at least 8x8, got"):
        conv28.Decoder(shape, 2, 1)


def test_width_below_one_is_refused():
    with pytest.raises(ValueError, match="width must be a whole number of at least 1, got 0"):
        conv28.Encoder((8, 8, 1), 4, width=0)


def test_layers_start_from_numbers_of_their_own():
    networks = [conv28.Encoder((8, 8, 1), 6, width=4), conv28.Decoder((8, 8, 1), 3, 1, width=4)]
    kernels = []
    for network, size in zip(networks, [(None, 8, 8, 1), (None, 3)], strict=True):
        network.build(size)
        kernels += [v.numpy().ravel()[:36] for v in network.weights if v.name == "kernel"]
    correlation = np.abs(np.corrcoef([kernel for kernel in kernels if kernel.size == 36]))
    # |r| of independent pairs of 36 numbers exceeds 0.9 with probability 1e-13.
    assert np.all(correlation[np.triu_indices(len(correlation), k=1)] < 0.9)
