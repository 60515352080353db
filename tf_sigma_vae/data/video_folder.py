"""The user's own videos: folders of frames, or video files."""

import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
import tqdm

from tf_sigma_vae.data import _base, _decoding, _options, _resize, _videos


class _Recording(NamedTuple):
    """One video as the user keeps it: a file, or the pictures of a folder.

    Attributes:
      path: The file or the folder.
      frames: The pictures in their order; None for a video file.
    """

    path: pathlib.Path
    frames: list[pathlib.Path] | None


class VideoFolder(_videos.VideoDataset):
    """Videos from video files and from folders of PNG and JPEG frames, found in all subfolders.

    A folder that holds pictures is one recording, whose frames are in the natural order of their
    names (2 before 10); each video file (mp4, mov, avi, mkv, webm, mpg or gif) is one too, and
    needs PyAV: `pip install tf-sigma-vae[video]`. Marks that say to turn a video are not heeded.
    Where the folder has both a `train` and a `test` subfolder these are the splits (and
    `validation` is, if there); otherwise a random part of the recordings is kept for testing. Files
    and folders whose name starts with a dot are left out.

    Recordings may differ in length. Each is cut into videos of `video_length` frames that do not
    overlap; the frames after the last of them are left out. A recording is in one split as a
    whole. All frames, decoded, are held in memory: 12 kB each at 64x64x3.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        video_length: int | None = None,
        image_size: int | tuple[int, int] | None = None,
        resize: str = "crop",
        channels: int = 3,
        test_fraction: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        """Says where the videos are and how they are wanted.

        Args:
          path: The folder; None to take `data_dir` for it.
          video_length: Frames of a video, at most those of the shortest recording; None for just
            these.
          image_size: Pixels, (height, width) or one number for both; None if all frames have the
            same size.
          resize: "crop" (centre crop to the aspect, then resize) or "squash" (resize the whole).
          channels: 1 for grey, 3 for RGB.
          test_fraction: Part of the recordings that is kept for testing; read only where there are
            no such subfolders.
          split_seed: Seed of that split.
        """
        self.path = path
        if video_length is not None:
            video_length = _options.integer("video_length", video_length)
        self.video_length = video_length
        self.image_size = _options.image_size(image_size)
        self.resize = _options.choice("resize", resize, _resize.METHODS)
        self.channels = _options.choice("channels", channels, tuple(_decoding.MODES))
        self.test_fraction = _options.fraction("test_fraction", test_fraction)
        self.split_seed = _options.integer("split_seed", split_seed, minimum=0)

    def _read(self, data_dir: str | None, download: bool) -> dict[str, _videos.VideoSource]:
        root = pathlib.Path(_options.source_path("video_folder", self.path, data_dir))
        if not root.is_dir():
            raise FileNotFoundError(f"video_folder: there is no folder {root}")
        folders = {split: root / split for split in _base.SPLITS if (root / split).is_dir()}
        if not {"train", "test"} <= set(folders):
            folders = {"all": root}
        found = {split: recordings(folder) for split, folder in folders.items()}
        decoded = {split: self._decode(of_split) for split, of_split in found.items()}
        every = [r for of_split in found.values() for r in of_split]
        arrays = [x for of_split in decoded.values() for x in of_split]
        length, name = self._check(every, arrays, root)
        sources: dict[str, _videos.VideoSource] = {
            split: _videos.RecordingSource(x, length, name) for split, x in decoded.items()
        }
        if "all" not in sources:
            return sources
        train, test = _videos.test_part(sources["all"], self.test_fraction, self.split_seed)
        return {"train": train, "test": test}

    def _decode(self, found: list[_Recording]) -> list[np.ndarray]:
        """The frames of recordings, each uint8 `[T_i, H, W, C]`."""
        wanted = _decoding.Wanted(self.channels, self.image_size, self.resize)

        def decode(recording: _Recording) -> np.ndarray:
            if recording.frames is None:
                return _decoding.video(recording.path, wanted)
            return _decoding.pictures(recording.frames, wanted)

        decoded = _resize.in_parallel(decode, found)
        # disable=None: no bar where the output is not a terminal.
        return list(tqdm.tqdm(decoded, "Decoding videos", len(found), disable=None, leave=False))

    def _check(
        self, found: list[_Recording], arrays: list[np.ndarray], root: pathlib.Path
    ) -> tuple[int, str]:
        """The frames of a video, and what the videos are called in messages.

        Raises:
          ValueError: If a recording has frames of another size than the first, or too few.
        """
        for recording, x in zip(found, arrays, strict=True):
            if x.shape[1:] != arrays[0].shape[1:]:
                raise ValueError(
                    f"{recording.path} has frames of {_decoding.size(x)} pixels and "
                    f"{found[0].path} of {_decoding.size(arrays[0])}: set image_size to bring "
                    "them to one size"
                )
        shortest = int(np.argmin([len(x) for x in arrays]))
        path, frames = found[shortest].path, len(arrays[shortest])
        if self.video_length is not None and frames < self.video_length:
            raise ValueError(
                f"{path} has {frames} frames, fewer than video_length, which is {self.video_length}"
            )
        length = self.video_length or frames
        return length, f"{root} (its shortest recording, {path}, has {frames} frames)"


def recordings(folder: pathlib.Path) -> list[_Recording]:
    """The recordings in a folder and its subfolders, in natural order, none of them hidden.

    Raises:
      FileNotFoundError: If there are none.
    """
    found = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [pathlib.Path(parent, name) for name in files if not name.startswith(".")]
        frames = [path for path in paths if path.suffix.lower() in _decoding.PICTURES]
        if frames:
            found.append(_Recording(pathlib.Path(parent), sorted(frames, key=natural_order)))
        videos = [path for path in paths if path.suffix.lower() in _decoding.VIDEOS]
        found += [_Recording(path, None) for path in videos]
    if not found:
        suffixes = ", ".join((*_decoding.PICTURES, *_decoding.VIDEOS))
        raise FileNotFoundError(f"there are no {suffixes} files in {folder}")
    return sorted(found, key=lambda recording: natural_order(recording.path))


def natural_order(path: pathlib.Path) -> tuple:
    """A key that sorts names as people count: `frame2.png` before `frame10.png`."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts], path.as_posix()
