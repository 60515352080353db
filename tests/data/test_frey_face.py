import pathlib

import numpy as np
import tensorflow_datasets as tfds
from scipy import io

from tf_sigma_vae.data import _archives, _tfds, _tfds_builders
from tf_sigma_vae.data._tfds_builders.frey_face import frey_face_dataset_builder
from tf_sigma_vae.data.frey_face import FreyFace

FOLDER = pathlib.Path(_tfds_builders.__path__[0]) / "frey_face"
DUMMY_FRAMES = 6
FRAMES = 1965


class FreyFaceBuilderTest(tfds.testing.DatasetBuilderTestCase):
    """What TFDS asks of a builder, on the dummy data that comes with it."""

    DATASET_CLASS = frey_face_dataset_builder.Builder
    SPLITS = {"train": DUMMY_FRAMES}
    DL_EXTRACT_RESULT = "frey_rawface.mat"
    EXAMPLE_DIR = str(FOLDER / "dummy_data")


def test_blocks_of_the_film_are_in_order_and_do_not_overlap(store):
    # A frame's number is written into its first two pixels.
    film = np.zeros((FRAMES, 28, 20, 1), np.uint8)
    film[:, 0, 0, 0], film[:, 0, 1, 0] = np.divmod(np.arange(FRAMES), 256)

    loaded = FreyFace().load(store("frey_face", {"train": film}))

    def numbers(x):
        return 256 * x[:, 0, 0, 0].astype(int) + x[:, 0, 1, 0]

    np.testing.assert_array_equal(numbers(loaded["train"]), np.arange(1365))
    np.testing.assert_array_equal(numbers(loaded["validation"]), np.arange(1365, 1565))
    np.testing.assert_array_equal(numbers(loaded["test"]), np.arange(1565, 1965))


def test_builder_keeps_the_order_of_the_film(tmp_path, monkeypatch):
    archive = FOLDER / "dummy_data" / "frey_rawface.mat"
    info = tfds.download.checksums.compute_url_info(archive)
    url = frey_face_dataset_builder._URL
    monkeypatch.setattr(frey_face_dataset_builder.Builder, "url_infos", {url: info})
    source = _tfds.builder("frey_face", str(tmp_path))
    _archives.place([archive], _archives.manual_folder(source))

    loaded = _tfds.load("frey_face", {"train": "train"}, str(tmp_path), download=False)

    film = io.loadmat(archive)["ff"].T.reshape(-1, 28, 20, 1)
    np.testing.assert_array_equal(loaded["train"], film)


def test_registered_archive_has_a_name_a_size_and_a_checksum(tmp_path):
    (archive,) = _archives.expected(_tfds.builder("frey_face", str(tmp_path)))
    assert archive.name == "frey_rawface.mat"
    assert archive.size == 1_100_584
    assert archive.sha256.startswith("265a83a2")


def test_builder_is_found_by_its_name():
    _tfds.builder("frey_face", None)
    assert "frey_face" in tfds.list_builders()
