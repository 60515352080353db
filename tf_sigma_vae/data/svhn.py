"""Street View House Numbers, cropped to one digit."""

import numpy as np

from tf_sigma_vae.data import _options, _resize, _tfds

_SIZES = (28, 32)


class Svhn(_tfds.TfdsImages):
    """SVHN, cropped digits: 73,257 training and 26,032 test images, 28x28x3 or 32x32x3.

    Preparing it fetches 1.6 GB: TensorFlow Datasets always takes the 1.3 GB of extra training
    images along. At 28 pixels, the size of Rybkin et al. 2021 (Table 1), the whole 32x32 image is
    resized (bilinear with antialiasing, rounded to grey levels); nothing is cropped.

    Source: Y. Netzer et al. 2011, through TensorFlow Datasets (`svhn_cropped`).
    """

    tfds_name = "svhn_cropped"

    def __init__(self, *, image_size: int | None = None, include_extra: bool = False) -> None:
        """Chooses a variant of the data.

        Args:
          image_size: Height and width in pixels, 28 or 32; None for 28.
          include_extra: Whether to train on the 531,131 easier extra images too.
        """
        size = _SIZES[0] if image_size is None else image_size
        self.image_size = _options.choice("image_size", size, _SIZES)
        self.include_extra = _options.boolean("include_extra", include_extra)
        if include_extra:
            self.splits = {**self.splits, "train": "train+extra"}

    def _convert(self, images: np.ndarray) -> np.ndarray:
        return _resize.fit_all(images, (self.image_size, self.image_size), "squash")
