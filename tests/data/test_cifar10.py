import io
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tf_sigma_vae.cli import prepare
from tf_sigma_vae.data import _tfds
from tf_sigma_vae.data.cifar10 import Cifar10

TRAIN_FILES, PER_FILE = 5, 2
NUM_TRAIN = TRAIN_FILES * PER_FILE


def write_archive(path, x):
    """The published layout: a label byte, then the red, the green and the blue plane."""
    names = [f"data_batch_{1 + i}.bin" for i in range(TRAIN_FILES)] + ["test_batch.bin"]
    contents = {"batches.meta.txt": "".join(f"thing {i}\n" for i in range(10)).encode()}
    for name, part in zip(names, np.split(x, len(names)), strict=True):
        planes = part.transpose(0, 3, 1, 2).reshape(PER_FILE, -1)
        contents[name] = np.insert(planes, 0, 7, axis=1).tobytes()
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_the_published_archive_becomes_images_of_both_splits(images, tmp_path, monkeypatch):
    x = images(NUM_TRAIN + PER_FILE, 32, 32, 3)
    archive = tmp_path / "cifar-10-binary.tar.gz"
    write_archive(archive, x)
    data_dir = str(tmp_path / "data")
    builder = type(_tfds.builder("cifar10", data_dir))
    (url,) = builder.url_infos
    info = tfds.download.checksums.compute_url_info(archive)
    monkeypatch.setattr(builder, "url_infos", {url: info})

    assert "cifar10 is prepared" in prepare.prepare("cifar10", data_dir, archives=str(archive))
    loaded = Cifar10().load(data_dir)

    assert set(loaded) == {"train", "test"}
    # Their order is that of the prepared files, not that of the archive.
    assert sorted(map(bytes, loaded["train"])) == sorted(map(bytes, x[:NUM_TRAIN]))
    assert sorted(map(bytes, loaded["test"])) == sorted(map(bytes, x[NUM_TRAIN:]))
    assert loaded["train"].shape == (NUM_TRAIN, 32, 32, 3)


def test_the_registered_archive_is_the_binary_version(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"170\.1 MB[\s\S]*cifar-10-binary\.tar\.gz \("):
        Cifar10().load(str(tmp_path))
