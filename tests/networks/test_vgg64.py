import itertools

import keras
import numpy as np
import pytest

from tf_sigma_vae.networks import vgg64

# Sides of the skips, and of the map that becomes a vector.
MAPS = {
    (48, 32): ([48, 24, 12], (6, 4)),
    (16, 16): ([16, 8], (4, 4)),
}


def built(shape=(64, 64, 3), params_channels=3, **options):
    encoder = vgg64.FrameEncoder(shape, 128, **options)
    decoder = vgg64.FrameDecoder(shape, encoder.feature_size, params_channels, **options)
    encoder.build((None, *shape))
    decoder.build((None, encoder.feature_size))
    return encoder, decoder


@pytest.mark.parametrize("size", MAPS)
def test_maps_halve_down_to_four_pixels_and_come_back(size):
    encoder, decoder = built((*size, 3), 5, width=2)
    heights, last = MAPS[size]
    channels = [2, 4, 8, 16]
    expected = [(h, h * size[1] // size[0], c) for h, c in zip(heights, channels, strict=False)]
    assert encoder.skip_shapes == decoder.skip_shapes == expected
    assert encoder.last_shape == decoder.last_shape == (*last, expected[-1][-1])
    features, skips = encoder(np.zeros((2, *size, 3), np.float32))
    assert [skip.shape for skip in skips] == [(2, *shape) for shape in expected]
    assert decoder(features, skips).shape == (2, *size, 5)


def test_weights_at_64x64_are_those_of_the_published_layers():
    """All but the normalization of the features: a tanh of numbers of one frame has none here."""
    encoder, decoder = built()
    down = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512]
    # 3x3 kernels, a bias each, and the scale and offset of a normalization.
    kernels = 9 * sum(a * b for a, b in itertools.pairwise(down))
    assert encoder.count_params() == kernels + 3 * sum(down[1:]) + 16 * 512 * 128 + 128 == 8_689_344
    up = [(1024, 512), (512, 512), (512, 256), (512, 256), (256, 256), (256, 128)]
    up += [(256, 128), (128, 64), (128, 64)]
    kernels = 9 * sum(a * b for a, b in up) + 16 * 128 * 512 + 9 * 64 * 3
    normalized = 512 + sum(b for _, b in up)
    assert decoder.count_params() == kernels + 3 * normalized + 3 == 11_822_659


def test_blocks_are_of_two_two_three_and_three_convolutions():
    encoder, decoder = built(width=2)
    assert [len(block.convolutions) for block in encoder.blocks] == [2, 2, 3, 3]
    assert [len(block.convolutions) for block in decoder.blocks] == [3, 3, 2, 2]
    layers = [
        layer for network in (encoder, decoder) for b in network.blocks for layer in b.convolutions
    ]
    assert {layer.convolution.kernel_size for layer in layers} == {(3, 3)}
    assert {layer.convolution.strides for layer in layers} == {(1, 1)}
    joins = [[c.of_skips is not None for c in block.convolutions] for block in decoder.blocks]
    assert joins == [[True, False, False]] * 2 + [[True, False]] * 2
    assert all(type(layer.convolution) is keras.layers.Conv2D for layer in layers)


def test_maps_are_pooled_by_their_maximum_and_grown_by_repeating_pixels():
    encoder, decoder = built((16, 16, 1), width=2)
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 4, 6, 3)).astype(np.float32)
    expected = maps.reshape(2, 2, 2, 3, 2, 3).max(axis=(2, 4))
    np.testing.assert_array_equal(encoder.shrink(maps), expected)
    expected = maps.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(decoder.grow(maps), expected)
