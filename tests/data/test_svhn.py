import numpy as np
import pytest

from tf_sigma_vae.data.svhn import Svhn


@pytest.fixture
def data_dir(store, images):
    x = images(9, 32, 32, 3)
    return store("svhn_cropped", {"train": x[:4], "test": x[4:6], "extra": x[6:]})


def test_the_default_is_the_papers_28_pixels(data_dir):
    shapes = {split: x.shape for split, x in Svhn(image_size=None).load(data_dir).items()}
    assert shapes == {"train": (4, 28, 28, 3), "test": (2, 28, 28, 3)}


def test_images_are_kept_at_32_pixels_and_extra_ones_are_appended_to_training_only(
    data_dir, images
):
    x = images(9, 32, 32, 3)
    for include_extra, train in ((False, x[:4]), (True, np.concatenate([x[:4], x[6:]]))):
        loaded = Svhn(image_size=32, include_extra=include_extra).load(data_dir)
        np.testing.assert_array_equal(loaded["train"], train)
        np.testing.assert_array_equal(loaded["test"], x[4:6])


@pytest.mark.parametrize("size", [64, 0, 0.5, "28", True])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=r"image_size must be one of \[28, 32\]"):
        Svhn(image_size=size)


def test_include_extra_must_be_a_boolean():
    with pytest.raises(ValueError, match="include_extra must be True or False, got 'yes'"):
        Svhn(include_extra="yes")
