"""The user's own videos in a NumPy archive."""

import numpy as np

from tf_sigma_vae.data import _npz_archive, _options, _resize, _videos


class VideoNpz(_videos.VideoDataset):
    """Videos from an .npz file: uint8, `[N, T, H, W]` or `[N, T, H, W, C]` with C = 1 or 3.

    The file holds `x_train` and `x_test`, or `train` and `test` (and, if wished, `x_validation`,
    `x_val` or `validation`); or one array `video` or `videos`, of which a random part, whole
    videos, is kept for testing. They are held in memory.
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
        """Says where the videos are and how they are wanted.

        Args:
          path: The file; None to take `data_dir` for it.
          train_key: Name of the array to train on, where it has none of the names above.
          test_key: Name of the array to test on, likewise.
          test_fraction: Part of `video` that is kept for testing; read only for such a file.
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

    def _read(self, data_dir: str | None, download: bool) -> dict[str, _videos.VideoSource]:
        path = _options.source_path("video_npz", self.path, data_dir)
        arrays = _npz_archive.read(
            path,
            dataset="video_npz",
            example="np.savez(path, video=x)",
            unsplit_keys=("video", "videos"),
            train_key=self.train_key,
            test_key=self.test_key,
        )
        if _npz_archive.UNSPLIT not in arrays:
            return {split: self._source(x, f"{path}, {split}") for split, x in arrays.items()}
        videos = self._source(arrays[_npz_archive.UNSPLIT], path)
        train, test = _videos.test_part(videos, self.test_fraction, self.split_seed)
        return {"train": train, "test": test}

    def _source(self, array: np.ndarray, name: str) -> _videos.ArraySource:
        videos = array[..., np.newaxis] if array.ndim == 4 else array
        _videos.check_videos(videos, name)
        if self.image_size is None:
            return _videos.ArraySource(videos, name)
        num_videos, length, height, width, channels = videos.shape
        frames = videos.reshape(num_videos * length, height, width, channels)
        frames = _resize.fit_all(frames, self.image_size, self.resize)
        return _videos.ArraySource(frames.reshape(num_videos, length, *frames.shape[1:]), name)
