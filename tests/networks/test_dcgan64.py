import keras
import numpy as np
import pytest

from tf_sigma_vae.networks import dcgan64

# Sides of the skips, and of the map that becomes a vector.
MAPS = {
    (48, 32): ([24, 12, 6], (6, 4)),
    (16, 16): ([8, 4], (4, 4)),
}


def built(shape=(64, 64, 3), params_channels=3, **options):
    encoder = dcgan64.FrameEncoder(shape, 128, **options)
    decoder = dcgan64.FrameDecoder(shape, encoder.feature_size, params_channels, **options)
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


def test_channels_double_up_to_eight_times_the_width():
    assert [shape[-1] for shape in built((128, 128, 1), width=3)[0].skip_shapes] == [
        3,
        6,
        12,
        24,
        24,
    ]


def test_weights_at_64x64_are_those_of_the_published_layers():
    """All but the normalization of the features: a tanh of numbers of one frame has none here."""
    encoder, decoder = built()
    sizes = [64, 128, 256, 512]
    # 4x4 kernels, a bias each, and the scale and offset of a normalization.
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 128)
    assert encoder.count_params() == kernels + 3 * sum(sizes) + 128 == 3_807_168
    kernels = 16 * (128 * 512 + 1024 * 256 + 512 * 128 + 256 * 64 + 128 * 3)
    assert decoder.count_params() == kernels + 3 * sum(sizes) + 3 == 6_562_627


def test_kernels_are_four_by_four_with_stride_two():
    encoder, decoder = built(width=2)
    for network, kind in ((encoder, keras.layers.Conv2D), (decoder, keras.layers.Conv2DTranspose)):
        layers = [block.convolutions[0].convolution for block in network.blocks]
        assert len(layers) == 4 and all(type(layer) is kind for layer in layers)
        assert {layer.kernel_size for layer in layers} == {(4, 4)}
        assert {layer.strides for layer in layers} == {(2, 2)}
