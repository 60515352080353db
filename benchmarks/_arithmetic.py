"""How many floating-point operations the benchmarked model needs, derived from its layers."""

import dataclasses

LATENT_SIZE = 20


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer: `positions` times a `[inputs, outputs]` product, two operations a weight.

    For a convolution `positions` are its output pixels, for a transposed one its input pixels,
    since that is where each applies its kernel.
    """

    name: str
    positions: int
    inputs: int
    outputs: int

    @property
    def forward_flops(self) -> int:
        """Multiplications and additions of one forward pass, for one image."""
        return 2 * self.positions * self.inputs * self.outputs

    @property
    def weights(self) -> int:
        """Number of trainable numbers, without those of the bias."""
        return self.inputs * self.outputs


def conv28_layers(channels: int = 1) -> tuple[Layer, ...]:
    """Returns the layers of the 28x28 architecture; `channels` is that of the image."""
    flat = 7 * 7 * 128
    return (
        Layer("encoder conv 3x3 stride 1", 28 * 28, 3 * 3 * channels, 32),
        Layer("encoder conv 4x4 stride 2", 14 * 14, 4 * 4 * 32, 64),
        Layer("encoder conv 5x5 stride 2", 7 * 7, 5 * 5 * 64, 128),
        Layer("encoder dense, loc and scale", 1, flat, 2 * LATENT_SIZE),
        Layer("decoder dense", 1, LATENT_SIZE, flat),
        Layer("decoder transposed conv 6x6 stride 2", 7 * 7, 128, 6 * 6 * 64),
        Layer("decoder transposed conv 6x6 stride 2", 14 * 14, 64, 6 * 6 * 32),
        Layer("decoder transposed conv 5x5 stride 1", 28 * 28, 32, 5 * 5 * channels),
    )


def training_flops_per_image(channels: int = 1) -> int:
    """Returns the operations of one training step, divided by the batch size.

    Each layer is applied forwards and, backwards, once for the gradient of its weights and once
    for that of its input; the image itself needs no gradient. Activations, the loss and Adam are
    left out: together they are below one per cent.
    """
    layers = conv28_layers(channels)
    return 3 * sum(layer.forward_flops for layer in layers) - layers[0].forward_flops
