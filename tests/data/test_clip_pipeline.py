import itertools

import numpy as np
import pytest
import tensorflow as tf

from tf_sigma_vae import data

N, T, LENGTH, BATCH, STEPS = 11, 7, 3, 4, 3
STARTS = T - LENGTH + 1
# The frequency of one of k equal chances over n draws has the standard error sqrt((k-1)/n) / k;
# of the six or so that a test compares, none is six of them off in a million runs.
STANDARD_ERRORS = 6


@pytest.fixture(scope="module")
def videos():
    """Videos `[11, 7, 2, 3, 1]` that name themselves: each pixel is 20 i + t, but for column 2."""
    x = np.empty((N, T, 2, 3, 1), np.uint8)
    x[:] = (20 * np.arange(N)[:, None] + np.arange(T))[:, :, None, None, None]
    x[:, :, :, 2] = 255
    x.setflags(write=False)
    return x


@pytest.fixture(scope="module")
def source(videos):
    return data.ArraySource(videos)


class Recorded(data.ArraySource):
    """Writes down the epochs it is asked for."""

    def __init__(self, videos):
        super().__init__(videos)
        self.asked = []

    def clips(self, index, start, length, epoch=0):
        self.asked.append((len(index), epoch))
        return super().clips(index, start, length, epoch)


def take(dataset, count):
    return [batch.numpy() for batch in itertools.islice(dataset, count)]


def training(source, count, **options):
    options = {"clip_length": LENGTH, "global_batch_size": BATCH, "seed": 5, **options}
    return take(data.training_clips(source, **options), count)


def names(batches):
    """Video and first frame of each clip, `[clips, 2]`."""
    levels = np.concatenate([np.round(255 * b[:, 0, 0, 0, 0]).astype(int) for b in batches])
    return np.stack(np.divmod(levels, 20), axis=1)


@pytest.fixture(scope="module")
def epochs(source):
    """The batches of three epochs."""
    batches = training(source, 3 * STEPS)
    return [batches[first : first + STEPS] for first in range(0, 3 * STEPS, STEPS)]


def test_clips_are_frames_that_follow_one_another_in_the_unit_interval(epochs, videos):
    for batch in epochs[0]:
        assert batch.dtype == np.float32
        for clip, (video, start) in zip(batch, names([batch]), strict=True):
            expected = videos[video, start : start + LENGTH].astype(np.float32) / 255
            np.testing.assert_array_equal(clip, expected)


def test_an_epoch_holds_every_video_once_and_ends_with_a_partial_batch(epochs):
    orders = []
    for batches in epochs:
        assert [len(b) for b in batches] == [4, 4, 3]
        orders.append(tuple(names(batches)[:, 0]))
        assert sorted(orders[-1]) == list(range(N))
    assert len({*orders, tuple(range(N))}) == 4


def test_order_and_crops_follow_the_seed(epochs, source):
    first, other = (names(batches) for batches in (epochs[0], training(source, STEPS, seed=6)))
    assert (first[:, 0] != other[:, 0]).any()
    of_video = [dict(map(tuple, order)) for order in (first, other)]
    assert of_video[0] != of_video[1]


def test_crops_are_uniform_over_all_places_and_new_in_each_epoch(videos):
    num_videos, epochs = 400, 5
    source = data.ArraySource(np.repeat(videos[:1], num_videos, axis=0))
    starts = [names([b])[:, 1] for b in training(source, epochs, global_batch_size=num_videos)]
    counts = np.bincount(np.concatenate(starts), minlength=STARTS)
    assert len(counts) == STARTS  # From the first to the last.
    frequency = counts / counts.sum()
    error = STANDARD_ERRORS * np.sqrt((STARTS - 1) / counts.sum()) / STARTS
    assert np.abs(frequency - 1 / STARTS).max() < error
    # Each video's place in one epoch and in the next agree by chance alone.
    agree = np.mean([a == b for a, b in itertools.pairwise(starts)])
    chance = STANDARD_ERRORS * np.sqrt((STARTS - 1) / (num_videos * (epochs - 1))) / STARTS
    assert abs(agree - 1 / STARTS) < chance


def test_starting_later_gives_the_same_batches_bit_for_bit(source):
    options = {"flip": True, "drop_remainder": True}
    whole = training(source, 9, **options)
    # Within the third epoch, of two steps.
    resumed = training(source, 4, start_step=5, **options)
    for expected, actual in zip(whole[5:], resumed, strict=True):
        assert expected.tobytes() == actual.tobytes()


def test_starting_in_a_far_epoch_costs_nothing_and_reads_nothing_else(videos):
    source = Recorded(videos)
    # Ten billion batches cannot be skipped one by one before the test's time is up.
    training(source, 1, start_step=10**10)
    assert source.asked[0] == (4 if 10**10 % STEPS < 2 else 3, 10**10 // STEPS)


def test_the_source_is_told_the_epoch(videos):
    source = Recorded(videos)
    training(source, 2 * STEPS)
    assert source.asked[: 2 * STEPS] == [(4, 0), (4, 0), (3, 0), (4, 1), (4, 1), (3, 1)]


def test_flips_mirror_half_of_the_clips_left_to_right_in_all_their_frames(videos):
    source = data.ArraySource(np.repeat(videos, 40, axis=0))
    (flipped,) = training(source, 1, global_batch_size=440, flip=True)
    # The last column of every frame is white, and no other one.
    is_white = (flipped == 1).all(axis=(2, 4))
    is_mirrored = (is_white == [True, False, False]).all(axis=(1, 2))
    is_kept = (is_white == [False, False, True]).all(axis=(1, 2))
    assert (is_mirrored ^ is_kept).all()
    assert abs(is_mirrored.mean() - 0.5) < STANDARD_ERRORS * 0.5 / np.sqrt(440)


@pytest.mark.parametrize(("batch_size", "static"), [(BATCH, None), (2 * N, N)])
def test_batch_size_is_static_where_all_batches_are_equal(source, batch_size, static):
    dataset = data.training_clips(source, clip_length=2, global_batch_size=batch_size, seed=0)
    assert dataset.element_spec == tf.TensorSpec([static, 2, 2, 3, 1], tf.float32)
    assert len(take(dataset, 1)[0]) == min(batch_size, N)


def test_dropping_the_remainder_leaves_equal_batches_and_other_videos_out(source):
    batches = training(source, 6, drop_remainder=True)
    epochs = [set(names(batches[i : i + 2])[:, 0]) for i in range(0, 6, 2)]
    assert [len(e) for e in epochs] == [2 * BATCH] * 3
    assert len({frozenset(set(range(N)) - e) for e in epochs}) == 3


def test_evaluation_cuts_every_video_into_fixed_clips_in_order(source, videos):
    options = {"clip_length": LENGTH, "global_batch_size": BATCH}
    dataset = data.evaluation_clips(source, **options)
    batches = [b.numpy() for b in dataset]
    assert dataset.cardinality() == len(batches) == 6
    assert [len(b) for b in batches] == [4, 4, 4, 4, 4, 2]
    # Seven frames are two clips of three; the last frame is left out.
    expected = videos[:, : 2 * LENGTH].reshape(2 * N, LENGTH, 2, 3, 1).astype(np.float32) / 255
    np.testing.assert_array_equal(np.concatenate(batches), expected)
    assert data.num_evaluation_clips(source, LENGTH) == 2 * N
    assert dataset.element_spec == tf.TensorSpec([None, LENGTH, 2, 3, 1], tf.float32)


def test_a_clip_may_be_the_whole_video(source, videos):
    assert data.num_evaluation_clips(source, T) == N
    (batch,) = training(source, 1, clip_length=T, global_batch_size=N)
    assert sorted(map(bytes, batch)) == sorted(map(bytes, videos.astype(np.float32) / 255))


# Two workers of two replicas: more than the last batch has clips, so that one gets none.
SHARDS = [data.Shard(0, 2, 4), data.Shard(2, 2, 4)]


def joined(of_shards, shards, num_steps):
    """The global batches that the elements of all shards make up, in the order of the replicas."""
    batches = []
    for step in range(num_steps):
        parts = []
        for elements, shard in zip(of_shards, shards, strict=True):
            parts += elements[step * shard.num_local : (step + 1) * shard.num_local]
        batches.append(np.concatenate(parts))
    return batches


def test_the_shards_of_training_make_up_the_batches_of_one_device(source):
    options = {"start_step": 2, "flip": True}
    whole = training(source, 2 * STEPS, **options)
    parts = [training(source, 2 * STEPS * s.num_local, shard=s, **options) for s in SHARDS]
    for one, several in zip(whole, joined(parts, SHARDS, 2 * STEPS), strict=True):
        assert one.tobytes() == several.tobytes()


def test_the_shards_of_evaluation_hold_every_clip_once_in_order(source):
    options = {"clip_length": LENGTH, "global_batch_size": BATCH}
    whole = np.concatenate(take(data.evaluation_clips(source, **options), 6))
    parts = [take(data.evaluation_clips(source, shard=s, **options), None) for s in SHARDS]
    assert np.concatenate(joined(parts, SHARDS, 6)).tobytes() == whole.tobytes()


def test_a_replica_reads_its_own_clips_alone(videos):
    source = Recorded(videos)
    training(source, STEPS, shard=data.Shard(1, 1, 2))
    assert [size for size, _ in source.asked[:STEPS]] == [2, 2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_length": 8}, "videos: a clip of 8 frames was asked for, but the videos have 7"),
        ({"clip_length": 0}, "clip_length must be a whole number of at least 1, got 0"),
        ({"global_batch_size": 0}, "global_batch_size must be a whole number of at least 1, got 0"),
        ({"start_step": -1}, "start_step must be a whole number of at least 0, got -1"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"flip": 1}, "flip must be True or False, got 1"),
        ({"global_batch_size": 12, "drop_remainder": True}, "drop_remainder leaves nothing"),
    ],
)
def test_impossible_options_are_refused(source, options, message):
    with pytest.raises(ValueError, match=message):
        training(source, 1, **options)


def test_clips_longer_than_the_videos_cannot_be_evaluated(source):
    with pytest.raises(ValueError, match="a clip of 8 frames was asked for"):
        data.evaluation_clips(source, clip_length=8, global_batch_size=1)


def test_the_first_clips_of_all_videos_can_come_first():
    videos = np.arange(3 * 7, dtype=np.uint8).reshape(3, 7, 1, 1, 1)
    batches = data.evaluation_clips(
        data.ArraySource(videos), 3, global_batch_size=4, first_of_each=True
    )
    found = np.concatenate([np.rint(255 * x) for x in batches])[:, 0, 0, 0, 0]
    np.testing.assert_array_equal(found, [0, 7, 14, 3, 10, 17])
