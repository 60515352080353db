"""BAIR robot pushing, small: videos of a robot arm that pushes things."""

import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tf_sigma_vae.data import _array_file, _options, _tfds, _videos

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_READ_BATCH = 16
_CAMERAS = ("image_aux1", "image_main")


class BairPush(_videos.VideoDataset):
    """BAIR robot pushing, without the actions: 43,264 training and 256 test videos, 30x64x64x3.

    The archive is 32.3 GB, and TensorFlow Datasets needs the room of it again to extract it, and
    again for what it prepares, the pictures of both cameras. When first loaded, the videos of the
    camera asked for are decoded into .npy files beside those (16 GB), which are memory-mapped from
    then on: the videos need not fit into memory. `python -m tf_sigma_vae.cli.prepare` writes them:
    without it, each of several processes that train on it does.

    Source: F. Ebert, C. Finn, A. X. Lee and S. Levine, "Self-Supervised Visual Planning with
    Temporal Skip Connections" (2017), through TensorFlow Datasets.
    """

    tfds_name = "bair_robot_pushing_small"

    def __init__(self, *, camera: str = "image_aux1") -> None:
        """Says which camera's videos are wanted.

        Args:
          camera: "image_aux1", as in SVG, or "image_main".
        """
        self.camera = _options.choice("camera", camera, _CAMERAS)

    def _read(self, data_dir: str | None, download: bool) -> dict[str, _videos.VideoSource]:
        builder = _tfds.builder(self.tfds_name, data_dir)
        _tfds.prepare(builder, download=download, dataset=self.plugin_name())
        return {split: self._split(builder, split) for split in ("train", "test")}

    def _split(self, builder: "tfds.core.DatasetBuilder", split: str) -> _videos.ArraySource:
        """The videos of a split, memory-mapped."""
        shape = builder.info.features.get_tensor_info()[self.camera].shape
        shape = (builder.info.splits[split].num_examples, *shape)
        path = pathlib.Path(builder.data_dir, f"{self.camera}-{split}.npy")
        if not path.exists():
            blocks = self._decoded(builder, split)
            _array_file.write(path, blocks, shape, f"{split} videos of {self.camera}")
        videos = _array_file.read(path, shape)
        first = next(self._decoded(builder, f"{split}[:1]"))
        if not np.array_equal(videos[:1], first):
            raise ValueError(
                f"{path} does not begin with the first video of {builder.data_dir}: delete the "
                "file to have it written anew"
            )
        return _videos.ArraySource(videos, f"{self.plugin_name()}, {split}")

    def _decoded(self, builder: "tfds.core.DatasetBuilder", split: str) -> Iterator[np.ndarray]:
        """The videos in the order of the files, some at a time, uint8 `[n, T, H, W, C]`."""
        import tensorflow_datasets as tfds

        # One shard at a time keeps the order of the files.
        config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        examples = builder.as_dataset(
            split=split,
            batch_size=_READ_BATCH,
            read_config=config,
            decoders={c: tfds.decode.SkipDecoding() for c in _CAMERAS if c != self.camera},
        )
        for batch in tfds.as_numpy(examples):
            yield batch[self.camera]
