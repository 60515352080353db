"""Images to measure, in batches, each set with the record of what it is."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from tf_sigma_vae import image_grid, noise
from tf_sigma_vae.evaluation.fid.protocol import Source
from tf_sigma_vae.models import LatentVariableModel

CHUNK = 64
"""Images in a batch. Fixed, so that the decoder's noise is a function of seed and place alone."""


class Images(Iterable[np.ndarray]):
    """Batches `[B, H, W, C]` of grey levels 0 to 255, uint8, or float32 where not rounded.

    Can be gone through again; the batches are the same then.

    Attributes:
      source: What the images are.
    """

    source: Source

    def __init__(self, source: Source, batches: Callable[[], Iterator[np.ndarray]]) -> None:
        """Joins a record and a function that begins the batches."""
        self.source = source
        self._batches = batches

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._batches()


def dataset_images(
    images: np.ndarray, dataset: str | None = None, split: str | None = None
) -> Images:
    """The images of a dataset.

    Args:
      images: uint8 `[N, H, W, C]`.
      dataset: Its name, for the record.
      split: Which part of it, for the record.

    Raises:
      ValueError: If the images are of another type or shape, or there are none.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise ValueError(
            f"images must be uint8 [N, H, W, C], N at least 1, got {images.dtype} {images.shape}"
        )
    source = Source("data", len(images), images.shape[1:], True, dataset, split)

    def batches() -> Iterator[np.ndarray]:
        for start in range(0, len(images), CHUNK):
            yield images[start : start + CHUNK]

    return Images(source, batches)


def prior_samples(
    model: LatentVariableModel,
    num_samples: int,
    draw: str = "mean",
    seed: int = 0,
    eight_bit: bool = True,
) -> Images:
    """Samples of a model, drawn batch by batch while they are gone through.

    Args:
      model: A `LatentVariableModel` that holds a scale.
      num_samples: How many.
      draw: "mean" for `p(x|z).mean()`, "noisy" for draws from `p(x|z)`, of the same z.
      seed: Same seed, same samples; the first do not depend on their number. The z, and so the
        means, are those of `model.sample`.
      eight_bit: Whether to round to grey levels, as an image file would. Values outside of [0, 1],
        as noise gives them, are clipped either way.

    Raises:
      ValueError: On an unknown draw, or an impossible number.
      NotCalibratedError: If an analytic likelihood holds no scale.
    """
    if draw not in ("mean", "noisy"):
        raise ValueError(f"draw must be 'mean' or 'noisy', got {draw!r}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    model.likelihood.require_scale()
    source = Source(draw, num_samples, model.image_shape, eight_bit, seed=seed)

    def batches() -> Iterator[np.ndarray]:
        # Whole chunks, of which the last is cut: a draw depends on the shape of what is drawn.
        num_chunks = -(-num_samples // CHUNK)
        ids = noise.row_ids(num_chunks * CHUNK, seed)
        for chunk in range(num_chunks):
            z = model.sample_prior(ids[chunk * CHUNK : (chunk + 1) * CHUNK])
            likelihood = model.decode(z)
            if draw == "mean":
                x = likelihood.mean()
            else:
                x = likelihood.sample(seed=[seed, 1 + chunk])
            x = x.numpy()[: num_samples - chunk * CHUNK]
            yield image_grid.to_uint8(x) if eight_bit else _levels(x)

    return Images(source, batches)


def _levels(x: np.ndarray) -> np.ndarray:
    return np.clip(x, 0.0, 1.0).astype(np.float32) * np.float32(255.0)


class ContentHash:
    """SHA-256 of images that come in batches; how they are cut into batches does not matter."""

    def __init__(self) -> None:
        """Of no images yet."""
        self._pixels = hashlib.sha256()
        self._form = ""

    def update(self, images: np.ndarray) -> None:
        """Adds a batch `[B, H, W, C]`."""
        self._form = f"{images.dtype.str} {images.shape[1:]}"
        self._pixels.update(np.ascontiguousarray(images).data)

    def hexdigest(self) -> str:
        """The hash of all images so far."""
        return hashlib.sha256(f"{self._form} {self._pixels.hexdigest()}".encode()).hexdigest()


def with_content_hash(images: Images) -> Source:
    """The record of a set with the hash of its content, for which it is gone through."""
    content = ContentHash()
    for batch in images:
        content.update(batch)
    return dataclasses.replace(images.source, content_hash=content.hexdigest())
