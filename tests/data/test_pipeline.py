import itertools

import numpy as np
import pytest
import tensorflow as tf

from tf_sigma_vae.data import _pipeline as pipeline

N, BATCH, STEPS = 11, 4, 3
# A mean of n uniform numbers has the standard error sqrt(1 / (12 n)); six of them occur once
# in five hundred million runs.
STANDARD_ERRORS = 6


@pytest.fixture
def x():
    """Images `[11, 3, 2, 1]` whose pixels name them: image i is filled with 20 i + place."""
    return (20 * np.arange(N)[:, None] + np.arange(6)).astype(np.uint8).reshape(N, 3, 2, 1)


def take(dataset, count):
    return [batch.numpy() for batch in itertools.islice(dataset, count)]


def training(x, count, **options):
    options = {"global_batch_size": BATCH, "seed": 5, **options}
    return take(pipeline.training_batches(x, **options), count)


def image_numbers(batches):
    return [(np.round(255 * b[:, 0, 0, 0]).astype(int) // 20).tolist() for b in batches]


def test_an_epoch_holds_every_example_once_and_ends_with_a_partial_batch(x):
    for epoch in range(3):
        batches = image_numbers(training(x, STEPS, start_step=epoch * STEPS))
        assert [len(b) for b in batches] == [4, 4, 3]
        assert sorted(itertools.chain(*batches)) == list(range(N))


def test_epochs_and_seeds_have_different_orders(x):
    first, second = (image_numbers(training(x, STEPS, start_step=s)) for s in (0, STEPS))
    other_seed = image_numbers(training(x, STEPS, seed=6))
    in_order = list(range(N))
    orders = [list(itertools.chain(*o)) for o in (first, second, other_seed)] + [in_order]
    assert len(set(map(tuple, orders))) == 4


def test_starting_later_gives_the_same_batches_bit_for_bit(x):
    options = {"dequantize": True, "flip": True}
    whole = training(x, 9, **options)
    # Within the second epoch.
    resumed = training(x, 4, start_step=5, **options)
    for expected, actual in zip(whole[5:], resumed, strict=True):
        assert expected.tobytes() == actual.tobytes()


def test_starting_in_a_far_epoch_costs_nothing(x):
    # Ten billion batches cannot be skipped one by one before the test's time is up.
    (batch,) = training(x, 1, start_step=10**10)
    assert batch.shape == (3 if 10**10 % STEPS == 2 else 4, 3, 2, 1)


def test_pixels_are_scaled_to_the_unit_interval(x):
    batches = training(np.full_like(x, 255), STEPS)
    assert all(b.dtype == np.float32 and (b == 1).all() for b in batches)
    assert (training(np.full_like(x, 51), 1)[0] == np.float32(51) / np.float32(255)).all()


def test_dequantized_pixels_fill_the_bin_of_their_grey_level():
    levels = np.full((400, 4, 5, 1), 7, np.uint8)
    (first, second) = training(levels, 2, global_batch_size=400, dequantize=True)
    u = 256 * first - 7
    assert u.min() >= 0
    assert u.max() <= 1
    error = STANDARD_ERRORS / np.sqrt(12 * u.size)
    assert abs(u.mean() - 0.5) < error
    assert len(np.unique(u)) > 0.9 * u.size
    assert not np.array_equal(first, second)


def test_flips_mirror_half_of_the_images_left_to_right(x):
    wide = np.repeat(x, 40, axis=0)
    plain = training(wide, 1, global_batch_size=440)[0]
    flipped = training(wide, 1, global_batch_size=440, flip=True)[0]
    is_mirrored = (flipped == plain[:, :, ::-1]).all(axis=(1, 2, 3))
    is_kept = (flipped == plain).all(axis=(1, 2, 3))
    assert (is_mirrored ^ is_kept).all()
    assert abs(is_mirrored.mean() - 0.5) < STANDARD_ERRORS * 0.5 / np.sqrt(440)


@pytest.mark.parametrize(("batch_size", "static"), [(BATCH, None), (N, N), (2 * N, N), (1, 1)])
def test_batch_size_is_static_where_all_batches_are_equal(x, batch_size, static):
    dataset = pipeline.training_batches(x, global_batch_size=batch_size, seed=0)
    assert dataset.element_spec == tf.TensorSpec([static, 3, 2, 1], tf.float32)
    assert len(take(dataset, 1)[0]) == min(batch_size, N)


def test_one_image_can_be_trained_on(x):
    assert [len(b) for b in training(x[:1], 3)] == [1, 1, 1]


def test_changing_the_callers_array_later_changes_no_batch(x):
    dataset = pipeline.training_batches(x, global_batch_size=N, seed=0)
    before = take(dataset, 1)[0]
    x[:] = 0
    np.testing.assert_array_equal(take(dataset, 1)[0], before)


def test_evaluation_goes_once_through_the_images_in_order(x):
    dataset = pipeline.evaluation_batches(x, global_batch_size=BATCH)
    batches = [b.numpy() for b in dataset]
    assert [len(b) for b in batches] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate(batches), x.astype(np.float32) / 255)
    assert dataset.cardinality() == STEPS


def test_evaluation_noise_does_not_depend_on_the_batch_size(x):
    def dequantized(**options):
        dataset = pipeline.evaluation_batches(x, dequantize=True, **options)
        return np.concatenate([b.numpy() for b in dataset])

    first = dequantized(global_batch_size=4)
    np.testing.assert_array_equal(first, dequantized(global_batch_size=5))
    np.testing.assert_array_equal(np.floor(256 * first), x)
    assert not np.array_equal(first, dequantized(global_batch_size=4, seed=1))


@pytest.mark.parametrize(("n", "batch", "steps"), [(11, 4, 3), (12, 4, 3), (13, 4, 4), (1, 4, 1)])
def test_steps_per_epoch_count_the_partial_batch(n, batch, steps):
    assert pipeline.steps_per_epoch(n, batch) == steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"global_batch_size": 0}, "global_batch_size must be a whole number of at least 1, got 0"),
        ({"global_batch_size": 2.5}, "global_batch_size must be a whole number"),
        ({"start_step": -1}, "start_step must be a whole number of at least 0, got -1"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"flip": 1}, "flip must be True or False, got 1"),
        ({"dequantize": "no"}, "dequantize must be True or False, got 'no'"),
    ],
)
def test_impossible_options_are_refused(x, options, message):
    with pytest.raises(ValueError, match=message):
        training(x, 1, **options)


def test_float_images_are_refused(x):
    with pytest.raises(ValueError, match=r"must be uint8 grey levels 0\.\.255, got float32"):
        pipeline.evaluation_batches(x.astype(np.float32), global_batch_size=2)


def test_validation_is_carved_from_training_without_overlap(x):
    splits = pipeline.split({"train": x, "test": x[:2]}, validation_fraction=0.3, seed=1)
    assert len(splits.validation) == 3
    assert len(splits.train) == 8
    numbers = [part[:, 0, 0, 0].tolist() for part in (splits.train, splits.validation)]
    assert sorted(numbers[0] + numbers[1]) == x[:, 0, 0, 0].tolist()
    assert numbers[0] == sorted(numbers[0])
    np.testing.assert_array_equal(splits.test, x[:2])


def test_validation_follows_the_seed(x):
    def validation(seed):
        return pipeline.split({"train": x, "test": x}, 0.5, seed).validation.tobytes()

    assert validation(1) == validation(1)
    assert len({validation(seed) for seed in range(5)}) > 1


def test_a_validation_split_of_the_source_is_used_as_it_is(x):
    arrays = {"train": x[:6], "validation": x[6:8], "test": x[8:]}
    splits = pipeline.split(arrays, validation_fraction=0.5, seed=0)
    np.testing.assert_array_equal(splits.train, x[:6])
    np.testing.assert_array_equal(splits.validation, x[6:8])


def test_no_validation_is_none(x):
    splits = pipeline.split({"train": x, "test": x[:1]}, validation_fraction=0.0, seed=0)
    assert splits.validation is None
    assert len(splits.train) == N


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_fractions_that_empty_a_split_are_refused(x, fraction):
    with pytest.raises(ValueError, match="leaves a split empty"):
        pipeline.split({"train": x, "test": x}, fraction, seed=0)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, "half", True])
def test_fractions_outside_the_unit_interval_are_refused(x, fraction):
    with pytest.raises(ValueError, match="validation_fraction must be a number between 0 and 1"):
        pipeline.split({"train": x, "test": x}, fraction, seed=0)


def test_an_empty_test_split_is_refused(x):
    with pytest.raises(ValueError, match="'test': there are no images"):
        pipeline.split({"train": x, "test": x[:0]}, 0.2, seed=0)
