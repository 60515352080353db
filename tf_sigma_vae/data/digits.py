"""Handwritten digits that come with scikit-learn: real images and nothing to download."""

import numpy as np

from tf_sigma_vae.data import _base

NUM_TEST = 360
_SPLIT_SEED = 0
_LARGEST_VALUE = 16


class Digits(_base.ImageDataset):
    """1,797 scans of handwritten digits, 8x8x1: 1,437 for training, 360 for testing.

    The scans count ink in 4x4 blocks, 0..16; they are scaled to 0..255 and rounded. The source has
    no split of its own, so 360 images are drawn at random, by a fixed
    seed, for testing.

    Source: E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI machine
    learning repository, 1998 (its test part), as shipped by `sklearn.datasets.load_digits`.
    """

    def _read(self, data_dir: str | None, download: bool) -> dict[str, np.ndarray]:
        # Imported here: it costs a second that the other datasets need not pay.
        from sklearn import datasets

        counts = datasets.load_digits().images
        images = np.round(counts * (255 / _LARGEST_VALUE)).astype(np.uint8)[..., np.newaxis]
        is_test = _base.held_out(len(images), NUM_TEST / len(images), _SPLIT_SEED, "digits")
        return {"train": images[~is_test], "test": images[is_test]}
