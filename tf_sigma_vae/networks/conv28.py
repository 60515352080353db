"""`conv28`: the convolutional networks of the authors' PyTorch code, for images of any shape.

Encoder: 3x3 stride 1, 32 channels; 4x4 stride 2, 64; 5x5 stride 2, 128; ReLU; dense heads. Decoder:
dense to the encoder's last map; transposed 6x6 stride 2, 64; 6x6 stride 2, 32; 5x5 stride 1. At
28x28 the maps are 28, 14, 7 and back, exactly; at sizes that are no multiple of 4 each upsampled
map is cropped to the size it had on the way down.

Source: the authors' published code for SVHN and MNIST (Rybkin et al. 2021, Table 1 to 3).
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

MIN_SIZE = 8


def _layer(kind: type[keras.layers.Layer], *args: Any, **kwargs: Any) -> keras.layers.Layer:
    """A layer whose kernel starts uniform within `1 / sqrt(fan_in)`, as the authors' framework has.

    By the fan-in alone: an average with the fan-out, Keras's default, would let the 20 latents
    enter the wide first map of the decoder seven times weaker, and training start slower.
    """
    # An instance a layer: a shared one would start them all from the same random numbers.
    start = keras.initializers.VarianceScaling(1.0 / 3.0, "fan_in", "uniform")
    return kind(*args, kernel_initializer=start, **kwargs)


def _map_sizes(image_shape: Sequence[int]) -> list[tuple[int, int]]:
    """Height and width of the maps at full, half and quarter resolution, rounded up."""
    height, width = image_shape[:2]
    sizes = [(height, width)]
    for _ in range(2):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


def _check(image_shape: Sequence[int], width: object) -> None:
    if min(image_shape[:2]) < MIN_SIZE:
        raise ValueError(f"conv28 needs images of at least 8x8, got {tuple(image_shape)}")
    if not isinstance(width, int) or width < 1:
        raise ValueError(f"width must be a whole number of at least 1, got {width!r}")


@keras.saving.register_keras_serializable("tf_sigma_vae.conv28")
class Encoder(keras.layers.Layer):
    """Images `[B, H, W, C]` to `[B, num_outputs]`."""

    def __init__(
        self, image_shape: Sequence[int], num_outputs: int, width: int = 32, **kwargs: Any
    ) -> None:
        """Builds the layer.

        Args:
          image_shape: `(H, W, C)`, H and W at least 8.
          num_outputs: Size of the output vector.
          width: Channels of the first convolution; the others have two and four times as many.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If the images are too small or the width not positive.
        """
        super().__init__(**kwargs)
        _check(image_shape, width)
        self.image_shape, self.num_outputs = tuple(image_shape), num_outputs
        self.width = width
        options = {"padding": "same", "activation": "relu", "dtype": self.dtype_policy}
        convolution = keras.layers.Conv2D
        self.convolutions = [
            _layer(convolution, width, 3, name="conv0", **options),
            _layer(convolution, 2 * width, 4, strides=2, name="conv1", **options),
            _layer(convolution, 4 * width, 5, strides=2, name="conv2", **options),
        ]
        self.flatten = keras.layers.Flatten(dtype=self.dtype_policy)
        self.head = _layer(keras.layers.Dense, num_outputs, dtype=self.dtype_policy, name="head")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        shape = (None, *self.image_shape)
        for layer in [*self.convolutions, self.flatten, self.head]:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the network."""
        for layer in self.convolutions:
            inputs = layer(inputs)
        return self.head(self.flatten(inputs))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """`(B, num_outputs)`."""
        return (input_shape[0], self.num_outputs)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        own = {"image_shape": self.image_shape, "num_outputs": self.num_outputs}
        return {**super().get_config(), **own, "width": self.width}


@keras.saving.register_keras_serializable("tf_sigma_vae.conv28")
class Decoder(keras.layers.Layer):
    """Latents `[B, latent_size]` to `[B, H, W, params_channels]`."""

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_size: int,
        params_channels: int,
        width: int = 32,
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          image_shape: `(H, W, C)`, H and W at least 8.
          latent_size: Size of the latent vector.
          params_channels: Channels to emit, as the likelihood asks.
          width: As of the encoder.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If the images are too small or the width not positive.
        """
        super().__init__(**kwargs)
        _check(image_shape, width)
        self.image_shape, self.latent_size = tuple(image_shape), latent_size
        self.params_channels, self.width = params_channels, width
        self.map_sizes = _map_sizes(image_shape)
        height, breadth = self.map_sizes[2]
        policy = {"dtype": self.dtype_policy}
        hidden = {"padding": "same", "activation": "relu", **policy}
        self.stem = _layer(keras.layers.Dense, height * breadth * 4 * width, name="stem", **policy)
        self.reshape = keras.layers.Reshape((height, breadth, 4 * width), **policy)
        transposed = keras.layers.Conv2DTranspose
        self.convolutions = [
            _layer(transposed, 2 * width, 6, strides=2, name="deconv0", **hidden),
            _layer(transposed, width, 6, strides=2, name="deconv1", **hidden),
            _layer(transposed, params_channels, 5, padding="same", name="deconv2", **policy),
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        shape = (None, self.latent_size)
        for layer in [self.stem, self.reshape, *self.convolutions]:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the network."""
        maps = self.reshape(self.stem(inputs))
        sizes = [self.map_sizes[1], self.map_sizes[0], self.map_sizes[0]]
        for layer, (height, breadth) in zip(self.convolutions, sizes, strict=True):
            maps = layer(maps)[:, :height, :breadth]
        return maps

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """`(B, H, W, params_channels)`."""
        return (input_shape[0], *self.image_shape[:2], self.params_channels)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        own = {"image_shape": self.image_shape, "latent_size": self.latent_size}
        own |= {"params_channels": self.params_channels, "width": self.width}
        return {**super().get_config(), **own}
