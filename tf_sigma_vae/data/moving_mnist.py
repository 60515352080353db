"""Moving MNIST, made as it is read, by the rules of SVG."""

import numpy as np

from tf_sigma_vae.data import _moving_digits, _options, _resize, _tfds, _videos
from tf_sigma_vae.data.mnist import Mnist


class MovingMnist(_videos.VideoDataset):
    """Two handwritten digits that move and bounce at random: 60,000 videos an epoch, 64x64x1.

    The rules are those of SVG (Denton and Fergus 2018): a digit is half as large as the picture,
    moves by up to 4 pixels a frame in y and in x (at 64x64; a sixteenth of the picture at other
    sizes), and gets a new random velocity where it meets an edge. Training videos show MNIST's
    60,000 training digits and are other ones in every epoch; an epoch has as many of them as in
    SVG. The 10,000 test videos show its test digits and are always the same, whatever the seed.

    MNIST comes through TensorFlow Datasets; its archives are 11.6 MB.
    """

    tfds_name = Mnist.tfds_name

    def __init__(
        self,
        *,
        image_size: int = 64,
        num_digits: int = 2,
        video_length: int = 30,
        num_train: int = 60_000,
        num_test: int = 10_000,
        seed: int = 0,
    ) -> None:
        """Says which videos are made.

        Args:
          image_size: Pixels of a side: a multiple of 16.
          num_digits: Digits in a picture.
          video_length: Frames of a video.
          num_train: Videos that count as an epoch of training.
          num_test: Videos of the test set; fewer are the first of more.
          seed: Seed of the training videos.
        """
        self.image_size = _options.integer("image_size", image_size, minimum=16)
        if self.image_size % 16:
            raise ValueError(f"image_size must be a multiple of 16, got {image_size}")
        self.num_digits = _options.integer("num_digits", num_digits)
        self.video_length = _options.integer("video_length", video_length)
        self.num_train = _options.integer("num_train", num_train)
        self.num_test = _options.integer("num_test", num_test)
        self.seed = _options.integer("seed", seed, minimum=0)

    def _read(self, data_dir: str | None, download: bool) -> dict[str, _videos.VideoSource]:
        images = _tfds.load(
            self.tfds_name, Mnist.splits, data_dir, download, dataset=self.plugin_name()
        )
        return {
            "train": self._videos(
                images["train"], self.num_train, self.seed, _moving_digits.TRAINING
            ),
            "test": self._videos(images["test"], self.num_test, 0, _moving_digits.TEST),
        }

    def _videos(
        self, images: np.ndarray, num_videos: int, seed: int, stream: int
    ) -> _moving_digits.MovingDigits:
        side = self.image_size // 2
        return _moving_digits.MovingDigits(
            _resize.fit_all(images, (side, side), "squash")[..., 0],
            num_videos=num_videos,
            video_length=self.video_length,
            image_size=self.image_size,
            num_digits=self.num_digits,
            seed=seed,
            stream=stream,
            name=self.plugin_name(),
        )
