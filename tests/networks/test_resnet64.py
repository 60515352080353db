import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_sigma_vae.networks import resnet64

# Height, width, and the sides of the maps on the way down.
MAPS = {
    (28, 20): [28, 14, 7, 4],
    (9, 11): [9, 5, 3],
    (4, 6): [4],
}
LATENT_SIZE, PARAMS_CHANNELS = 5, 6


def networks(height, breadth, channels=3, **options):
    keras.utils.set_random_seed(0)
    options = {"width": 2, "num_blocks": 1, **options}
    shape = (height, breadth, channels)
    encoder = resnet64.Encoder(shape, 2 * LATENT_SIZE, **options)
    decoder = resnet64.Decoder(shape, LATENT_SIZE, PARAMS_CHANNELS, **options)
    encoder.build((None, *shape))
    decoder.build((None, LATENT_SIZE))
    return encoder, decoder


def blocks(network):
    return [layer for layer in network.layers if isinstance(layer, resnet64._Block)]


def heights(network, size):
    """Heights of the maps that the blocks of a network see."""
    found = []
    for layer in network.layers:
        size = layer.compute_output_shape(size)
        if isinstance(layer, resnet64._Block):
            found.append(size[1])
    return found


@pytest.mark.parametrize(("height", "breadth"), MAPS)
def test_maps_halve_down_to_four_pixels_and_come_back(height, breadth):
    encoder, decoder = networks(height, breadth)
    down = heights(encoder, (None, height, breadth, 3))
    assert down == MAPS[height, breadth]
    assert heights(decoder, (None, LATENT_SIZE)) == down[::-1]
    z = np.random.default_rng(1).normal(size=(2, LATENT_SIZE)).astype(np.float32)
    expected = (2, height, breadth, PARAMS_CHANNELS)
    assert decoder(z).shape == decoder.compute_output_shape(z.shape) == expected


def test_every_pixel_of_the_output_depends_on_the_latent():
    decoder = networks(9, 11)[1]
    first, second = decoder(np.eye(2, LATENT_SIZE, dtype=np.float32)).numpy()
    assert np.all(first != second)


def test_every_pixel_of_the_input_reaches_the_encoding():
    encoder = networks(9, 11)[0]
    x = tf.random.stateless_uniform([1, 9, 11, 3], seed=[1, 2])
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(encoder(x) ** 2)
    assert np.all(tape.gradient(total, x).numpy() != 0)


def test_channels_double_up_to_eight_times_the_width():
    encoder = networks(64, 64, width=3, num_blocks=2)[0]
    channels = [block.layers[-1].filters for block in blocks(encoder)]
    assert channels == [3, 3, 6, 6, 12, 12, 24, 24, 24, 24]


def test_a_block_adds_its_branch():
    (block,) = blocks(networks(4, 6)[0])
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 2)).astype(np.float32)
    last = block.layers[-1]
    # A branch that is the constant 3 whatever comes in.
    last.set_weights([np.zeros(last.kernel.shape), np.full(last.bias.shape, 3.0)])
    np.testing.assert_allclose(block(x), x + 3.0, rtol=1e-6)


def test_images_are_shifted_so_that_middle_grey_is_the_zero_of_a_new_network():
    encoder = networks(9, 11)[0]
    assert not np.any(encoder(np.full((1, 9, 11, 3), 0.5, np.float32)))
    assert np.any(encoder(np.full((1, 9, 11, 3), 0.6, np.float32)))


@pytest.mark.parametrize("num_blocks", [1, 3])
def test_networks_start_near_the_ones_without_branches(num_blocks):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(8, 16, 16, 3)).astype(np.float32)
    z = rng.normal(size=(8, LATENT_SIZE)).astype(np.float32)
    pair = networks(16, 16, width=8, num_blocks=num_blocks)
    for network, value in zip(pair, (x, z), strict=True):
        started = network(value).numpy()
        for block in blocks(network):
            last = block.layers[-1]
            last.set_weights([np.zeros(w.shape) for w in last.get_weights()])
        plain = network(value).numpy()
        change = np.sqrt(np.mean((started - plain) ** 2) / np.mean(plain**2))
        # Three maps, up to nine branches of about a twentieth, added as if independent.
        assert 0.02 < change < 0.3


def test_decoder_starts_at_the_scale_of_its_latent_at_any_depth():
    z = np.random.default_rng(0).normal(size=(64, LATENT_SIZE)).astype(np.float32)
    decoder = networks(16, 16, width=8, num_blocks=4)[1]
    # From 0.5 to 0.8 for other seeds and depths.
    assert 0.2 < np.std(decoder(z)) < 2.0


def test_layers_start_from_numbers_of_their_own():
    kernels = [
        v.numpy().ravel()[:36]
        for network in networks(32, 32, width=2, num_blocks=2)
        for v in network.weights
        if v.name == "kernel" and np.size(v) >= 36
    ]
    assert len(kernels) > 20
    correlation = np.abs(np.corrcoef(kernels))
    # |r| of independent pairs of 36 numbers exceeds 0.9 with probability 1e-13.
    assert np.all(correlation[np.triu_indices(len(correlation), k=1)] < 0.9)


@pytest.mark.parametrize("options", [{"width": 0}, {"width": 2.5}, {"num_blocks": 0}])
def test_sizes_below_one_are_refused(options):
    ((name, value),) = options.items()
    message = f"{name} must be a whole number of at least 1, got {value}"
    with pytest.raises(ValueError, match=message):
        resnet64.Encoder((8, 8, 1), 4, **options)
    with pytest.raises(ValueError, match=message):
        resnet64.Decoder((8, 8, 1), 2, 1, **options)
