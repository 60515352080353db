"""CelebA, aligned photographs of faces."""

import types

import numpy as np

from tf_sigma_vae.data import _options, _resize, _tfds

_SIZES = (64, 32)
_HEIGHT, _WIDTH = 218, 178


class Celeba(_tfds.TfdsImages):
    """CelebA, aligned: 162,770 training, 19,867 validation and 19,962 test faces of its partition.

    Out of each image of 218x178 pixels a square is cut and resized to 64x64 or 32x32 (bilinear with
    antialiasing, rounded to grey levels). Papers differ in the square:

    | `crop` | `crop_offset` | who |
    |---|---|---|
    | 148 | 0 | common in public VAE code: Larsen's size, centered (the default) |
    | 148 | 5 | Larsen et al. 2016 (VAE/GAN), and after it NVAE (Vahdat & Kautz 2020) |
    | 140 | 0 | Tolstikhin et al. 2018 (WAE), "close crop" |
    | 178 | 0 | the whole width |

    Likelihoods and distances of different squares or sizes are not comparable. Rybkin et al. 2021
    state neither theirs.

    Preparing it fetches 1.5 GB from Google Drive, which often refuses, and holds them in memory
    for a while. Loading decodes all faces anew: about two minutes on 2 CPU cores. In memory they
    take 2.5 GB at 64x64 and 0.6 GB at 32x32; training holds its part of them a second time.

    Source: Z. Liu, P. Luo, X. Wang and X. Tang 2015, through TensorFlow Datasets (`celeb_a`).
    """

    tfds_name = "celeb_a"
    splits = types.MappingProxyType({split: split for split in ("train", "validation", "test")})

    def __init__(self, *, image_size: int = 64, crop: int = 148, crop_offset: int = 0) -> None:
        """Chooses the square and its size.

        Args:
          image_size: Height and width of the result in pixels, 64 or 32.
          crop: Side of the square, in pixels of the original, from `image_size` to 178.
          crop_offset: Pixels by which the square lies below the center, negative for above.
        """
        self.image_size = _options.choice("image_size", image_size, _SIZES)
        self.crop = _options.integer("crop", crop, minimum=self.image_size)
        if self.crop > _WIDTH:
            raise ValueError(f"crop must be at most {_WIDTH}, the width of the images, got {crop}")
        spare = (_HEIGHT - self.crop) // 2
        self.crop_offset = _options.integer("crop_offset", crop_offset, minimum=-spare)
        if self.crop_offset > spare:
            raise ValueError(
                f"crop_offset must be from {-spare} to {spare} where crop={crop}, got {crop_offset}"
            )

    def _convert(self, images: np.ndarray) -> np.ndarray:
        top = (_HEIGHT - self.crop) // 2 + self.crop_offset
        left = (_WIDTH - self.crop) // 2
        square = images[:, top : top + self.crop, left : left + self.crop]
        return _resize.fit_all(square, (self.image_size, self.image_size), "squash")
