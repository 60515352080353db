import itertools

import numpy as np
import pytest

from tf_sigma_vae import data
from tf_sigma_vae.data import _moving_digits
from tf_sigma_vae.data.moving_mnist import MovingMnist

SIZE, T = 32, 20
DIGITS = 7
# The frequency of one of k equal chances over n draws has the standard error sqrt((k-1)/n) / k;
# of the 24 that a test compares, none is six of them off in a million runs.
STANDARD_ERRORS = 6


@pytest.fixture
def digits(images):
    """Seven distinct pictures without a black pixel, uint8 `[7, 16, 16]`."""
    return np.maximum(images(DIGITS, SIZE // 2, SIZE // 2), 1)


def moving(digits, **changes):
    options = {
        "num_videos": 50,
        "video_length": T,
        "image_size": SIZE,
        "num_digits": 2,
        "seed": 3,
        "stream": _moving_digits.TRAINING,
        "name": "moving",
    }
    return _moving_digits.MovingDigits(digits, **(options | changes))


def every(source, epoch=0):
    index = np.arange(len(source))
    return source.clips(index, np.zeros_like(index), source.video_shape[0], epoch)


@pytest.fixture
def data_dir(store, images):
    """A folder with a tiny prepared MNIST: eight training images and three test images."""
    x = images(11, 28, 28, 1)
    return store("mnist", {"train": x[:8], "test": x[8:]})


def slow_video(digits, u, num_digits, length, size):
    """One video by the rules of SVG, written digit by digit and frame by frame.

    Args:
      digits: uint8 `[N, h, h]`.
      u: Uniform numbers: five for each digit, then four for each frame and digit.
    """
    u = iter(u.tolist())
    limit, fastest = size - digits.shape[1], size // 16

    def draw(low, high):
        """A whole number from low to high, both included."""
        return low + int(next(u) * (high - low + 1))

    states = []
    for _ in range(num_digits):
        which, y, x = draw(0, len(digits) - 1), draw(0, limit - 1), draw(0, limit - 1)
        states.append([which, y, x, draw(-fastest, fastest), draw(-fastest, fastest)])
    frames = np.zeros((length, size, size), int)
    for frame in frames:
        for state in states:
            which, y, x, dy, dx = state
            uniform = [next(u) for _ in range(4)]
            speeds = [1 + int(uniform[k] * fastest) for k in (0, 2)]
            others = [-fastest + int(uniform[k] * (2 * fastest + 1)) for k in (1, 3)]
            if y < 0:
                y, dy, dx = 0, speeds[0], others[0]
            elif y >= limit:
                y, dy, dx = limit - 1, -speeds[0], others[0]
            if x < 0:
                x, dx, dy = 0, speeds[1], others[1]
            elif x >= limit:
                x, dx, dy = limit - 1, -speeds[1], others[1]
            frame[y : y + digits.shape[1], x : x + digits.shape[1]] += digits[which]
            state[1:] = y + dy, x + dx, dy, dx
    return np.minimum(frames, 255)[..., np.newaxis]


@pytest.mark.parametrize(("num_digits", "size"), [(1, 32), (2, 32), (3, 64)])
def test_videos_follow_the_rules_as_a_slow_implementation_writes_them(images, num_digits, size):
    digits = images(DIGITS, size // 2, size // 2)
    source = moving(digits, num_digits=num_digits, image_size=size)
    for epoch in (0, 4):
        videos = every(source, epoch)
        u = source._uniform(np.arange(50), num_digits * (5 + 4 * T), epoch)
        for video, numbers in zip(videos, u, strict=True):
            np.testing.assert_array_equal(video, slow_video(digits, numbers, num_digits, T, size))


def motions(digits, **changes):
    """Places of a digit and the steps between them, `[B, T, 2]` and `[B, T - 1, 2]`."""
    source = moving(digits, num_digits=1, num_videos=400, video_length=40, **changes)
    _, places = source._motion(np.arange(400), 40, 0)
    return places[:, :, 0], np.diff(places[:, :, 0], axis=1)


def test_digits_stay_inside_and_reach_all_places(digits):
    places, steps = motions(digits)
    assert set(places.ravel()) == set(range(16))
    assert set(steps.ravel()) == set(range(-2, 3))


def test_a_digit_moves_evenly_away_from_the_edges(digits):
    places, steps = motions(digits)
    at_edge = ((places == 0) | (places == 15)).any(axis=2)
    # At the next edge a step may be cut short.
    is_free = ~at_edge[:, 1:-1] & ~at_edge[:, 2:]
    assert is_free.sum() > 1000
    np.testing.assert_array_equal(steps[:, 1:][is_free], steps[:, :-1][is_free])


def test_speed_is_up_to_four_pixels_at_the_size_of_svg(images):
    digits = images(2, 32, 32)
    places, steps = motions(digits, image_size=64)
    assert set(places.ravel()) == set(range(32))
    assert set(steps.ravel()) == set(range(-4, 5))


def test_which_digit_its_place_and_its_velocity_are_uniform(digits):
    source = moving(digits, num_videos=2000)
    digit, places = source._motion(np.arange(2000), 2, 0)
    for drawn, chances in ((digit, DIGITS), (places[:, 0], 16)):
        counts = np.bincount(drawn.ravel(), minlength=chances)
        assert len(counts) == chances
        error = STANDARD_ERRORS * np.sqrt((chances - 1) / counts.sum()) / chances
        assert np.abs(counts / counts.sum() - 1 / chances).max() < error
    assert abs(np.corrcoef(digit.T)[0, 1]) < STANDARD_ERRORS / np.sqrt(2000)


def test_overlapping_digits_add_up_to_white_at_most(digits):
    white = moving(np.full_like(digits, 200), num_digits=3)
    assert set(np.unique(every(white))) == {0, 200, 255}


def test_clips_are_parts_of_their_video(digits):
    source = moving(digits)
    videos = every(source, epoch=2)
    index, start = np.array([4, 49, 4, 0]), np.array([0, 15, 13, 7])
    clips = source.clips(index, start, 5, epoch=2)
    for clip, video, first in zip(clips, index, start, strict=True):
        np.testing.assert_array_equal(clip, videos[video, first : first + 5])
    assert source.clips(index[:0], start[:0], 5).shape == (0, 5, SIZE, SIZE, 1)


def test_the_first_frames_do_not_depend_on_how_many_follow(digits):
    short, long = every(moving(digits, video_length=6)), every(moving(digits))
    np.testing.assert_array_equal(short, long[:, :6])


def test_training_never_repeats_and_follows_the_seed(digits):
    seen = [every(moving(digits), epoch) for epoch in range(4)]
    seen.append(every(moving(digits, seed=4)))
    assert len({bytes(v) for videos in seen for v in videos}) == 5 * 50
    np.testing.assert_array_equal(every(moving(digits), epoch=3), seen[3])


def test_the_test_set_is_fixed_whatever_the_epoch_and_the_seed(data_dir):
    small = {"image_size": SIZE, "video_length": 8, "num_train": 6}
    test = MovingMnist(num_test=9, **small).load(data_dir)["test"]
    other = MovingMnist(num_test=5, seed=7, **small).load(data_dir)["test"]
    np.testing.assert_array_equal(every(test), every(test, epoch=5))
    np.testing.assert_array_equal(every(test)[:5], every(other))
    assert len({bytes(v) for v in every(test)}) == 9


def test_the_test_set_is_the_same_on_every_machine(digits):
    source = moving(digits, stream=_moving_digits.TEST, seed=0, num_digits=1)
    digit, places = source._motion(np.arange(3), 4, 0)
    assert digit.tolist() == [[2], [2], [4]]
    assert places[:, :, 0].tolist() == [
        [[13, 14], [13, 14], [13, 14], [13, 14]],
        [[9, 14], [8, 15], [10, 14], [12, 13]],
        [[3, 5], [5, 7], [7, 9], [9, 11]],
    ]


def test_each_split_shows_digits_of_its_own(data_dir):
    loaded = MovingMnist(image_size=SIZE, num_digits=1, video_length=2, num_train=90, num_test=90)
    splits = data.split_videos(loaded.load(data_dir), validation_fraction=0.25, seed=1)
    assert [len(s) for s in splits] == [68, 22, 90]

    def shown(source):
        """What the digits look like: a digit's picture is all there is in a frame."""
        digit, _ = source._motion(np.arange(len(source)), 1, 0)
        return {bytes(source._digits[d]) for d in digit.ravel()}

    parts = [shown(source) for source in splits]
    assert [len(p) for p in parts] == [6, 2, 3]
    assert len(set.union(*parts)) == 11


def test_validation_videos_are_fixed_while_those_of_training_are_not(digits):
    train, validation = moving(digits).hold_out(0.3, seed=0)
    assert (len(train), len(validation)) == (35, 15)
    np.testing.assert_array_equal(every(validation), every(validation, epoch=1))
    first, second = every(train), every(train, epoch=1)
    assert not {bytes(v) for v in first} & {bytes(v) for v in second}
    np.testing.assert_array_equal(every(validation.first(4)), every(validation)[:4])
    assert len(validation.first(100)) == 15


def test_digits_are_mnists_brought_to_half_the_size_of_the_picture(data_dir, images):
    loaded = MovingMnist(image_size=64, num_train=4, num_test=4).load(data_dir)
    assert loaded["train"].video_shape == loaded["test"].video_shape == (30, 64, 64, 1)
    assert loaded["train"]._digits.shape == (8, 32, 32)
    assert loaded["test"]._digits.shape == (3, 32, 32)
    level = loaded["train"]._digits.mean(axis=(1, 2))
    # A resized picture is as bright as it was, but for its border and the rounding to levels.
    np.testing.assert_allclose(level, images(11, 28, 28, 1)[:8].mean(axis=(1, 2, 3)), rtol=0.02)


def test_clips_of_training_differ_from_epoch_to_epoch(data_dir):
    dataset = MovingMnist(image_size=SIZE, num_train=6, num_test=3, video_length=6)
    source = dataset.load(data_dir)["train"]
    clips = data.training_clips(source, clip_length=4, global_batch_size=6, seed=0)
    batches = [batch.numpy() for batch in itertools.islice(clips, 5)]
    assert batches[0].shape == (6, 4, SIZE, SIZE, 1)
    assert len({clip.tobytes() for batch in batches for clip in batch}) == 30


def test_missing_mnist_is_said_under_the_name_of_the_dataset(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"moving_mnist is not prepared[\s\S]*11\.6 MB"
    ) as e:
        MovingMnist().load(str(tmp_path))
    assert f"--dataset=moving_mnist --data_dir={tmp_path}" in str(e.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 60}, "image_size must be a multiple of 16, got 60"),
        ({"image_size": 8}, "image_size must be a whole number of at least 16, got 8"),
        ({"num_digits": 0}, "num_digits must be a whole number of at least 1, got 0"),
        ({"video_length": 0}, "video_length must be"),
        ({"num_train": 1.5}, "num_train must be"),
        ({"num_test": 0}, "num_test must be"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
    ],
)
def test_impossible_options_are_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        MovingMnist(**options)
