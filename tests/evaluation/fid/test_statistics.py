import numpy as np
import pytest

from tf_sigma_vae.evaluation.fid.statistics import Statistics

# Sums of a few dozen float64 numbers of order one, in another order.
ROUNDING = 1e-13
FEATURES = np.random.default_rng(0).normal(size=(17, 4)) @ np.diag([1.0, 3.0, 0.1, 2.0]) + 5.0


def streamed(features, sizes):
    total, start = None, 0
    for size in sizes:
        part = Statistics.from_features(features[start : start + size])
        total = part if total is None else total.merged(part)
        start += size
    assert start == len(features)
    return total


@pytest.mark.parametrize("sizes", [[17], [1] * 17, [5, 12], [2, 1, 14], [16, 1]])
def test_any_split_into_batches_gives_the_mean_and_covariance_of_numpy(sizes):
    found = streamed(FEATURES, sizes)
    assert found.num_examples == 17
    np.testing.assert_allclose(found.mean, FEATURES.mean(axis=0), rtol=ROUNDING)
    np.testing.assert_allclose(found.covariance, np.cov(FEATURES.T), atol=100 * ROUNDING)


def test_merging_is_the_same_either_way_round():
    first, second = (Statistics.from_features(part) for part in (FEATURES[:6], FEATURES[6:]))
    for one, other in zip(first.merged(second), second.merged(first), strict=True):
        np.testing.assert_allclose(one, other, rtol=ROUNDING)


def test_a_part_that_was_merged_can_be_taken_away():
    rest, part = (Statistics.from_features(rows) for rows in (FEATURES[:11], FEATURES[11:]))
    found = rest.merged(part).without(part)
    assert found.num_examples == 11
    np.testing.assert_allclose(found.mean, rest.mean, rtol=ROUNDING)
    np.testing.assert_allclose(found.scatter, rest.scatter, atol=1000 * ROUNDING)


def test_features_far_from_zero_keep_their_covariance():
    # The sum of squares less the square of the sum would lose 14 of 16 digits here.
    far = FEATURES + 1e7
    found = streamed(far, [3, 5, 9]).covariance
    np.testing.assert_allclose(found, np.cov(FEATURES.T), atol=1e-7)


def test_float32_features_are_added_in_float64():
    features = np.full((9, 2), 2.0**24, np.float32)
    features[::3, 0] += np.float32(2.0)
    found = streamed(features, [4, 5])
    assert found.scatter.dtype == np.float64
    # float32 knows no number between 2^24 and 2^24 + 2.
    np.testing.assert_allclose(found.mean, [2.0**24 + 2.0 / 3.0, 2.0**24], rtol=1e-15)


@pytest.mark.parametrize("shape", [(0, 4), (4,), (2, 3, 4)])
def test_what_is_no_matrix_of_features_is_refused(shape):
    with pytest.raises(ValueError, match=r"features must be \[N, D\]"):
        Statistics.from_features(np.zeros(shape))


def test_one_example_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2 features, got 1"):
        _ = Statistics.from_features(np.zeros((1, 3))).covariance


def test_features_of_different_sizes_do_not_merge():
    first, second = (Statistics.from_features(np.zeros((2, size))) for size in (3, 4))
    for combine in (first.merged, first.without):
        with pytest.raises(ValueError, match="features of 3 and of 4 numbers"):
            combine(second)


def test_something_must_be_left():
    whole = Statistics.from_features(FEATURES)
    with pytest.raises(ValueError, match="taking 17 of 17 features leaves none"):
        whole.without(whole)
