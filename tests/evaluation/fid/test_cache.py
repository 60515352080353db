import logging
import os

import numpy as np
import pytest

from tests.evaluation.fid._networks import Averages, levels
from tf_sigma_vae.evaluation import fid

NUM_IMAGES = 70


@pytest.fixture
def reference():
    return fid.dataset_images(levels(NUM_IMAGES), "digits", "test")


def the_file(folder):
    (name,) = os.listdir(folder)
    return os.path.join(folder, name)


def assert_same(found, expected):
    for one, other in zip(found.statistics, expected.statistics, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found.features, expected.features)
    assert found[2:] == expected[2:]


def test_features_are_extracted_once(tmp_path, reference):
    folder, extractor = str(tmp_path / "new" / "cache"), Averages()
    first = fid.cached_features(folder, extractor, reference)
    assert extractor.num_images == NUM_IMAGES
    again = fid.cached_features(folder, extractor, reference)
    assert extractor.num_images == NUM_IMAGES
    assert_same(first, fid.features(Averages(), reference))
    assert_same(again, first)
    assert again.features.dtype == np.float32


def test_the_name_of_the_dataset_is_of_the_record_not_of_the_file(tmp_path, reference):
    extractor = Averages()
    fid.cached_features(str(tmp_path), extractor, reference)
    renamed = fid.dataset_images(levels(NUM_IMAGES), "other", "train")
    found = fid.cached_features(str(tmp_path), extractor, renamed)
    assert extractor.num_images == NUM_IMAGES
    assert (found.source.dataset, found.source.split) == ("other", "train")


@pytest.mark.parametrize(
    ("extractor", "images"),
    [
        (Averages(2.0), levels(NUM_IMAGES)),
        (Averages(extractor="other"), levels(NUM_IMAGES)),
        (Averages(), levels(NUM_IMAGES, seed=1)),
        (Averages(), levels(NUM_IMAGES - 1)),
        (Averages(), levels(NUM_IMAGES).reshape(NUM_IMAGES, 6, 4, 3)),
    ],
)
def test_another_network_or_other_images_are_another_file(tmp_path, reference, extractor, images):
    fid.cached_features(str(tmp_path), Averages(), reference)
    given = fid.dataset_images(images)
    extractor.num_images = 0
    found = fid.cached_features(str(tmp_path), extractor, given)
    assert extractor.num_images == len(images)
    assert_same(found, fid.features(extractor, given))
    assert len(os.listdir(tmp_path)) == 2


def cut_short(content):
    return content[: len(content) // 2]


def one_bit_flipped(content):
    # In the middle are numbers, where nothing but the checksum could tell.
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut_short, one_bit_flipped, lambda content: b"", bytes.upper])
def test_a_damaged_file_is_made_anew(tmp_path, reference, damage, caplog):
    extractor = Averages()
    expected = fid.cached_features(str(tmp_path), extractor, reference)
    path = the_file(tmp_path)
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(damage(content))
    with caplog.at_level(logging.WARNING, logger="absl"):
        assert_same(fid.cached_features(str(tmp_path), extractor, reference), expected)
    assert extractor.num_images == 2 * NUM_IMAGES
    assert "made anew" in caplog.text
    assert_same(fid.cached_features(str(tmp_path), extractor, reference), expected)
    assert extractor.num_images == 2 * NUM_IMAGES


def test_a_file_under_a_wrong_name_is_made_anew(tmp_path, reference):
    extractor = Averages()
    expected = fid.cached_features(str(tmp_path), extractor, reference)
    path = the_file(tmp_path)
    other = fid.dataset_images(levels(NUM_IMAGES, seed=1))
    fid.cached_features(str(tmp_path), extractor, other)
    (other_path,) = {os.path.join(tmp_path, name) for name in os.listdir(tmp_path)} - {path}
    os.replace(other_path, path)
    assert_same(fid.cached_features(str(tmp_path), extractor, reference), expected)
    assert extractor.num_images == 3 * NUM_IMAGES


def test_an_interrupted_write_leaves_nothing(tmp_path, reference, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        fid.cached_features(str(tmp_path), Averages(), reference)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(tmp_path, reference):
    file, extractor = tmp_path / "file", Averages()
    file.write_text("")
    with pytest.raises(PermissionError, match="cannot write"):
        fid.cached_features(str(file), extractor, reference)
    assert extractor.num_images == 0


def test_progress_counts_every_image_either_way(tmp_path, reference):
    for _ in range(2):
        counts = []
        fid.cached_features(str(tmp_path), Averages(), reference, progress=counts.append)
        assert sum(counts) == NUM_IMAGES
