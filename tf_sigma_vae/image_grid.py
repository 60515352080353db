"""Grids of small images as arrays: for TensorBoard, and to be labelled and saved as PNG.

The functions that take a model ask it for no more than `model(x)` and `model.sample(n, seed)`,
`level_images` for what a model of several levels has.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import ArrayLike

WHITE = 255
GAP = 1


def to_uint8(images: ArrayLike) -> np.ndarray:
    """Images in [0, 1] as 8-bit grey levels; values outside, as noise gives them, are clipped.

    Args:
      images: Floats of any shape.

    Returns:
      uint8 of that shape.
    """
    return np.rint(np.clip(np.asarray(images, np.float64), 0.0, 1.0) * 255.0).astype(np.uint8)


def tile(images: np.ndarray, gap: int = GAP) -> np.ndarray:
    """One picture from rows of images, with white gaps between them.

    Args:
      images: uint8 `[rows, columns, H, W, C]`.
      gap: Pixels between images.

    Returns:
      uint8 `[rows * (H + gap) - gap, columns * (W + gap) - gap, C]`.

    Raises:
      ValueError: If the images are not uint8, or not arranged in rows and columns.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 5:
        raise ValueError(
            "images must be uint8 [rows, columns, H, W, C], got "
            f"{images.dtype} {list(images.shape)}"
        )
    rows, columns, height, width, channels = images.shape
    shape = (rows * (height + gap), columns * (width + gap), channels)
    picture = np.full(shape, WHITE, np.uint8)
    # Each image with its gap below and to the right is a block of the picture.
    blocks = picture.reshape(rows, height + gap, columns, width + gap, channels)
    blocks[:, :height, :, :width] = images.transpose(0, 2, 1, 3, 4)
    return picture[: shape[0] - gap, : shape[1] - gap]


def near_square(images: np.ndarray) -> np.ndarray:
    """Images arranged in rows and columns, about as many of each; white fills the last row.

    Args:
      images: uint8 `[N, H, W, C]`.

    Returns:
      uint8 `[rows, columns, H, W, C]`.
    """
    columns = math.ceil(math.sqrt(len(images)))
    rows = -(-len(images) // columns)
    filled = np.full((rows * columns, *images.shape[1:]), WHITE, np.uint8)
    filled[: len(images)] = images
    return filled.reshape(rows, columns, *images.shape[1:])


def upscale(images: np.ndarray, factor: int) -> np.ndarray:
    """The images `[..., H, W, C]` with each pixel repeated `factor` times each way."""
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)


def readable_factor(image_shape: Sequence[int], wanted: int = 64) -> int:
    """By how much to enlarge images so that their longer side has at least `wanted` pixels."""
    return max(1, -(-wanted // max(image_shape[:2])))


def prior_images(
    model: keras.Model, num_samples: int, seed: int = 0, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Samples from the prior as mean images, and with the decoder's noise, from the same z.

    Args:
      model: A `LatentVariableModel`.
      num_samples: Number of samples `n`.
      seed: Same seed, same samples.
      temperature: Factor on the scales of the prior.

    Returns:
      Pair of uint8 `[n, H, W, C]`.
    """
    likelihood, noisy, _ = model.sample(num_samples, seed=seed, temperature=temperature)
    return to_uint8(likelihood.mean()), to_uint8(noisy)


def reconstruction_images(model: keras.Model, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Originals, their mean reconstructions, and reconstructions with the decoder's noise.

    Args:
      model: A `LatentVariableModel`.
      images: uint8 `[N, H, W, C]`.
      seed: Of the decoder's noise.

    Returns:
      uint8 `[3, N, H, W, C]`.
    """
    output = model(np.asarray(images, np.float32) / np.float32(255.0), training=False)
    noisy = output.likelihood.sample(seed=[seed, 1])
    return np.stack([images, to_uint8(output.likelihood.mean()), to_uint8(noisy)])


def level_images(model: keras.Model, images: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Originals, and mean images of which more and more levels of the latent are from q(z|x).

    Args:
      model: A `LatentVariableModel` of several levels.
      images: uint8 `[N, H, W, C]`.
      temperature: Factor on the scales of the prior, that the other levels are drawn from.

    Returns:
      uint8 `[num_levels + 2, N, H, W, C]`: the originals; then nothing from q(z|x), its top level,
      and so on to all levels, with the draws that `model(x)` makes.
    """
    x = np.asarray(images, np.float32) / np.float32(255.0)
    ids = model.posterior_noise_ids(x, training=False)
    means = to_uint8(model.reconstructions_by_level(x, ids, temperature))
    return np.concatenate([images[np.newaxis], means])


def prior_grid(model: keras.Model, num_samples: int, seed: int = 0) -> np.ndarray:
    """One picture of mean images of prior samples, uint8 `[H', W', C]`."""
    return tile(near_square(prior_images(model, num_samples, seed)[0]))


def reconstruction_grid(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """One picture of originals above their mean reconstructions, uint8 `[H', W', C]`."""
    return tile(reconstruction_images(model, images)[:2])
