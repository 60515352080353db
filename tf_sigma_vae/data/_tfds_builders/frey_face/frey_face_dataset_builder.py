"""Frey Face as a TensorFlow Datasets builder."""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

_URL = "https://cs.nyu.edu/~roweis/data/frey_rawface.mat"
_SHAPE = (28, 20, 1)


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builder of `frey_face`: the frames of the film, in its order, as one split."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The 1,965 frames as published, in the order of the film."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=_SHAPE)}),
            homepage="https://cs.nyu.edu/~roweis/data.html",
            # The split into training and test images needs neighboring frames to stay together.
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {"train": self._generate_examples(dl_manager.download(_URL))}

    def _generate_examples(self, path: pathlib.Path) -> Iterator[tuple[int, dict[str, Any]]]:
        # Imported here: only preparing the data needs it.
        from scipy import io

        with path.open("rb") as file:
            columns = io.loadmat(file)["ff"]
        for index, image in enumerate(columns.T.reshape(-1, *_SHAPE)):
            yield index, {"image": image.astype(np.uint8)}
