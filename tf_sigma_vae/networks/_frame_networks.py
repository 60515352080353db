"""What networks of single frames of a video have in common: sizes, options, and how they run.

A video's last context frame is shown to the decoder of all frames that follow, map by map, beside
the decoder's own maps; what the decoder makes of it is computed once (`_map_convolutions`).

Normalization is over a frame alone, never over a batch. Denton & Fergus 2018 normalize by batch,
and their published code does so in evaluation, too: what is made of a frame would depend there on
the frames beside it, on the number of replicas, and on gradient accumulation.
"""

import math
import numbers
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tf_sigma_vae.networks._map_convolutions import (
    LEAKY_GAIN,
    NORMALIZATIONS,
    SLOPE,
    Block,
    normal,
    normalization_of,
)

SMALLEST_SIDE = 16
SMALLEST_MAP = 4
"""Side of the map that becomes a vector: the shorter one is from here to below twice that."""
MAX_FACTOR = 8


class FrameNetwork(keras.layers.Layer):
    """Sizes and options of the networks of both directions.

    Maps halve `num_scales` times, down to about 4x4, and have `width` channels, twice as many at
    each scale up to eight times.

    Attributes:
      NETWORK: Name of the plug-in.
      FIRST_SKIP: How often the finest skip is halved.
    """

    NETWORK: ClassVar[str]
    FIRST_SKIP: ClassVar[int]

    def set_options(
        self, image_shape: Sequence[int], feature_size: int, width: int, normalization: str
    ) -> None:
        """Checks and sets them; for the constructor.

        Raises:
          ValueError: On an impossible shape, size or normalization.
        """
        self.image_shape, self.feature_size = tuple(image_shape), feature_size
        self.width, self.normalization = width, normalization
        for name in ("feature_size", "width"):
            require_whole(name, getattr(self, name))
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                f"normalization must be one of {', '.join(NORMALIZATIONS)}; got {normalization!r}"
            )
        sides = self.image_shape[:2]
        self.num_scales = max(1, (min(sides) // SMALLEST_MAP).bit_length() - 1)
        factor = 2**self.num_scales
        if min(sides) < SMALLEST_SIDE or any(side % factor for side in sides):
            at_least = f"of at least {SMALLEST_SIDE}x{SMALLEST_SIDE}"
            multiple = f", and of this size with sides that are multiples of {factor}"
            raise ValueError(
                f"{self.NETWORK} needs frames {at_least}"
                f"{multiple if min(sides) >= SMALLEST_SIDE else ''}; got {self.image_shape}"
            )

    @property
    def channels(self) -> list[int]:
        """Of the maps, finest first."""
        return [self.width * min(2**scale, MAX_FACTOR) for scale in range(self.num_scales)]

    @property
    def skip_shapes(self) -> list[tuple[int, int, int]]:
        """`(h, w, c)` of the skips, finest first."""
        return [
            (*self._size(self.FIRST_SKIP + scale), channels)
            for scale, channels in enumerate(self.channels)
        ]

    @property
    def last_shape(self) -> tuple[int, int, int]:
        """`(h, w, c)` of the map that becomes a vector, or is made of one."""
        return (*self._size(self.num_scales), self.channels[-1])

    def _size(self, halvings: int) -> tuple[int, int]:
        height, width = self.image_shape[:2]
        return height >> halvings, width >> halvings

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("image_shape", "feature_size", "width", "normalization")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class FrameReader(FrameNetwork):
    """Frames to features and skips; a subclass makes the blocks."""

    def __init__(
        self,
        image_shape: Sequence[int],
        feature_size: int,
        width: int = 64,
        normalization: str = "group",
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          image_shape: `(H, W, C)`.
          feature_size: Size of the vector.
          width: Channels of the finest maps.
          normalization: Over the map of a frame: `"group"` (of 16 channels or more), `"layer"` (all
            of them), `"none"`.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: On an impossible shape, size or normalization.
        """
        super().__init__(**kwargs)
        self.set_options(image_shape, feature_size, width, normalization)
        self.blocks = self.make_blocks()
        self._set_head()

    @abstractmethod
    def make_blocks(self) -> list[Block]:
        """One for each scale, finest first."""

    def _set_head(self) -> None:
        """The last layer, from the last map to the features."""
        policy = self.dtype_policy
        start = normal(1.0, math.prod(self.last_shape))
        self.flatten = keras.layers.Flatten(dtype=policy)
        self.head = keras.layers.Dense(
            self.feature_size, "tanh", kernel_initializer=start, dtype=policy, name="head"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        shape = (None, *self.image_shape)
        for block in self.blocks:
            block.build(shape)
            shape = block.compute_output_shape(shape)
        self.head.build((None, math.prod(self.last_shape)))
        self.built = True

    def shrink(self, maps: tf.Tensor) -> tf.Tensor:
        """What is done between two scales, where the convolutions do not do it."""
        return maps

    def call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Applies the network.

        Args:
          inputs: Frames `[N, H, W, C]`.

        Returns:
          Features in (-1, 1) `[N, feature_size]`, and the list of the skips `[N, h, w, c]`, finest
          first, of `skip_shapes`.
        """
        maps, skips = inputs, []
        for block in self.blocks:
            maps = block(maps)
            skips.append(maps)
            maps = self.shrink(maps)
        return self.head(self.flatten(maps)), skips

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[tuple[int | None, ...], list[tuple[int | None, ...]]]:
        """`(N, feature_size)`, and a list of `(N, h, w, c)`."""
        num = input_shape[0]
        return (num, self.feature_size), [(num, *shape) for shape in self.skip_shapes]


class FrameWriter(FrameNetwork):
    """Features and skips to parameters; a subclass makes the blocks."""

    def __init__(
        self,
        image_shape: Sequence[int],
        feature_size: int,
        params_channels: int,
        width: int = 64,
        normalization: str = "group",
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          image_shape: `(H, W, C)`.
          feature_size: Size of the vector.
          params_channels: Channels to emit, as the likelihood asks.
          width: As of the encoder.
          normalization: As of the encoder.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: On an impossible shape, size or normalization.
        """
        super().__init__(**kwargs)
        self.set_options(image_shape, feature_size, width, normalization)
        require_whole("params_channels", params_channels)
        self.params_channels = params_channels
        self._set_stem()
        self.blocks = self.make_blocks()

    @abstractmethod
    def make_blocks(self) -> list[Block]:
        """One for each scale, coarsest first."""

    def _set_stem(self) -> None:
        """The first layer, from the features to the first map."""
        policy = self.dtype_policy
        start = normal(LEAKY_GAIN, self.feature_size)
        *size, channels = self.last_shape
        self.stem = keras.layers.Conv2DTranspose(
            channels, tuple(size), kernel_initializer=start, dtype=policy, name="stem"
        )
        self.stem_normalization = normalization_of(self.normalization, channels, policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        self.stem.build((None, 1, 1, self.feature_size))
        if self.stem_normalization is not None:
            self.stem_normalization.build((None, *self.last_shape))
        for block, skip_shape in zip(self.blocks, reversed(self.skip_shapes), strict=True):
            block.build((None, *skip_shape))
        self.built = True

    def grow(self, maps: tf.Tensor) -> tf.Tensor:
        """What is done between two scales, where the convolutions do not do it."""
        return maps

    def call(self, features: tf.Tensor, skips: Sequence[tf.Tensor]) -> tf.Tensor:
        """Applies the network.

        Args:
          features: `[N, feature_size]`.
          skips: Of the encoder, `[M, h, w, c]` each. N is a multiple of M, and N / M features one
            after the other are for frames with the same skips.

        Returns:
          Parameters `[N, H, W, params_channels]`.
        """
        maps = self.stem(features[:, tf.newaxis, tf.newaxis])
        if self.stem_normalization is not None:
            maps = self.stem_normalization(maps)
        maps = tf.nn.leaky_relu(maps, SLOPE)
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            maps = block(self.grow(maps), skip)
        return maps

    def compute_output_shape(
        self,
        input_shape: tuple[int | None, ...],
        skips_shape: Sequence[tuple[int | None, ...]] | None = None,
    ) -> tuple[int | None, ...]:
        """`(N, H, W, params_channels)`."""
        return (input_shape[0], *self.image_shape[:2], self.params_channels)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        return {**super().get_config(), "params_channels": self.params_channels}


def require_whole(name: str, value: object) -> None:
    """Raises a ValueError for what is no whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
