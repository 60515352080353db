import numpy as np
import pytest

from tf_sigma_vae.data.npz import Npz


@pytest.fixture
def save(tmp_path):
    def save_arrays(**arrays):
        path = tmp_path / "images.npz"
        np.savez(path, **arrays)
        return str(path)

    return save_arrays


@pytest.mark.parametrize("keys", [("x_train", "x_test"), ("train", "test")])
def test_the_usual_names_are_found(save, images, keys):
    x = images(7, 4, 6, 3)
    loaded = Npz(path=save(**{keys[0]: x[:5], keys[1]: x[5:]}, y_train=np.arange(5))).load()
    np.testing.assert_array_equal(loaded["train"], x[:5])
    np.testing.assert_array_equal(loaded["test"], x[5:])
    assert set(loaded) == {"train", "test"}


def test_other_names_can_be_given(save, images):
    x = images(7, 4, 6, 3)
    path = save(a=x[:5], b=x[5:], x_val=x[:2])
    loaded = Npz(path=path, train_key="a", test_key="b").load()
    np.testing.assert_array_equal(loaded["train"], x[:5])
    np.testing.assert_array_equal(loaded["validation"], x[:2])


def test_grey_images_get_a_channel(save, images):
    x = images(7, 4, 6)
    loaded = Npz(path=save(x_train=x[:5], x_test=x[5:])).load()
    assert loaded["train"].shape == (5, 4, 6, 1)


def test_unsplit_images_are_split_by_seed_without_overlap(save, images):
    x = images(10, 4, 6, 1)
    path = save(images=x)
    first = Npz(path=path, test_fraction=0.3).load()
    again = Npz(path=path, test_fraction=0.3).load()
    other = Npz(path=path, test_fraction=0.3, split_seed=1).load()
    assert len(first["test"]) == 3
    together = np.concatenate([first["train"], first["test"]])
    assert sorted(map(bytes, together)) == sorted(map(bytes, x))
    np.testing.assert_array_equal(first["test"], again["test"])
    assert not np.array_equal(first["test"], other["test"])


def test_data_dir_stands_in_for_the_path(save, images):
    x = images(4, 4, 6, 1)
    path = save(train=x[:2], test=x[2:])
    np.testing.assert_array_equal(Npz().load(path)["test"], x[2:])


def test_images_are_resized_as_asked(save, images):
    path = save(train=images(3, 8, 12, 3), test=images(2, 8, 12, 3))
    assert Npz(path=path, image_size=6).load()["train"].shape == (3, 6, 6, 3)
    squashed = Npz(path=path, image_size=[6, 5], resize="squash").load()
    assert squashed["test"].shape == (2, 6, 5, 3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((2, 4, 4), np.uint8)}, r"x_train and x_test.*\['pictures'\]"),
        ({"x_train": np.zeros((2, 4, 4), np.uint8)}, r"must hold the arrays"),
        ({"images": np.zeros((9, 4, 4), np.float32)}, "must be uint8 grey levels.* got float32"),
        ({"images": np.zeros((9, 4, 4, 2), np.uint8)}, r"C = 1 or 3, got shape \(\d, 4, 4, 2\)"),
        (
            {"train": np.zeros((2, 4, 5), np.uint8), "test": np.zeros((2, 4, 6), np.uint8)},
            "image shapes differ between splits",
        ),
    ],
)
def test_unfit_archives_are_refused(save, arrays, message):
    with pytest.raises(ValueError, match=message):
        Npz(path=save(**arrays)).load()


def test_unknown_key_is_refused(save, images):
    with pytest.raises(ValueError, match=r"has no array 'a'; it holds \['images'\]"):
        Npz(path=save(images=images(9, 4, 4)), train_key="a").load()


def test_other_files_are_refused(tmp_path, images):
    text = tmp_path / "images.npz"
    text.write_text("not an archive")
    with pytest.raises(ValueError, match=r"images\.npz is not an \.npz archive"):
        Npz(path=str(text)).load()


def test_damaged_archive_is_named(save, images):
    path = save(images=images(50, 8, 8))
    with open(path, "r+b") as file:
        file.seek(1000)
        file.write(b"\xff" * 100)
    with pytest.raises(ValueError, match=r"images\.npz is damaged"):
        Npz(path=path).load()


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.npz"):
        Npz(path=str(tmp_path / "none.npz")).load()
    with pytest.raises(ValueError, match="give path, or --data_dir"):
        Npz().load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_fraction": 0}, "test_fraction must be a number between 0 and 1"),
        ({"image_size": "28"}, "image_size must be a whole number, a pair"),
        ({"image_size": (4, 5, 6)}, "image_size must be a whole number, a pair"),
        ({"image_size": 0}, "image_size must be a whole number, a pair"),
        ({"resize": "pad"}, r"resize must be one of \['crop', 'squash'\], got 'pad'"),
        ({"split_seed": -1}, "split_seed must be a whole number of at least 0"),
    ],
)
def test_impossible_options_are_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        Npz(**options)
