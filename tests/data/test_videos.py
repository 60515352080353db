import numpy as np
import pytest

from tf_sigma_vae import data
from tf_sigma_vae.data import _videos

T, H, W, C = 5, 3, 4, 1


@pytest.fixture
def videos(images):
    """Distinct videos, uint8 `[9, 5, 3, 4, 1]`."""
    return images(9 * T, H, W, C).reshape(9, T, H, W, C)


def every(source):
    """All frames of all videos, uint8 `[N, T, H, W, C]`."""
    index = np.arange(len(source))
    return source.clips(index, np.zeros_like(index), source.video_shape[0])


def test_clips_are_the_frames_asked_for(videos):
    source = data.ArraySource(videos)
    clips = source.clips(np.array([7, 0, 7]), np.array([1, 3, 0]), 2)
    assert clips.dtype == np.uint8
    np.testing.assert_array_equal(clips, [videos[7, 1:3], videos[0, 3:5], videos[7, :2]])
    assert source.video_shape == (T, H, W, C)
    assert len(source) == 9


def test_no_clips_are_an_empty_batch(videos):
    none = np.array([], np.int64)
    assert data.ArraySource(videos).clips(none, none, 2).shape == (0, 2, H, W, C)


def test_a_memory_mapped_file_is_read_as_an_array_is_and_never_copied_as_a_whole(videos, tmp_path):
    np.save(tmp_path / "videos.npy", videos)
    mapped = np.load(tmp_path / "videos.npy", mmap_mode="r")
    source = data.ArraySource(mapped)
    np.testing.assert_array_equal(every(source), videos)
    for part in (source, source.first(3), *source.hold_out(0.5, seed=0)):
        assert part._recordings is mapped


def test_held_out_videos_are_whole_and_in_one_part_alone(videos):
    kept, out = data.ArraySource(videos).hold_out(0.3, seed=1)
    assert (len(kept), len(out)) == (6, 3)
    kept, out = ([bytes(v) for v in every(part)] for part in (kept, out))
    in_order = [bytes(v) for v in videos]
    assert sorted(kept + out) == sorted(in_order)
    assert kept == [v for v in in_order if v in kept]


def test_parts_are_parted_again_without_what_was_taken_before(videos):
    train, test = data.ArraySource(videos).hold_out(0.3, seed=1)
    train, validation = train.hold_out(0.5, seed=1)
    parts = [set(map(bytes, every(part))) for part in (train, validation, test)]
    assert [len(part) for part in parts] == [3, 3, 3]
    assert len(set.union(*parts)) == 9


def test_the_first_videos_are_those_and_no_more_than_there_are(videos):
    source = data.ArraySource(videos)
    np.testing.assert_array_equal(every(source.first(2)), videos[:2])
    assert len(source.first(20)) == 9
    np.testing.assert_array_equal(every(source.first(4).first(3)), videos[:3])


def test_recordings_become_videos_that_follow_one_another_and_cross_no_recording(images):
    long, short, exact = (
        images(30, H, W, C)[first:end] for first, end in ((0, 8), (8, 11), (11, 17))
    )
    source = data.RecordingSource([long, short, exact], video_length=3)
    assert source.video_shape == (3, H, W, C)
    expected = [long[:3], long[3:6], short, exact[:3], exact[3:]]
    np.testing.assert_array_equal(every(source), expected)
    np.testing.assert_array_equal(source.clips(np.array([1]), np.array([1]), 2)[0], long[4:6])


def test_recordings_are_held_out_as_a_whole(images):
    recordings = [np.full((length, H, W, C), length, np.uint8) for length in (2, 3, 5, 8, 12, 17)]
    for seed in range(4):
        kept, out = data.RecordingSource(recordings, 2).hold_out(0.4, seed)
        kept, out = ([int(v) for v in every(part)[:, 0, 0, 0, 0]] for part in (kept, out))
        assert len(set(out)) == 2
        assert sorted(kept + out) == sorted(n for n in (2, 3, 5, 8, 12, 17) for _ in range(n // 2))
        assert not set(kept) & set(out)


def test_a_recording_that_is_too_short_or_of_another_size_is_refused(images):
    x = images(6, H, W, C)
    with pytest.raises(ValueError, match=r"mine: recording 1 has the shape \(2, 3, 4, 1\)"):
        data.RecordingSource([x, x[:2]], 3, "mine")
    with pytest.raises(ValueError, match=r"recording 1 has the shape \(6, 3, 2, 1\)"):
        data.RecordingSource([x, x[:, :, :2]], 3)
    with pytest.raises(ValueError, match="there are no videos in it"):
        data.RecordingSource([], 3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, T, H, W, C), np.float32), "x: videos must be uint8.* got float32"),
        (np.zeros((2, T, H, W), np.uint8), r"x: videos must be \[N, T, H, W, C\] with C = 1 or 3"),
        (np.zeros((2, T, H, W, 2), np.uint8), r"got shape \(2, 5, 3, 4, 2\)"),
        (np.zeros((2, 0, H, W, C), np.uint8), r"got shape \(2, 0, 3, 4, 1\)"),
        (np.zeros((0, T, H, W, C), np.uint8), "x: there are no videos in it"),
    ],
)
def test_arrays_that_are_no_videos_are_refused(array, message):
    with pytest.raises(ValueError, match=message):
        data.ArraySource(array, "x")


def test_validation_is_carved_from_training(videos):
    sources = {"train": data.ArraySource(videos[:6]), "test": data.ArraySource(videos[6:])}
    splits = data.split_videos(sources, validation_fraction=0.34, seed=0)
    assert splits.test is sources["test"]
    parts = [set(map(bytes, every(part))) for part in splits]
    assert [len(part) for part in parts] == [4, 2, 3]
    assert len(set.union(*parts)) == 9
    assert data.split_videos(sources, 0.0, seed=0).validation is None


def test_a_validation_split_of_the_dataset_is_used_as_it_is(videos):
    names = ("train", "validation", "test")
    sources = {name: data.ArraySource(videos[3 * i : 3 * i + 3]) for i, name in enumerate(names)}
    splits = data.split_videos(sources, validation_fraction=0.5, seed=0)
    assert splits.validation is sources["validation"]
    assert splits.train is sources["train"]


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_fractions_that_empty_a_split_are_refused(videos, fraction):
    sources = dict.fromkeys(("train", "test"), data.ArraySource(videos))
    with pytest.raises(ValueError, match="leaves a split empty"):
        data.split_videos(sources, fraction, seed=0)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, "half", True])
def test_fractions_outside_the_unit_interval_are_refused(videos, fraction):
    sources = dict.fromkeys(("train", "test"), data.ArraySource(videos))
    with pytest.raises(ValueError, match="validation_fraction must be a number between 0 and 1"):
        data.split_videos(sources, fraction, seed=0)


def returning(sources):
    class Broken(data.VideoDataset):
        """Returns what it is asked to."""

        def _read(self, data_dir, download):
            return sources

    return Broken()


def test_what_breaks_the_contract_is_refused(videos):
    x = data.ArraySource(videos)
    other = data.ArraySource(videos[:, :, :2])
    for sources, message in (
        ({"train": x}, r"splits must be train, test and optionally validation, got \['train'\]"),
        ({"train": x, "test": x, "extra": x}, "splits must be train, test"),
        ({"train": videos, "test": x}, "'train': videos must be a VideoSource .* got ndarray"),
        ({"train": x, "test": x.first(0)}, "'test': there are no videos in it"),
        ({"train": x, "test": other}, r"frame shapes differ between splits: .*\(2, 4, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            returning(sources).load()


def test_splits_may_differ_in_the_length_of_their_videos(videos):
    sources = {"train": data.ArraySource(videos), "test": data.ArraySource(videos[:, :2])}
    assert returning(sources).load() is sources


def test_what_a_source_or_a_dataset_lacks_is_named():
    source = _videos.VideoSource()
    for call, name in (
        (lambda: len(source), "__len__"),
        (lambda: source.clips(None, None, 1), "clips"),
        (lambda: source.first(1), "first"),
        (lambda: source.hold_out(0.5, 0), "hold_out"),
        (lambda: data.VideoDataset().load(), "_read"),
    ):
        with pytest.raises(NotImplementedError, match=f"does not implement {name}"):
            call()


def test_a_validation_part_without_a_video_names_the_field_and_what_would_do():
    videos = np.zeros([11, 3, 4, 4, 1], np.uint8)
    sources = {"train": data.ArraySource(videos), "test": data.ArraySource(videos)}
    with pytest.raises(ValueError, match=r"config.validation_fraction: .*0 of 11.* 11 is 0.091"):
        data.split_videos(sources, validation_fraction=0.02, seed=0)
