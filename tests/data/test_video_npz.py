import numpy as np
import pytest

from tf_sigma_vae.data.video_npz import VideoNpz


@pytest.fixture
def save(tmp_path):
    def save_arrays(**arrays):
        path = tmp_path / "videos.npz"
        np.savez(path, **arrays)
        return str(path)

    return save_arrays


@pytest.fixture
def videos(images):
    def draw(num_videos, *shape):
        return images(num_videos * 5, *shape).reshape(num_videos, 5, *shape)

    return draw


def every(source):
    index = np.arange(len(source))
    return source.clips(index, np.zeros_like(index), source.video_shape[0])


@pytest.mark.parametrize("keys", [("x_train", "x_test"), ("train", "test")])
def test_the_usual_names_are_found(save, videos, keys):
    x = videos(7, 4, 6, 3)
    path = save(**{keys[0]: x[:5], keys[1]: x[5:]}, action=np.zeros((7, 5, 4)))
    loaded = VideoNpz(path=path).load()
    np.testing.assert_array_equal(every(loaded["train"]), x[:5])
    np.testing.assert_array_equal(every(loaded["test"]), x[5:])
    assert set(loaded) == {"train", "test"}


def test_other_names_can_be_given(save, videos):
    x = videos(7, 4, 6, 3)
    path = save(a=x[:5], b=x[5:], x_val=x[:2])
    loaded = VideoNpz(path=path, train_key="a", test_key="b").load()
    np.testing.assert_array_equal(every(loaded["train"]), x[:5])
    np.testing.assert_array_equal(every(loaded["validation"]), x[:2])


def test_grey_videos_get_a_channel(save, videos):
    x = videos(7, 4, 6)
    loaded = VideoNpz(path=save(x_train=x[:5], x_test=x[5:])).load()
    assert loaded["train"].video_shape == (5, 4, 6, 1)


@pytest.mark.parametrize("key", ["video", "videos"])
def test_unsplit_videos_are_split_by_seed_into_whole_videos(save, videos, key):
    x = videos(10, 4, 6, 1)
    path = save(**{key: x}, action=np.zeros((10, 5, 4)))
    options = [{}, {}, {"split_seed": 1}]
    first, again, other = (VideoNpz(path=path, test_fraction=0.3, **o).load() for o in options)
    assert len(first["test"]) == 3
    together = np.concatenate([every(first["train"]), every(first["test"])])
    assert sorted(map(bytes, together)) == sorted(map(bytes, x))
    np.testing.assert_array_equal(every(first["test"]), every(again["test"]))
    assert not np.array_equal(every(first["test"]), every(other["test"]))


def test_splits_may_differ_in_the_length_of_their_videos(save, videos):
    x = videos(4, 4, 6, 1)
    loaded = VideoNpz(path=save(train=x[:3], test=x[3:, :2])).load()
    assert [loaded[s].video_shape[0] for s in ("train", "test")] == [5, 2]


def test_data_dir_stands_in_for_the_path(save, videos):
    x = videos(4, 4, 6, 1)
    path = save(train=x[:2], test=x[2:])
    np.testing.assert_array_equal(every(VideoNpz().load(path)["test"]), x[2:])


def test_frames_are_resized_as_asked(save, videos):
    x = videos(4, 8, 12, 3)
    x[2:] = np.arange(2 * 5, dtype=np.uint8).reshape(2, 5, 1, 1, 1)
    path = save(train=x[:2], test=x[2:])
    assert VideoNpz(path=path, image_size=6).load()["train"].video_shape == (5, 6, 6, 3)
    squashed = VideoNpz(path=path, image_size=[6, 5], resize="squash").load()["test"]
    assert squashed.video_shape == (5, 6, 5, 3)
    # A flat frame stays what it was, and where it was.
    np.testing.assert_array_equal(every(squashed)[:, :, 3, 2, 1], np.arange(10).reshape(2, 5))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"clips": np.zeros((2, 3, 4, 4), np.uint8)}, r"x_test.* video or videos.*\['clips'\]"),
        ({"x_train": np.zeros((2, 3, 4, 4), np.uint8)}, r"must hold the arrays"),
        ({"video": np.zeros((9, 3, 4, 4), np.float32)}, r"npz: videos must be uint8.* got float32"),
        ({"video": np.zeros((9, 3, 4, 4, 2), np.uint8)}, r"1 or 3, got shape \(9, 3, 4, 4, 2\)"),
        ({"video": np.zeros((9, 4, 4), np.uint8)}, r"must be \[N, T, H, W, C\].*\(9, 4, 4\)"),
        ({"video": np.zeros((1, 3, 4, 4), np.uint8)}, "leaves a split empty"),
        (
            {"train": np.zeros((2, 3, 4, 5), np.uint8), "test": np.zeros((2, 3, 4, 6), np.uint8)},
            "frame shapes differ between splits",
        ),
    ],
)
def test_unfit_archives_are_refused(save, arrays, message):
    with pytest.raises(ValueError, match=message):
        VideoNpz(path=save(**arrays)).load()


def test_unknown_key_is_refused(save, videos):
    with pytest.raises(ValueError, match=r"has no array 'a'; it holds \['video'\]"):
        VideoNpz(path=save(video=videos(9, 4, 4)), train_key="a").load()


def test_other_files_are_refused(tmp_path):
    text = tmp_path / "videos.npz"
    text.write_text("not an archive")
    with pytest.raises(ValueError, match=r"videos\.npz is not an \.npz archive; np\.savez"):
        VideoNpz(path=str(text)).load()


def test_damaged_archive_is_named(save, videos):
    path = save(video=videos(20, 8, 8))
    with open(path, "r+b") as file:
        file.seek(1000)
        file.write(b"\xff" * 100)
    with pytest.raises(ValueError, match=r"videos\.npz is damaged"):
        VideoNpz(path=path).load()


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"video_npz: there is no file .*none\.npz"):
        VideoNpz(path=str(tmp_path / "none.npz")).load()
    with pytest.raises(ValueError, match="video_npz needs to know where"):
        VideoNpz().load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_fraction": 0}, "test_fraction must be a number between 0 and 1"),
        ({"image_size": "28"}, "image_size must be a whole number, a pair"),
        ({"resize": "pad"}, r"resize must be one of \['crop', 'squash'\], got 'pad'"),
        ({"split_seed": -1}, "split_seed must be a whole number of at least 0"),
    ],
)
def test_impossible_options_are_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        VideoNpz(**options)


def test_a_test_part_without_a_standard_error_is_refused(save, videos):
    path = save(video=videos(12, 4, 6, 3))
    with pytest.raises(ValueError, match=r"test_fraction=0.1 leaves 1 of 12 .* to 0.17 or more"):
        VideoNpz(path=path).load()
    assert len(VideoNpz(path=path, test_fraction=0.17).load()["test"]) == 2
