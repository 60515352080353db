import numpy as np
import pytest
from PIL import Image

from tf_sigma_vae.data.image_folder import ImageFolder

SHAPE = (5, 7, 3)
# JPEG is lossy: a flat area comes back within a few grey levels.
JPEG_TOLERANCE = 3


@pytest.fixture
def folder(tmp_path):
    """A folder and a function that saves a flat image of a grey level in it."""

    def save(name, level=0, shape=SHAPE):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(shape, level, np.uint8)).save(path)
        return path

    return tmp_path, save


def levels(images):
    return images[:, 0, 0, 0].tolist()


def test_train_and_test_subfolders_are_the_splits_in_the_order_of_names(folder):
    root, save = folder
    for name, level in (("b/1.png", 20), ("a.PNG", 10), ("c.png", 30)):
        save(f"train/{name}", level)
    save("test/x.png", 40)
    loaded = ImageFolder(path=str(root)).load()
    assert loaded["train"].shape == (3, *SHAPE)
    assert levels(loaded["train"]) == [10, 20, 30]
    assert levels(loaded["test"]) == [40]


def test_validation_subfolder_is_a_split_too(folder):
    root, save = folder
    for index, split in enumerate(("train", "validation", "test")):
        save(f"{split}/x.png", index)
    assert levels(ImageFolder(path=str(root)).load()["validation"]) == [1]


def test_unsplit_folder_is_split_by_seed_without_overlap(folder):
    root, save = folder
    for level in range(10):
        save(f"{level}.png", level)
    first, again = (ImageFolder(path=str(root), test_fraction=0.3).load() for _ in range(2))
    assert sorted(levels(first["train"]) + levels(first["test"])) == list(range(10))
    assert len(first["test"]) == 3
    assert levels(first["test"]) == levels(again["test"])
    seeds = range(1, 5)
    others = [ImageFolder(path=str(root), test_fraction=0.3, split_seed=s).load() for s in seeds]
    assert any(levels(other["test"]) != levels(first["test"]) for other in others)


def test_jpeg_files_are_read_and_hidden_and_other_files_are_not(folder):
    root, save = folder
    for name in ("train/a.jpg", "train/b.jpeg", "test/c.JPG"):
        save(name, 100)
    for name in ("train/.hidden.png", "train/.cache/x.png"):
        save(name, 0)
    (root / "train" / "notes.txt").write_text("not an image")
    loaded = ImageFolder().load(str(root))
    assert len(loaded["train"]) == 2
    assert np.abs(loaded["train"].astype(int) - 100).max() <= JPEG_TOLERANCE


def test_channels_are_converted(folder):
    root, save = folder
    for name in ("train/grey.png", "train/color.png", "test/color.png"):
        save(name, 90, shape=(5, 7) if "grey" in name else SHAPE)
    for channels in (1, 3):
        loaded = ImageFolder(path=str(root), channels=channels).load()
        assert loaded["train"].shape == (2, 5, 7, channels)
        assert (loaded["train"] == 90).all()


def test_transparency_is_dropped(folder):
    root, save = folder
    save("train/a.png", 90, shape=(5, 7, 4))
    save("test/a.png", 90)
    assert ImageFolder(path=str(root)).load()["train"].shape == (1, *SHAPE)


def test_photos_are_turned_upright(folder):
    root, save = folder
    save("test/a.png", 5)
    picture = Image.fromarray(np.arange(105, dtype=np.uint8).reshape(7, 5, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: to be turned clockwise by 90 degrees.
    (root / "train").mkdir()
    picture.save(root / "train" / "a.png", exif=exif)
    loaded = ImageFolder(path=str(root)).load()["train"][0]
    np.testing.assert_array_equal(loaded, np.rot90(np.asarray(picture), k=-1))


def test_sizes_are_brought_to_one_as_asked(folder):
    root, save = folder
    save("train/a.png", 1, (9, 5, 3))
    save("train/b.png", 2, (4, 8, 3))
    save("test/c.png", 3, (6, 6, 3))
    loaded = ImageFolder(path=str(root), image_size=(4, 3), resize="squash").load()
    assert loaded["train"].shape == (2, 4, 3, 3)
    with pytest.raises(ValueError, match=r"b\.png has 4x8 pixels and .*a\.png has 9x5: set image_"):
        ImageFolder(path=str(root)).load()


def test_corrupt_file_is_named(folder):
    root, save = folder
    path = save("train/bad.png", 1, (50, 60, 3))
    path.write_bytes(path.read_bytes()[:60])
    save("test/good.png")
    with pytest.raises(ValueError, match=r"bad\.png cannot be decoded as an image"):
        ImageFolder(path=str(root)).load()


def test_images_of_more_than_eight_bits_are_refused(folder):
    root, save = folder
    save("test/a.png")
    (root / "train").mkdir()
    Image.fromarray(np.full((5, 7), 40_000, np.uint16)).save(root / "train" / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png is not an 8-bit image"):
        ImageFolder(path=str(root)).load()


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none"):
        ImageFolder(path=str(tmp_path / "none")).load()
    with pytest.raises(FileNotFoundError, match=r"no \.png, \.jpg, \.jpeg files in"):
        ImageFolder(path=str(tmp_path)).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 4}, r"channels must be one of \[1, 3\], got 4"),
        ({"resize": "stretch"}, "resize must be one of"),
        ({"image_size": 2.5}, "image_size must be"),
        ({"test_fraction": 1}, "test_fraction must be"),
    ],
)
def test_impossible_options_are_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        ImageFolder(**options)
