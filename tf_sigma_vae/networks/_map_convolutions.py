"""Convolutions of maps with others beside them, normalized by map, that networks of frames are of.

A convolution of two maps side by side is the sum of one of each,

    K * [maps, skips] = K' * maps + K'' * skips,

so that the second is computed once where several maps have the same skips.
"""

import math
from typing import Any

import keras
import tensorflow as tf

SLOPE = 0.2
"""Of leaky ReLUs, below 0."""
CHANNELS_OF_A_GROUP = 16
"""Wu & He 2018, Table 3."""
NORMALIZATIONS = ("group", "layer", "none")
LEAKY_GAIN = 2.0 / (1.0 + SLOPE**2)
"""Keeps the variance through a leaky ReLU (He et al. 2015, Eq. 15)."""
_EPSILON = 1e-5


def normal(variance: float, fan_in: int) -> keras.initializers.Initializer:
    """Kernels whose outputs have a variance, over the mean square of their inputs.

    An instance a layer, or they would share random numbers. Keras would count the fan-in of
    transposed convolutions by their outputs.
    """
    return keras.initializers.RandomNormal(stddev=math.sqrt(variance / fan_in))


def _num_groups(channels: int) -> int:
    """As many groups as divide the channels into groups of at least `CHANNELS_OF_A_GROUP`."""
    most = max(1, channels // CHANNELS_OF_A_GROUP)
    return max(number for number in range(1, most + 1) if channels % number == 0)


class MapConvolution(keras.layers.Layer):
    """`leaky_relu(normalized(convolution))` of maps `[N, h, w, c]`, or the convolution alone.

    Attributes:
      of_skips: The convolution of the skips, None where there are none.
    """

    def __init__(
        self,
        kind: type[keras.layers.Layer],
        filters: int,
        kernel_size: int,
        strides: int,
        channels: int,
        joins: bool = False,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          kind: `keras.layers.Conv2D`, or `Conv2DTranspose`.
          filters: Channels of the output.
          kernel_size: Of both axes.
          strides: Of both axes.
          channels: Of the input, and of skips.
          joins: Whether there are skips beside the input.
          normalization: One of `NORMALIZATIONS`; None for the convolution alone.
          **kwargs: Of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        policy = {"dtype": self.dtype_policy}
        self.channels, self.is_linear = channels, normalization is None
        # A pixel of a transposed convolution gets to see one tap in `strides`, on either axis.
        taps = kernel_size**2 // (strides**2 if kind is keras.layers.Conv2DTranspose else 1)
        variance = 1.0 if self.is_linear else LEAKY_GAIN

        def convolution(**more: Any) -> keras.layers.Layer:
            start = normal(variance, taps * channels * (1 + joins))
            options = {"padding": "same", "kernel_initializer": start, **policy, **more}
            return kind(filters, kernel_size, strides, **options)

        self.convolution = convolution(name="convolution")
        self.of_skips = convolution(use_bias=False, name="of_skips") if joins else None
        self.normalization = normalization_of(normalization, filters, self.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        shape = (None, *input_shape[1:3], self.channels)
        self.convolution.build(shape)
        if self.of_skips is not None:
            self.of_skips.build(shape)
        if self.normalization is not None:
            self.normalization.build(self.convolution.compute_output_shape(shape))
        self.built = True

    def call(self, maps: tf.Tensor, skips: tf.Tensor | None = None) -> tf.Tensor:
        """Applies the layer.

        Args:
          maps: `[N, h, w, channels]`.
          skips: `[M, h, w, channels]`, N a multiple of M; see `_add_to_each`.
        """
        maps = self.convolution(maps)
        if self.of_skips is not None:
            maps = _add_to_each(maps, self.of_skips(skips))
        if self.normalization is not None:
            maps = self.normalization(maps)
        return maps if self.is_linear else tf.nn.leaky_relu(maps, SLOPE)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """That of the convolution."""
        return self.convolution.compute_output_shape(input_shape)


def _add_to_each(maps: tf.Tensor, skips: tf.Tensor) -> tf.Tensor:
    """Maps `[N, h, w, c]` plus skips `[M, h, w, c]`: row i of the first, i // (N / M) of these."""
    shape, num_clips = tf.shape(maps), tf.shape(skips)[0]
    # No size is left to infer: a replica may have been handed no row at all.
    num_each = shape[0] // tf.maximum(num_clips, 1)
    by_clip = tf.reshape(maps, tf.concat([[num_clips, num_each], shape[1:]], axis=0))
    return tf.reshape(by_clip + skips[:, tf.newaxis], shape)


def normalization_of(
    kind: str | None, channels: int, policy: keras.DTypePolicy
) -> keras.layers.Layer | None:
    """The layer of one of `NORMALIZATIONS`; none for `"none"` and for None."""
    if kind in (None, "none"):
        return None
    groups = _num_groups(channels) if kind == "group" else 1
    return keras.layers.GroupNormalization(groups, epsilon=_EPSILON, dtype=policy)


class Block(keras.layers.Layer):
    """Convolutions one after the other, of which the first may take skips."""

    def __init__(self, convolutions: list[MapConvolution], **kwargs: Any) -> None:
        """Builds the layer.

        Args:
          convolutions: At least one.
          **kwargs: Of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.convolutions = convolutions

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        for layer in self.convolutions:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        self.built = True

    def call(self, maps: tf.Tensor, skips: tf.Tensor | None = None) -> tf.Tensor:
        """Applies the convolutions to maps `[N, h, w, c]` and skips as of `MapConvolution`."""
        first, *others = self.convolutions
        maps = first(maps, skips)
        for layer in others:
            maps = layer(maps)
        return maps

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape after the last one."""
        for layer in self.convolutions:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape
