"""`resnet64`: residual networks for a strong single-latent baseline, at 64x64 pixels or any others.

Encoder: 3x3 convolution to `width` channels; at each resolution `num_blocks` residual blocks, then
2x2 average pooling and a 1x1 convolution, until a side has no more than 4 pixels; dense head.
Decoder: dense to that last map, and the same in reverse, with nearest-neighbor upsampling. Channels
double with each halving, up to 8 times `width`. At 64x64 the maps are 64, 32, 16, 8, 4 and back; at
sizes that do not halve evenly each upsampled map is cropped to the size it had on the way down.

A block adds to its input `x` a branch, `x + conv3x3(silu(conv3x3(silu(x))))` (pre-activation: He et
al. 2016). Nothing is normalized: rows stay independent, and any share of a batch gives the numbers
of the whole. Instead every branch starts about a twentieth as large as what it is added to, so that
the networks start close to linear ones, however deep (near-identity starts: Zhang et al. 2019;
without normalization in VAEs: Child 2021).
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

SMALLEST_SIDE = 4
MAX_FACTOR = 8
BRANCH_VARIANCE = 0.01
"""Of a new branch, over the mean square of its last activations: a fifth of that of its input."""


def _start(variance: float) -> keras.initializers.Initializer:
    """Normal kernels by their fan-in; an instance a layer, or they would share random numbers.

    Args:
      variance: Of an output, over the mean square of the inputs.
    """
    return keras.initializers.VarianceScaling(variance, "fan_in", "truncated_normal")


def _map_sizes(image_shape: Sequence[int]) -> list[tuple[int, int]]:
    """Height and width of the maps, each half of the one before, rounded up."""
    height, width = image_shape[:2]
    sizes = [(height, width)]
    while min(height, width) > SMALLEST_SIDE:
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


def _check(width: object, num_blocks: object) -> None:
    for name, value in (("width", width), ("num_blocks", num_blocks)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


class _Chain(keras.layers.Layer):
    """Layers applied one after the other."""

    layers: list[keras.layers.Layer]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        shape = (None, *input_shape[1:])
        for layer in self.layers:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layers."""
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape after the last layer."""
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return tuple(input_shape)


class _Block(_Chain):
    """`x + branch(x)`, at as many channels as `x` has."""

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.layers = []
        for variance in (2.0, BRANCH_VARIANCE):
            convolution = keras.layers.Conv2D(
                channels, 3, padding="same", kernel_initializer=_start(variance), dtype=policy
            )
            self.layers += [keras.layers.Activation("silu", dtype=policy), convolution]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Adds the branch."""
        return inputs + super().call(inputs)


def _blocks(channels: int, num_blocks: int, policy: keras.DTypePolicy) -> list[keras.layers.Layer]:
    return [_Block(channels, dtype=policy) for _ in range(num_blocks)]


def _projection(channels: int, size: int, policy: keras.DTypePolicy) -> keras.layers.Layer:
    """A linear convolution that keeps the mean square."""
    return keras.layers.Conv2D(
        channels, size, padding="same", kernel_initializer=_start(1.0), dtype=policy
    )


@keras.saving.register_keras_serializable("tf_sigma_vae.resnet64")
class Encoder(_Chain):
    """Images `[B, H, W, C]` to `[B, num_outputs]`."""

    def __init__(
        self,
        image_shape: Sequence[int],
        num_outputs: int,
        width: int = 32,
        num_blocks: int = 2,
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          image_shape: `(H, W, C)`.
          num_outputs: Size of the output vector.
          width: Channels at full resolution.
          num_blocks: Residual blocks at each resolution.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If the width or the number of blocks is not positive.
        """
        super().__init__(**kwargs)
        _check(width, num_blocks)
        self.image_shape, self.num_outputs = tuple(image_shape), num_outputs
        self.width, self.num_blocks = width, num_blocks
        policy = self.dtype_policy
        self.layers = [_projection(width, 3, policy)]
        for index in range(len(_map_sizes(image_shape))):
            channels = width * min(2**index, MAX_FACTOR)
            if index > 0:
                pooling = keras.layers.AveragePooling2D(2, padding="same", dtype=policy)
                self.layers += [pooling, _projection(channels, 1, policy)]
            self.layers += _blocks(channels, num_blocks, policy)
        self.layers += [
            keras.layers.Activation("silu", dtype=policy),
            keras.layers.Flatten(dtype=policy),
            keras.layers.Dense(num_outputs, kernel_initializer=_start(1.0), dtype=policy),
        ]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the network, to images shifted from [0, 1] to [-1, 1]."""
        return super().call(2.0 * inputs - 1.0)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("image_shape", "num_outputs", "width", "num_blocks")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("tf_sigma_vae.resnet64")
class Decoder(_Chain):
    """Latents `[B, latent_size]` to `[B, H, W, params_channels]`."""

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_size: int,
        params_channels: int,
        width: int = 32,
        num_blocks: int = 2,
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          image_shape: `(H, W, C)`.
          latent_size: Size of the latent vector.
          params_channels: Channels to emit, as the likelihood asks.
          width: As of the encoder.
          num_blocks: As of the encoder.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If the width or the number of blocks is not positive.
        """
        super().__init__(**kwargs)
        _check(width, num_blocks)
        self.image_shape, self.latent_size = tuple(image_shape), latent_size
        self.params_channels = params_channels
        self.width, self.num_blocks = width, num_blocks
        policy = self.dtype_policy
        sizes = _map_sizes(image_shape)
        all_channels = [width * min(2**index, MAX_FACTOR) for index in range(len(sizes))]
        first = (*sizes[-1], all_channels[-1])
        self.layers = [
            keras.layers.Dense(math.prod(first), kernel_initializer=_start(1.0), dtype=policy),
            keras.layers.Reshape(first, dtype=policy),
        ]
        for index in reversed(range(len(sizes))):
            channels = all_channels[index]
            if index < len(sizes) - 1:
                # The convolution at the low resolution: it commutes with repeating pixels.
                self.layers += [_projection(channels, 1, policy)]
                self.layers += _upsampling(sizes[index + 1], sizes[index], policy)
            self.layers += _blocks(channels, num_blocks, policy)
        self.layers += [
            keras.layers.Activation("silu", dtype=policy),
            _projection(params_channels, 3, policy),
        ]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("image_shape", "latent_size", "params_channels", "width", "num_blocks")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _upsampling(
    low: tuple[int, int], high: tuple[int, int], policy: keras.DTypePolicy
) -> list[keras.layers.Layer]:
    """Each pixel four times, and the row and the column too many cut off."""
    extra = [(0, 2 * small - large) for small, large in zip(low, high, strict=True)]
    return [
        keras.layers.UpSampling2D(2, dtype=policy),
        keras.layers.Cropping2D(extra, dtype=policy),
    ]
