"""The user's own images in a folder of PNG and JPEG files."""

import os
import pathlib

import numpy as np
import tqdm

from tf_sigma_vae.data import _base, _decoding, _options, _resize


class ImageFolder(_base.ImageDataset):
    """Images from PNG and JPEG files, found in all subfolders, in the order of their names.

    Where the folder has both a `train` and a `test` subfolder these are the splits (and
    `validation` is, if there); otherwise a random part of all images is kept for testing. Files
    and folders whose name starts with a dot are left out. Transparency is dropped, and photos are
    turned upright as their EXIF data ask.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        image_size: int | tuple[int, int] | None = None,
        resize: str = "crop",
        channels: int = 3,
        test_fraction: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        """Says where the images are and how they are wanted.

        Args:
          path: The folder; None to take `data_dir` for it.
          image_size: Pixels, (height, width) or one number for both; None if all files have the
            same size.
          resize: "crop" (centre crop to the aspect, then resize) or "squash" (resize the whole).
          channels: 1 for grey, 3 for RGB.
          test_fraction: Part kept for testing; read only where there are no such subfolders.
          split_seed: Seed of that split.
        """
        self.path = path
        self.image_size = _options.image_size(image_size)
        self.resize = _options.choice("resize", resize, _resize.METHODS)
        self.channels = _options.choice("channels", channels, tuple(_decoding.MODES))
        self.test_fraction = _options.fraction("test_fraction", test_fraction)
        self.split_seed = _options.integer("split_seed", split_seed, minimum=0)

    def _read(self, data_dir: str | None, download: bool) -> dict[str, np.ndarray]:
        root = pathlib.Path(_options.source_path("image_folder", self.path, data_dir))
        if not root.is_dir():
            raise FileNotFoundError(f"image_folder: there is no folder {root}")
        if not all((root / split).is_dir() for split in ("train", "test")):
            images = self._images(root)
            is_test = _base.held_out(len(images), self.test_fraction, self.split_seed, str(root))
            return {"train": images[~is_test], "test": images[is_test]}
        folders = {split: root / split for split in _base.SPLITS}
        return {split: self._images(path) for split, path in folders.items() if path.is_dir()}

    def _images(self, folder: pathlib.Path) -> np.ndarray:
        """Every image below a folder, uint8 `[N, H, W, C]`."""
        paths = image_paths(folder)
        images: np.ndarray | None = None
        wanted = _decoding.Wanted(self.channels, self.image_size, self.resize)
        decoded = _resize.in_parallel(lambda path: _decoding.picture(path, wanted), paths)
        # disable=None: no bar where the output is not a terminal.
        progress = tqdm.tqdm(decoded, "Decoding images", len(paths), disable=None, leave=False)
        for index, image in enumerate(progress):
            if images is None:
                images = np.empty((len(paths), *image.shape), np.uint8)
            if image.shape != images.shape[1:]:
                raise ValueError(
                    f"{paths[index]} has {_decoding.size(image)} pixels and {paths[0]} "
                    f"has {_decoding.size(images[0])}: set image_size to bring them to one size"
                )
            images[index] = image
        assert images is not None, "image_paths finds one at least"
        return images


def image_paths(folder: pathlib.Path) -> list[pathlib.Path]:
    """PNG and JPEG files in a folder and its subfolders, sorted by name, none of them hidden.

    Raises:
      FileNotFoundError: If there are none.
    """
    paths = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = [name for name in files if not name.startswith(".")]
        paths += [
            pathlib.Path(parent, name)
            for name in shown
            if name.lower().endswith(_decoding.PICTURES)
        ]
    if not paths:
        raise FileNotFoundError(f"there are no {', '.join(_decoding.PICTURES)} files in {folder}")
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix())
