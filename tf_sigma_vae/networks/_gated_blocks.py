"""Layers that deep ladders are made of: weight-normalised convolutions and gated residual blocks.

A convolution's kernel is `g v / |v|`, the norm over all axes but that of the outputs (Salimans &
Kingma 2016, Eq. 2). Whatever the fan-in, the outputs then start with the mean square of the inputs
times `g^2`, so that a constant start of `g` does here what the data-dependent initialization of
that paper does for networks without shortcuts; there is none.

A block adds `a sigmoid(b)` to its input, the two halves of what two convolutions make of it, each
after an ELU (van den Oord et al. 2016, Eq. 2, for the gate; He et al. 2016 for the order).
"""

from typing import Any

import keras
import tensorflow as tf

_START_OF_V = 0.05
"""Standard deviation; of no influence on the kernels at the start, but on how fast they turn."""


class WeightNormConv(keras.layers.Layer):
    """Convolution of maps `[B, H, W, C]` with a kernel `g v / |v|`, and a bias."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int = 1,
        padding: str = "same",
        gain: float = 1.0,
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          filters: Channels of the output.
          kernel_size: A number, or a pair.
          strides: Of both axes.
          padding: `"same"` or `"valid"`.
          gain: What `g` starts from.
          **kwargs: Of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.filters, self.strides, self.padding, self.gain = filters, strides, padding, gain
        if not isinstance(kernel_size, tuple):
            kernel_size = (kernel_size, kernel_size)
        self.kernel_size = kernel_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights; they stay float32 until the kernel is made of them."""
        shape = (*self.kernel_size, input_shape[-1], self.filters)
        exact = {"dtype": "float32", "autocast": False}
        start = keras.initializers.RandomNormal(stddev=_START_OF_V)
        self.v = self.add_weight(shape=shape, initializer=start, name="v", **exact)
        gain = keras.initializers.Constant(self.gain)
        self.g = self.add_weight(shape=shape[-1:], initializer=gain, name="g", **exact)
        self.bias = self.add_weight(shape=shape[-1:], initializer="zeros", name="bias", **exact)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layer."""
        v = tf.convert_to_tensor(self.v)
        norm = tf.sqrt(tf.reduce_sum(tf.square(v), axis=[0, 1, 2]))
        kernel = tf.cast(v * (self.g / norm), self.compute_dtype)
        outputs = tf.nn.conv2d(inputs, kernel, self.strides, self.padding.upper())
        return outputs + tf.cast(self.bias, self.compute_dtype)


class Rematerializable(keras.layers.Layer):
    """A layer that can forget what it computed on the way, and compute it again for the gradient.

    A subclass implements `compute`.
    """

    def __init__(self, rematerialize: bool = False, **kwargs: Any) -> None:
        """Builds the layer.

        Args:
          rematerialize: Whether a training step keeps the inputs alone, to save memory.
          **kwargs: Of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.rematerialize = rematerialize

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Applies the layer."""
        if self.rematerialize and training:
            return keras.remat(self.compute)(inputs)
        return self.compute(inputs)


class GatedBlock(keras.layers.Layer):
    """Residual block of maps `[B, H, W, C]`."""

    def __init__(
        self, channels: int, kernel_size: int = 3, gain: float = 1.0, **kwargs: Any
    ) -> None:
        """Builds the layer.

        Args:
          channels: Of input and output.
          kernel_size: Of both convolutions.
          gain: What `g` of the second one starts from: small ones make the block start as nothing.
          **kwargs: Of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        policy = {"dtype": self.dtype_policy}
        self.first = WeightNormConv(channels, kernel_size, name="first", **policy)
        self.second = WeightNormConv(2 * channels, kernel_size, gain=gain, name="second", **policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        self.first.build(input_shape)
        self.second.build(input_shape)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the block."""
        change, gate = tf.split(self.second(tf.nn.elu(self.first(tf.nn.elu(inputs)))), 2, axis=-1)
        return inputs + change * tf.sigmoid(gate)


class Activated(Rematerializable):
    """Convolutions of maps `[B, H, W, C]`, an ELU before each."""

    def __init__(self, convolutions: list[WeightNormConv], **kwargs: Any) -> None:
        """Builds the layer.

        Args:
          convolutions: In the order in which they are applied, at least one.
          **kwargs: Of `Rematerializable`.
        """
        super().__init__(**kwargs)
        self.convolutions = convolutions

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        for layer in self.convolutions:
            layer.build(input_shape)
            input_shape = (*input_shape[:-1], layer.filters)
        self.built = True

    def compute(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the convolutions."""
        for layer in self.convolutions:
            inputs = layer(tf.nn.elu(inputs))
        return inputs


class Upsample(keras.layers.Layer):
    """Maps `[B, h, w, C]` to larger ones `[B, H, W, C]`, by a convolution that gives a pixel many.

    Twice as large, cropped where H or W is odd (Shi et al. 2016); any size from maps of one pixel.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], from_vector: bool, **kwargs: Any
    ) -> None:
        """Builds the layer.

        Args:
          channels: Of input and output.
          size: `(H, W)`.
          from_vector: Whether the input is of one pixel.
          **kwargs: Of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.channels, self.size, self.from_vector = channels, tuple(size), from_vector
        pixels = size[0] * size[1] if from_vector else 4
        self.convolution = WeightNormConv(
            pixels * channels, 1, dtype=self.dtype_policy, name="convolution"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        self.convolution.build(input_shape)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layer."""
        pixels = self.convolution(tf.nn.elu(inputs))
        if self.from_vector:
            return tf.reshape(pixels, [-1, *self.size, self.channels])
        height, width = self.size
        return tf.nn.depth_to_space(pixels, 2)[:, :height, :width]


class Chain(Rematerializable):
    """Layers applied one after the other; none leaves the input as it is."""

    def __init__(self, chained: list[keras.layers.Layer], **kwargs: Any) -> None:
        """Builds the layer.

        Args:
          chained: Layers whose inputs have as many channels as that of the first, which keep them.
          **kwargs: Of `Rematerializable`.
        """
        super().__init__(**kwargs)
        self.chained = chained

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        for layer in self.chained:
            layer.build(input_shape)
        self.built = True

    def compute(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layers."""
        for layer in self.chained:
            inputs = layer(inputs)
        return inputs
