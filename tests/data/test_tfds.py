import ast
import gzip
import hashlib
import pathlib
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tf_sigma_vae import data, plugins
from tf_sigma_vae.data import _archives, _tfds
from tf_sigma_vae.data.mnist import Mnist

ARCHIVE = "images.gz"
PUBLIC_SETS = ("mnist", "fashion_mnist", "svhn", "frey_face", "cifar10", "celeba")


def url_info(content: bytes):
    return tfds.download.checksums.UrlInfo(
        size=len(content), checksum=hashlib.sha256(content).hexdigest(), filename=ARCHIVE
    )


class Extracting(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One 2x3 image whose pixels are the bytes of a compressed archive."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(2, 3, 1))})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(dl_manager.download_and_extract(self.url))}

    def _generate_examples(self, path):
        yield 0, {"image": np.frombuffer(path.read_bytes(), np.uint8).reshape(2, 3, 1)}


class FirstOfTwo(Extracting, skip_registration=True):
    content = gzip.compress(bytes([1, 2, 3, 4, 5, 6]))
    url = f"http://first.example/{ARCHIVE}"
    url_infos = {url: url_info(content)}


class SecondOfTwo(Extracting, skip_registration=True):
    content = gzip.compress(bytes([9, 8, 7, 6, 5, 4]))
    url = f"http://second.example/{ARCHIVE}"
    url_infos = {url: url_info(content)}


def put_archive(source, folder=None, content=None):
    folder = folder or _archives.manual_folder(source)
    tfds.core.Path(folder).mkdir(parents=True, exist_ok=True)
    (tfds.core.Path(folder) / ARCHIVE).write_bytes(content or source.content)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_prepared_images_are_read_in_the_order_of_the_files(name, store, images):
    x = images(8, 28, 28, 1)
    data_dir = store(name, {"train": x[:5], "test": x[5:]})

    loaded = plugins.find("data", name)().load(data_dir)

    assert set(loaded) == {"train", "test"}
    np.testing.assert_array_equal(loaded["train"], x[:5])
    np.testing.assert_array_equal(loaded["test"], x[5:])


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_missing_data_fail_and_say_how_to_get_them(name, tmp_path):
    plugin = plugins.find("data", name)
    with pytest.raises(FileNotFoundError) as error:
        plugin().load(str(tmp_path))

    message = str(error.value)
    assert "--download" in message
    assert f"--dataset={name} --data_dir={tmp_path} --archives=DIR" in message
    assert str(tmp_path / "downloads" / "manual" / plugin.tfds_name) in message
    archives = _archives.expected(_tfds.builder(plugin.tfds_name, str(tmp_path)))
    assert archives
    assert all(archive.url in message for archive in archives)
    assert not list(tmp_path.iterdir())


def test_sizes_of_archives_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"fetches 11\.6 MB[\s\S]*idx3-ubyte\.gz \(9\.9 MB"):
        Mnist().load(str(tmp_path))


def test_archives_of_two_sets_with_equal_names_are_kept_apart(tmp_path):
    sources = [cls(data_dir=str(tmp_path)) for cls in (FirstOfTwo, SecondOfTwo)]
    for source in sources:
        put_archive(source)
        _tfds.prepare(source, download=False, dataset="two")

    for source in sources:
        pixels = _tfds._read_split(source, "train")
        assert bytes(pixels.ravel()) == gzip.decompress(source.content)


def test_archives_in_the_shared_manual_folder_are_used(tmp_path):
    source = FirstOfTwo(data_dir=str(tmp_path))
    put_archive(source, folder=tmp_path / "downloads" / "manual")

    _tfds.prepare(source, download=False, dataset="one")

    assert source.is_prepared()


def test_another_sets_archive_in_the_shared_manual_folder_is_not_taken(tmp_path):
    source = FirstOfTwo(data_dir=str(tmp_path))
    put_archive(source, tmp_path / "downloads" / "manual", content=b"another size altogether")

    with pytest.raises(FileNotFoundError, match="one is not prepared"):
        _tfds.prepare(source, download=False, dataset="one")


def test_damaged_archive_is_refused(tmp_path):
    source = FirstOfTwo(data_dir=str(tmp_path))
    put_archive(source, content=source.content[:-1] + b"x")

    with pytest.raises(ValueError, match=rf"{ARCHIVE} is damaged.*{source.url}"):
        _tfds.prepare(source, download=False, dataset="one")
    assert not source.is_prepared()


def test_download_without_a_network_fails_with_the_offline_advice(tmp_path, monkeypatch):
    def unreachable(request, timeout):
        assert 0 < timeout <= 10
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(ConnectionError, match=r"no route to host[\s\S]*--archives=DIR"):
        Mnist().load(str(tmp_path), download=True)


def test_download_asks_tfds_for_it_and_nothing_else(tmp_path, monkeypatch):
    source = FirstOfTwo(data_dir=str(tmp_path))
    asked = {}
    monkeypatch.setattr(_tfds, "_check_reachable", lambda archives, advice: None)
    monkeypatch.setattr(source, "download_and_prepare", lambda **kwargs: asked.update(kwargs))

    _tfds.prepare(source, download=True, dataset="one")

    assert asked["download_dir"] == str(tmp_path / "downloads")
    assert not asked["download_config"].try_download_gcs
    assert asked["download_config"].manual_dir == _archives.manual_folder(source)


def imported(statements):
    """Names of the modules that some statements import, but for those within functions."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield statement.module
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)


def test_tensorflow_datasets_is_not_imported_with_the_plug_ins():
    paths = list(pathlib.Path(data.__path__[0]).glob("*.py"))
    assert len(paths) > 10
    for path in paths:
        for name in imported(ast.parse(path.read_text("utf-8")).body):
            assert not name.startswith("tensorflow_datasets"), path
            # The builders derive from its classes; their package itself is empty.
            assert "_tfds_builders." not in name, path
