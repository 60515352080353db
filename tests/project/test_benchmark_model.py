"""The arithmetic of the benchmark is that of the architecture it times."""

import math

import pytest

from benchmarks import _arithmetic
from tf_sigma_vae.networks import conv28


@pytest.mark.parametrize("channels", [1, 3])
def test_layers_of_the_benchmark_are_those_of_conv28(channels):
    image_shape = (28, 28, channels)
    latent_size = _arithmetic.LATENT_SIZE
    encoder = conv28.Encoder(image_shape, 2 * latent_size)
    decoder = conv28.Decoder(image_shape, latent_size, channels)
    encoder.build((None, *image_shape))
    decoder.build((None, latent_size))
    kernels = [w for w in encoder.weights + decoder.weights if w.name == "kernel"]
    counted = [layer.weights for layer in _arithmetic.conv28_layers(channels)]
    assert sorted(math.prod(kernel.shape) for kernel in kernels) == sorted(counted)


def test_training_costs_three_passes_less_the_gradient_of_the_image():
    layers = _arithmetic.conv28_layers()
    forward = sum(layer.forward_flops for layer in layers)
    # 3x3x1x32 weights at 28x28 places, a multiplication and an addition each.
    assert layers[0].forward_flops == 2 * 28 * 28 * 3 * 3 * 32
    assert _arithmetic.training_flops_per_image() == 3 * forward - layers[0].forward_flops
