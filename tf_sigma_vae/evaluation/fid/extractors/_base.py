"""What every extractor shares: checks, grey to color, and the resizing of those that have none."""

from abc import ABC, abstractmethod

import numpy as np
import tensorflow as tf

from tf_sigma_vae.evaluation.fid.protocol import Extraction

RESIZE = "bilinear before the network, half-pixel centers, antialiased"
MAX_LEVEL = 255.0


class Extractor(ABC):
    """Maps images to features; a subclass gives the network.

    Attributes:
      extraction: The record of what it does.
      channels: Channels that the network takes.
    """

    extraction: Extraction
    channels: int = 3

    def __init__(self, path: str | None = None) -> None:  # noqa: B027, subclasses without a file
        """Loads the network.

        Args:
          path: Of its file; None where the extractor knows where to get it, or needs none.
        """

    @classmethod
    def plugin_name(cls) -> str:
        """The name of the module."""
        return cls.__module__.rpartition(".")[2]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Extracts features.

        Args:
          images: `[B, H, W, C]`, grey levels 0 to 255, uint8 or float32. C is that of the network,
            or 1: then the channel is repeated.

        Returns:
          float32 `[B, D]`.

        Raises:
          ValueError: If the images are of another type or shape, or what the network makes of them
            is no vector for each.
          FloatingPointError: If a feature is not finite.
        """
        if images.dtype not in (np.uint8, np.float32) or images.ndim != 4:
            raise ValueError(
                "images must be uint8 or float32 [B, H, W, C], levels 0 to 255, got "
                f"{images.dtype} {images.shape}"
            )
        if images.shape[-1] not in (1, self.channels):
            raise ValueError(
                f"{self.extraction.label} takes images of {self.channels} channels, or of one, "
                f"got {images.shape[-1]}"
            )
        repeats = self.channels // images.shape[-1]
        levels = np.repeat(images.astype(np.float32), repeats, axis=-1)
        features = np.asarray(self.extract(levels), np.float32)
        if features.ndim != 2 or len(features) != len(images):
            raise ValueError(
                f"features must be [B, D], got {features.shape} from {self.extraction.label} for "
                f"{len(images)} images"
            )
        if not np.all(np.isfinite(features)):
            raise FloatingPointError(f"a feature of {self.extraction.label} is not finite")
        return features

    @abstractmethod
    def extract(self, levels: np.ndarray) -> np.ndarray | tf.Tensor:
        """The features of float32 `[B, H, W, channels]`, levels 0 to 255, as `[B, D]`."""


def prepared(
    levels: tf.Tensor, size: tuple[int, int] | None, input_range: tuple[float, float]
) -> tf.Tensor:
    """Levels 0 to 255, resized as `RESIZE` says (unless size is None), in the input range."""
    low, high = input_range
    if size is not None:
        levels = tf.image.resize(levels, size, method="bilinear", antialias=True)
    return levels * ((high - low) / MAX_LEVEL) + low
