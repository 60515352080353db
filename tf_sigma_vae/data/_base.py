"""The contract of a dataset plug-in."""

from collections.abc import Iterable

import numpy as np

SPLITS = ("train", "validation", "test")


class Dataset:
    """What datasets of images and of videos have in common.

    Attributes:
      tfds_name: Name of the TensorFlow Datasets builder the data come from; None where nothing
        has to be prepared.
    """

    tfds_name: str | None = None

    @classmethod
    def plugin_name(cls) -> str:
        """The name of the plug-in in flags and configs: that of its module."""
        return cls.__module__.rsplit(".", 1)[-1]

    def _read(self, data_dir: str | None, download: bool) -> dict:
        """What `load` returns, before it is checked."""
        raise NotImplementedError(f"{type(self).__name__} does not implement _read")


class ImageDataset(Dataset):
    """Images in memory, as bytes, in splits that do not overlap.

    A plug-in subclasses this, takes its options as keyword arguments with defaults, checks them
    in its constructor, and implements `_read`.
    """

    def load(self, data_dir: str | None = None, download: bool = False) -> dict[str, np.ndarray]:
        """Reads and decodes every image, once.

        Args:
          data_dir: Folder of the prepared data; None for the source's own default.
          download: Whether data that are missing may be fetched from the network.

        Returns:
          Arrays under "train", "test" and, where the source brings its own, "validation":
          uint8 `[N, H, W, C]`, with C = 1 or 3, and the same `[H, W, C]` in all of them.

        Raises:
          FileNotFoundError: If the data are missing; the message says how to get them.
          ValueError: If what was read does not keep the contract above.
        """
        arrays = self._read(data_dir, download)
        check_arrays(arrays, self.plugin_name())
        return arrays


def check_splits(names: Iterable[str], source: str) -> None:
    """Checks the names of splits.

    Raises:
      ValueError: Naming the source and the splits, if one is missing or unknown.
    """
    missing, unknown = {"train", "test"} - set(names), set(names) - set(SPLITS)
    if missing or unknown:
        raise ValueError(
            f"{source}: splits must be train, test and optionally validation, got {sorted(names)}"
        )


def check_arrays(arrays: dict[str, np.ndarray], source: str) -> None:
    """Checks the contract of `ImageDataset.load`.

    Args:
      arrays: Images by split.
      source: What the arrays were read from, for messages.

    Raises:
      ValueError: Naming the source, the split and what is wrong with it.
    """
    check_splits(arrays, source)
    for split, images in arrays.items():
        check_images(images, f"{source}, split {split!r}")
    shapes = {split: images.shape[1:] for split, images in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"{source}: image shapes differ between splits: {shapes}")


def check_images(images: np.ndarray, source: str) -> None:
    """Checks that images are a non-empty uint8 array `[N, H, W, C]` with C = 1 or 3.

    Raises:
      ValueError: Naming the source and what is wrong.
    """
    if images.dtype != np.uint8:
        raise ValueError(
            f"{source}: images must be uint8 grey levels 0..255, got {images.dtype} "
            "(scaling to [0, 1] happens in the pipeline)"
        )
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape[1:]:
        raise ValueError(
            f"{source}: images must be [N, H, W, C] with C = 1 or 3, got shape {images.shape}"
        )
    if len(images) == 0:
        raise ValueError(f"{source}: there are no images in it")


def held_out(num_examples: int, fraction: float, seed: int, source: str) -> np.ndarray:
    """Draws the examples that are kept out of training.

    Args:
      num_examples: Number of examples to draw from.
      fraction: Part of them to keep out, between 0 and 1; the number is rounded.
      seed: The same seed keeps out the same examples.
      source: What is split, for messages.

    Returns:
      bool `[num_examples]`, True for those kept out.

    Raises:
      ValueError: If none would be kept out, or none left.
    """
    num_held_out = round(num_examples * fraction)
    if not 0 < num_held_out < num_examples:
        raise ValueError(
            f"{source}: a fraction of {fraction} keeps {num_held_out} of {num_examples} "
            "examples out of training, which leaves a split empty"
        )
    order = np.random.default_rng(seed).permutation(num_examples)
    return np.isin(np.arange(num_examples), order[:num_held_out])
