"""A finished run, opened to be evaluated: its folder, configuration, model and data."""

import os
from typing import overload

import numpy as np
import tensorflow as tf

from tf_sigma_vae import build, data, models
from tf_sigma_vae.config import Config
from tf_sigma_vae.workdir import Workdir

SPLITS = ("train", "validation", "test")


class FinishedRun:
    """A workdir that holds a trained model.

    Attributes:
      workdir: Its paths.
      config: Its configuration.
    """

    workdir: Workdir
    config: Config

    def __init__(self, path: str) -> None:
        """Checks that the run is there and finished; reads its configuration only.

        Raises:
          FileNotFoundError: If there is no folder, no run in it, or no trained model yet.
          WorkdirError: If its configuration is corrupt.
        """
        if not os.path.isdir(path):
            raise FileNotFoundError(f"there is no workdir {path!r}")
        self.workdir = Workdir(path)
        self.config, self._data_dir = self.workdir.read_config()
        # The splits that were read last, and what they were read by.
        self._splits: tuple[Config, str | None, data.Splits | data.VideoSplits] | None = None
        if not os.path.isfile(self.workdir.model_file):
            raise FileNotFoundError(
                f"the run in {path!r} is not finished: it holds no "
                f"{os.path.basename(self.workdir.model_file)}. Start its training command again; "
                "it resumes."
            )

    def require_writable(self, folder: str | None = None) -> None:
        """Checks that results can be written to the workdir, or to another folder or its parent.

        Raises:
          PermissionError: If not.
        """
        require_writable(folder or self.workdir.path)

    def images(
        self,
        split: str = "test",
        num_examples: int = 0,
        data_dir: str | None = None,
        download: bool = False,
    ) -> np.ndarray | data.VideoSource:
        """The images of a split, or its videos.

        Args:
          split: One of `SPLITS`.
          num_examples: How many of the first images, or videos; 0 for all.
          data_dir: Where the data are; what the run was trained with if None.
          download: Whether missing data may be downloaded.

        Returns:
          uint8 `[N, H, W, C]`; a source where `of_videos`.

        Raises:
          FileNotFoundError: If the data are missing; the message says how to get them.
          ValueError: If the run has no such split, or it has fewer examples than asked for.
        """
        check_images_wanted(split, num_examples)
        data_dir = self._data_dir if data_dir is None else data_dir
        if self._splits is None or self._splits[:2] != (self.config, data_dir):
            splits = build.load_splits(self.config, data_dir, download)
            self._splits = (self.config, data_dir, splits)
        images = getattr(self._splits[2], split)
        if images is None:
            raise ValueError(
                f"the run in {self.workdir.path!r} has no {split} split "
                f"(its validation_fraction is {self.config.validation_fraction:g})"
            )
        if num_examples > len(images):
            raise ValueError(
                f"num_examples is {num_examples}, but the {split} split of "
                f"{self.config.dataset} has {len(images)} {self.examples_name}"
            )
        return first(images, num_examples)

    @property
    def of_videos(self) -> bool:
        """Whether the examples are videos."""
        return build.is_of_videos(self.config)

    @property
    def examples_name(self) -> str:
        """What the examples are: "images" or "videos"."""
        return "videos" if self.of_videos else "images"

    def clip_length(self, source: data.VideoSource) -> int:
        """Frames of the clips that videos are evaluated in: as configured, if they are as long."""
        return min(self.config.eval_frames, source.video_shape[0])

    def split_size(self, split: str) -> int | None:
        """Images, or videos, of a split that `images` has read; None before."""
        images = None if self._splits is None else getattr(self._splits[2], split)
        return None if images is None else len(images)

    def model(self, strategy: tf.distribute.Strategy | None = None) -> models.LatentVariableModel:
        """The trained model, with its stored scale, on the replicas of a strategy."""
        with (strategy or tf.distribute.get_strategy()).scope():
            return models.load(self.workdir.model_file)


@overload
def first(examples: np.ndarray, num_examples: int) -> np.ndarray: ...
@overload
def first(examples: data.VideoSource, num_examples: int) -> data.VideoSource: ...
def first(
    examples: np.ndarray | data.VideoSource, num_examples: int
) -> np.ndarray | data.VideoSource:
    """The first of the examples; all of them for 0."""
    if isinstance(examples, data.VideoSource):
        return examples.first(num_examples) if num_examples else examples
    return examples[: num_examples or None]


def require_writable(folder: str) -> None:
    """Checks that results can be written to a folder, or to the one above it that exists.

    Raises:
      PermissionError: If not.
    """
    folder = os.path.abspath(folder)
    nearest = folder
    while not os.path.exists(nearest):
        nearest = os.path.dirname(nearest)
    if not os.path.isdir(nearest) or not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write to {folder!r}: look at {nearest!r}")


def check_images_wanted(split: str, num_examples: int) -> None:
    """Checks what `FinishedRun.images` is asked for.

    Raises:
      ValueError: If there is no such split, or the number is negative.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    if num_examples < 0:
        raise ValueError(f"num_examples must not be negative (0 for all), got {num_examples}")


def column_names(paths: list[str]) -> list[str]:
    """Short names of workdirs: the last folder, or where two have the same, what tells them apart.

    `["a/x/run", "a/y/run", "a/z"]` -> `["x/run", "y/run", "z"]`.
    """
    folders = [os.path.normpath(path).split(os.sep) for path in paths]
    names = []
    for parts in folders:
        alike = [other for other in folders if other[-1] == parts[-1]]
        levels = enumerate(zip(*alike, strict=False))
        first = next((level for level, group in levels if len(set(group)) > 1), 0)
        # The whole path, of one that is given twice.
        names.append(os.sep.join(parts[first:] if len(alike) > 1 else parts[-1:]))
    return names
