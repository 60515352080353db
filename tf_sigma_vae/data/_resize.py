"""Resizing and centre-cropping of 8-bit images.

Every resize in this package is Pillow's bilinear filter, whose support grows with the reduction:
shrinking averages over all source pixels (antialiased), as the usual image pipelines do.
"""

import os
from collections.abc import Callable, Iterable
from concurrent import futures

import numpy as np
from PIL import Image

METHODS = ("crop", "squash")


def crop_box(width: int, height: int, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest centred box with the aspect of `size`, as (left, top, right, bottom).

    In pixels of the source, fractions allowed: the box is resampled, not rounded.

    Args:
      width: Width of the source.
      height: Height of the source.
      size: (height, width) of the target.
    """
    scale = min(height / size[0], width / size[1])
    box_height, box_width = scale * size[0], scale * size[1]
    left, top = (width - box_width) / 2, (height - box_height) / 2
    return left, top, left + box_width, top + box_height


def fit(image: Image.Image, size: tuple[int, int], method: str) -> Image.Image:
    """One image at the size asked for.

    Args:
      image: Greyscale or RGB.
      size: (height, width) of the result.
      method: "crop" keeps the aspect: the largest centred box is cut out, then resized. "squash"
        resizes the whole image and lets the aspect change.

    Returns:
      The image itself where it has that size already.
    """
    if (image.height, image.width) == size:
        return image
    box = crop_box(image.width, image.height, size) if method == "crop" else None
    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box)


def fit_all(images: np.ndarray, size: tuple[int, int] | None, method: str) -> np.ndarray:
    """An array of images at the size asked for.

    Args:
      images: uint8 `[N, H, W, C]`, C = 1 or 3.
      size: (height, width), or None to leave the images as they are.
      method: As for `fit`.

    Returns:
      uint8 `[N, height, width, C]`.
    """
    if size is None or images.shape[1:3] == size:
        return images
    channels = images.shape[-1]

    def resized(image: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        return np.asarray(fit(picture, size, method)).reshape(*size, channels)

    result = np.empty((len(images), *size, channels), np.uint8)
    for row, image in zip(result, in_parallel(resized, images), strict=True):
        row[:] = image
    return result


def in_parallel(function: Callable, items: Iterable) -> Iterable:
    """`map(function, items)` on one thread a core, in order; Pillow releases the lock."""
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(function, items)
