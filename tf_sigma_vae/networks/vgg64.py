"""`vgg64`: 3x3 convolutions of frames of a video, down to a vector and back, with skips.

Encoder: blocks of 2, 2, 3 and 3 normalized 3x3 convolutions with leaky ReLU, to 64, 128, 256 and
512 channels, each followed by 2x2 max pooling; then all of the last 4x4 map to `feature_size`
numbers by a tanh. Decoder: the features to a 4x4 map, and as many convolutions back, a block after
each doubling of the map (nearest pixel), whose first one sees also the encoder's map from before
the pooling; the last one is linear. Sizes other than 64x64: as for `dcgan64`, with blocks of three
from the third scale on.

Normalization is by group over a frame, not by batch: see `normalization`.

Source: Denton & Fergus 2018, "Stochastic Video Generation with a Learned Prior", and its code;
Simonyan & Zisserman 2015 for the blocks.
"""

import keras
import tensorflow as tf

from tf_sigma_vae.networks._frame_networks import FrameReader, FrameWriter
from tf_sigma_vae.networks._map_convolutions import Block, MapConvolution

LATENT = "sequence"
SCALES_OF_TWO = 2


def _num_convolutions(scale: int) -> int:
    """Of a block."""
    return 2 if scale < SCALES_OF_TWO else 3


@keras.saving.register_keras_serializable("tf_sigma_vae.vgg64")
class FrameEncoder(FrameReader):
    """Frames `[N, H, W, C]` to features `[N, feature_size]` and skips, a map for each scale.

    Attributes:
      skip_shapes: `(h, w, c)` of the skips, finest first: from the full height and width.
    """

    NETWORK, FIRST_SKIP = "vgg64", 0

    def make_blocks(self) -> list[Block]:
        """See `FrameReader`."""
        before, blocks = self.image_shape[-1], []
        for scale, channels in enumerate(self.channels):
            filters = [channels] * _num_convolutions(scale)
            blocks.append(_block(filters, before, self.normalization, self.dtype_policy))
            before = channels
        return blocks

    def shrink(self, maps: tf.Tensor) -> tf.Tensor:
        """Max pooling."""
        return tf.nn.max_pool2d(maps, 2, 2, "VALID")


@keras.saving.register_keras_serializable("tf_sigma_vae.vgg64")
class FrameDecoder(FrameWriter):
    """Features `[N, feature_size]` and skips to parameters `[N, H, W, params_channels]`."""

    NETWORK, FIRST_SKIP = "vgg64", 0

    def make_blocks(self) -> list[Block]:
        """See `FrameWriter`."""
        self.upsampling = keras.layers.UpSampling2D(2, dtype=self.dtype_policy)
        blocks = []
        for scale, channels in enumerate(self.channels):
            filters = [channels] * (_num_convolutions(scale) - 1)
            filters.append(self.channels[scale - 1] if scale > 0 else self.params_channels)
            given = (filters, channels, self.normalization, self.dtype_policy)
            blocks.append(_block(*given, joins=True, ends=scale == 0))
        return blocks[::-1]

    def grow(self, maps: tf.Tensor) -> tf.Tensor:
        """Each pixel four times."""
        return self.upsampling(maps)


def _block(
    filters: list[int],
    channels: int,
    normalization: str,
    policy: keras.DTypePolicy,
    joins: bool = False,
    ends: bool = False,
) -> Block:
    """3x3 convolutions.

    Args:
      filters: Channels after each.
      channels: Before the first.
      normalization: Of each.
      policy: Keras policy.
      joins: Whether the first one takes skips.
      ends: Whether the last one is linear.
    """
    convolutions, last = [], len(filters) - 1
    for index, number in enumerate(filters):
        kind = None if ends and index == last else normalization
        given = (keras.layers.Conv2D, number, 3, 1, channels, joins and index == 0, kind)
        convolutions.append(MapConvolution(*given, dtype=policy))
        channels = number
    return Block(convolutions, dtype=policy)
