"""The contract of a video dataset: sources that clips are read from, in splits.

Videos need not fit into memory, and some are made as they are read: so a split is no array, but
a `VideoSource` that gives the frames asked for.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_sigma_vae.data import _base, _options


class VideoSource:
    """Videos of one shape that clips are read from, as bytes.

    Attributes:
      video_shape: `(T, H, W, C)` of each video, with C = 1 or 3.
      name: What the videos are, for messages.
    """

    video_shape: tuple[int, int, int, int]
    name: str

    def __len__(self) -> int:
        """Number of videos; of those that are made as they are read, of one epoch."""
        raise NotImplementedError(f"{type(self).__name__} does not implement __len__")

    def clips(
        self, index: np.ndarray, start: np.ndarray, length: int, epoch: int = 0
    ) -> np.ndarray:
        """Frames of some of the videos.

        Args:
          index: int64 `[B]`, the videos, in [0, len(self)); B may be 0.
          start: int64 `[B]`, the first frame of each clip.
          length: Frames of a clip; `start + length` is at most T.
          epoch: Number of the pass over the videos. It changes nothing, except where each epoch
            has videos of its own.

        Returns:
          uint8 `[B, length, H, W, C]`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement clips")

    def first(self, num_videos: int) -> "VideoSource":
        """The first videos, or all of them where they are fewer."""
        raise NotImplementedError(f"{type(self).__name__} does not implement first")

    def hold_out(self, fraction: float, seed: int) -> tuple["VideoSource", "VideoSource"]:
        """Parts the videos in two that share no frame.

        Args:
          fraction: Part to hold out, between 0 and 1.
          seed: The same seed holds out the same videos.

        Returns:
          The videos that are left and those held out, each in their order.

        Raises:
          ValueError: If either would be empty.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement hold_out")


class RecordingSource(VideoSource):
    """Recordings of different lengths, cut into videos of one length.

    Each recording is cut from its first frame on into videos that follow one another without
    overlap; the frames after the last whole one are left out. No video crosses from one recording
    into another, and recordings stay whole where videos are held out. No frame is copied before
    it is read.
    """

    def __init__(
        self, recordings: Sequence[np.ndarray], video_length: int, name: str = "recordings"
    ) -> None:
        """Cuts the recordings.

        Args:
          recordings: Each uint8 `[T_i, H, W, C]`, with the same C = 1 or 3, H and W.
          video_length: Frames `T` of a video; at most the shortest `T_i`.
          name: What they are, for messages.

        Raises:
          ValueError: If a recording is unfit or too short.
        """
        _options.integer("video_length", video_length)
        if not len(recordings):
            raise ValueError(f"{name}: there are no videos in it")
        self.video_shape = (video_length, *recordings[0].shape[1:])
        self.name = name
        places = []
        for number, recording in enumerate(recordings):
            check_videos(recording[np.newaxis], f"{name}, recording {number}")
            if recording.shape[1:] != self.video_shape[1:] or len(recording) < video_length:
                raise ValueError(
                    f"{name}: recording {number} has the shape {recording.shape}, but videos of "
                    f"{self.video_shape} are wanted of it"
                )
            starts = range(0, len(recording) - video_length + 1, video_length)
            places += [(number, start) for start in starts]
        self._recordings: Sequence[np.ndarray] | np.ndarray = recordings
        # int64 [N, 2]: each video's recording, and its first frame there.
        self._places = np.array(places)

    def __len__(self) -> int:
        return len(self._places)

    def clips(
        self, index: np.ndarray, start: np.ndarray, length: int, epoch: int = 0
    ) -> np.ndarray:
        """Frames of some of the videos; see `VideoSource.clips`."""
        result = np.empty((len(index), length, *self.video_shape[1:]), np.uint8)
        for clip, (recording, place), first in zip(result, self._places[index], start, strict=True):
            clip[:] = self._recordings[recording][place + first : place + first + length]
        return result

    def first(self, num_videos: int) -> "RecordingSource":
        """The first videos; see `VideoSource.first`."""
        return self._part(self._places[:num_videos])

    def hold_out(self, fraction: float, seed: int) -> tuple["RecordingSource", "RecordingSource"]:
        """Parts the recordings in two; see `VideoSource.hold_out`."""
        numbers = np.unique(self._places[:, 0])
        is_out = _base.held_out(len(numbers), fraction, seed, self.name)
        is_out = np.isin(self._places[:, 0], numbers[is_out])
        return self._part(self._places[~is_out]), self._part(self._places[is_out])

    def _part(self, places: np.ndarray) -> "RecordingSource":
        part = copy.copy(self)
        part._places = places
        return part


class ArraySource(RecordingSource):
    """Videos of an array, in memory or memory-mapped."""

    def __init__(self, videos: np.ndarray, name: str = "videos") -> None:
        """Checks the array.

        Args:
          videos: uint8 `[N, T, H, W, C]` with C = 1 or 3.
          name: What it is, for messages.

        Raises:
          ValueError: If it is no such array.
        """
        check_videos(videos, name)
        self.video_shape = videos.shape[1:]
        self.name = name
        self._recordings = videos
        self._places = np.stack([np.arange(len(videos)), np.zeros(len(videos), int)], axis=1)


class VideoDataset(_base.Dataset):
    """Videos in splits that share no frame.

    A plug-in subclasses this, takes its options as keyword arguments with defaults, checks them
    in its constructor, and implements `_read`.
    """

    def load(self, data_dir: str | None = None, download: bool = False) -> dict[str, VideoSource]:
        """Makes the videos ready to be read.

        Args:
          data_dir: Folder of the prepared data; None for the source's own default.
          download: Whether data that are missing may be fetched from the network.

        Returns:
          Sources under "train", "test" and, where the dataset brings its own, "validation"; the
          frames of all have one shape `[H, W, C]`.

        Raises:
          FileNotFoundError: If the data are missing; the message says how to get them.
          ValueError: If what was read does not keep the contract above.
        """
        sources = self._read(data_dir, download)
        check_sources(sources, self.plugin_name())
        return sources


class VideoSplits(NamedTuple):
    """Videos that share no frame.

    Attributes:
      train: What is trained on.
      validation: What is looked at during training; None where none was asked for.
      test: What results are reported on.
    """

    train: VideoSource
    validation: VideoSource | None
    test: VideoSource


def test_part(
    source: VideoSource, test_fraction: float, seed: int
) -> tuple[VideoSource, VideoSource]:
    """Parts videos for training and testing, of a dataset without a split of its own.

    Args:
      source: All videos.
      test_fraction: Part for testing, between 0 and 1.
      seed: The same seed takes the same videos.

    Raises:
      ValueError: If there would be no training video, or less than two for testing, of which there
        is no standard error.
    """
    train, test = source.hold_out(test_fraction, seed)
    if len(test) < 2:
        raise ValueError(
            f"{source.name}: test_fraction={test_fraction:g} leaves {len(test)} of {len(source)} "
            "videos for testing, and figures with standard errors take 2: set "
            f"dataset_options.test_fraction to {2 / len(source):.2g} or more"
        )
    return train, test


def split_videos(
    sources: dict[str, VideoSource], validation_fraction: float, seed: int
) -> VideoSplits:
    """Takes whole videos out of the training videos for validation.

    Args:
      sources: What `VideoDataset.load` returns. Where it brings a validation split that one is
        used, and nothing is taken out of the training videos.
      validation_fraction: Part of the training videos to take, drawn by seed; 0 for none.
      seed: The same seed takes the same videos.

    Returns:
      The three splits. Videos keep their order.

    Raises:
      ValueError: If a split would be empty or `validation_fraction` is not in [0, 1).
    """
    check_sources(sources, "dataset")
    if validation_fraction != 0:
        _options.fraction("validation_fraction", validation_fraction)
    train, test = sources["train"], sources["test"]
    if "validation" in sources or validation_fraction == 0:
        return VideoSplits(train, sources.get("validation"), test)
    try:
        return VideoSplits(*train.hold_out(validation_fraction, seed), test)
    except ValueError as error:
        least = 1.0 / len(train)
        raise ValueError(
            f"config.validation_fraction: {error}; a whole video of {len(train)} is {least:.2g}, "
            "and 0 is none"
        ) from error


def check_sources(sources: dict[str, VideoSource], dataset: str) -> None:
    """Checks the contract of `VideoDataset.load`.

    Raises:
      ValueError: Naming the dataset, the split and what is wrong with it.
    """
    _base.check_splits(sources, dataset)
    for split, source in sources.items():
        if not isinstance(source, VideoSource):
            raise ValueError(
                f"{dataset}, split {split!r}: videos must be a VideoSource (ArraySource makes one "
                f"of an array), got {type(source).__name__}"
            )
        if len(source) == 0:
            raise ValueError(f"{dataset}, split {split!r}: there are no videos in it")
    shapes = {split: source.video_shape[1:] for split, source in sources.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"{dataset}: frame shapes differ between splits: {shapes}")


def check_videos(videos: np.ndarray, name: str) -> None:
    """Checks that videos are a non-empty uint8 array `[N, T, H, W, C]` with C = 1 or 3.

    Raises:
      ValueError: Naming them and what is wrong.
    """
    if videos.dtype != np.uint8:
        raise ValueError(
            f"{name}: videos must be uint8 grey levels 0..255, got {videos.dtype} "
            "(scaling to [0, 1] happens in the pipeline)"
        )
    if videos.ndim != 5 or videos.shape[-1] not in (1, 3) or 0 in videos.shape[1:]:
        raise ValueError(
            f"{name}: videos must be [N, T, H, W, C] with C = 1 or 3, got shape {videos.shape}"
        )
    if len(videos) == 0:
        raise ValueError(f"{name}: there are no videos in it")
