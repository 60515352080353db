"""`dcgan64`: strided convolutions of frames of a video, down to a vector and back, with skips.

Encoder: 4x4 convolutions with stride 2 to 64, 128, 256 and 512 channels, normalized, leaky ReLU;
then all of the last 4x4 map to `feature_size` numbers by a tanh. Decoder: the features to a 4x4 map
and transposed 4x4 convolutions with stride 2 back, each of which sees, beside the map, that of the
encoder of the same size; the last one is linear. At 64x64 there are four scales; other sizes from
16x16, of sides that stay whole as they are halved, have as many as lead to 4x4 to 7x7, or to such a
shorter side. As of the fifth, maps get no wider.

Normalization is by group over a frame, not by batch: see `normalization`.

Source: Denton & Fergus 2018, "Stochastic Video Generation with a Learned Prior", and its code;
Radford et al. 2016 for the convolutions.
"""

import keras

from tf_sigma_vae.networks._frame_networks import FrameReader, FrameWriter
from tf_sigma_vae.networks._map_convolutions import Block, MapConvolution

LATENT = "sequence"
KERNEL_SIZE, STRIDES = 4, 2


@keras.saving.register_keras_serializable("tf_sigma_vae.dcgan64")
class FrameEncoder(FrameReader):
    """Frames `[N, H, W, C]` to features `[N, feature_size]` and skips, a map for each scale.

    Attributes:
      skip_shapes: `(h, w, c)` of the skips, finest first: from half the height and width.
    """

    NETWORK, FIRST_SKIP = "dcgan64", 1

    def make_blocks(self) -> list[Block]:
        """See `FrameReader`."""
        before, blocks = self.image_shape[-1], []
        for channels in self.channels:
            given = (keras.layers.Conv2D, channels, before, self.normalization, self.dtype_policy)
            blocks.append(_block(*given))
            before = channels
        return blocks


@keras.saving.register_keras_serializable("tf_sigma_vae.dcgan64")
class FrameDecoder(FrameWriter):
    """Features `[N, feature_size]` and skips to parameters `[N, H, W, params_channels]`."""

    NETWORK, FIRST_SKIP = "dcgan64", 1

    def make_blocks(self) -> list[Block]:
        """See `FrameWriter`."""
        filters = [self.params_channels, *self.channels[:-1]]
        kinds = [None] + [self.normalization] * (self.num_scales - 1)
        return [
            _block(keras.layers.Conv2DTranspose, *given, self.dtype_policy, joins=True)
            for given in reversed(list(zip(filters, self.channels, kinds, strict=True)))
        ]


def _block(
    kind: type[keras.layers.Layer],
    filters: int,
    channels: int,
    normalization: str | None,
    policy: keras.DTypePolicy,
    joins: bool = False,
) -> Block:
    given = (kind, filters, KERNEL_SIZE, STRIDES, channels, joins, normalization)
    return Block([MapConvolution(*given, dtype=policy)], dtype=policy)
