"""The user's own images in a NumPy archive."""

import numpy as np

from tf_sigma_vae.data import _base, _npz_archive, _options, _resize


class Npz(_base.ImageDataset):
    """Images from an .npz file: uint8, `[N, H, W]` or `[N, H, W, C]` with C = 1 or 3.

    The file holds `x_train` and `x_test`, or `train` and `test` (and, if wished, `x_validation`,
    `x_val` or `validation`); or one array `images`, of which a random part is kept for testing.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        train_key: str | None = None,
        test_key: str | None = None,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        image_size: int | tuple[int, int] | None = None,
        resize: str = "crop",
    ) -> None:
        """Says where the images are and how they are wanted.

        Args:
          path: The file; None to take `data_dir` for it.
          train_key: Name of the array to train on, where it has none of the names above.
          test_key: Name of the array to test on, likewise.
          test_fraction: Part of `images` that is kept for testing; read only for such a file.
          split_seed: Seed of that split.
          image_size: Pixels, (height, width) or one number for both; None to keep the size.
          resize: "crop" (centre crop to the aspect, then resize) or "squash" (resize the whole).
        """
        self.path = path
        self.train_key = train_key
        self.test_key = test_key
        self.test_fraction = _options.fraction("test_fraction", test_fraction)
        self.split_seed = _options.integer("split_seed", split_seed, minimum=0)
        self.image_size = _options.image_size(image_size)
        self.resize = _options.choice("resize", resize, _resize.METHODS)

    def _read(self, data_dir: str | None, download: bool) -> dict[str, np.ndarray]:
        path = _options.source_path("npz", self.path, data_dir)
        arrays = _npz_archive.read(
            path,
            dataset="npz",
            example="np.savez(path, images=x)",
            unsplit_keys=("images",),
            train_key=self.train_key,
            test_key=self.test_key,
        )
        images = arrays.pop(_npz_archive.UNSPLIT, None)
        if images is not None:
            is_test = _base.held_out(len(images), self.test_fraction, self.split_seed, path)
            arrays = {"train": images[~is_test], "test": images[is_test]}
        arrays = {split: images_of(x, f"{path}, {split}") for split, x in arrays.items()}
        return {
            split: _resize.fit_all(x, self.image_size, self.resize) for split, x in arrays.items()
        }


def images_of(array: np.ndarray, source: str) -> np.ndarray:
    """Checks an array of images and gives grey ones their channel.

    Args:
      array: uint8 `[N, H, W]` or `[N, H, W, C]`.
      source: Where it comes from, for messages.

    Returns:
      uint8 `[N, H, W, C]`.
    """
    images = array[..., np.newaxis] if array.ndim == 3 else array
    _base.check_images(images, source)
    return images
