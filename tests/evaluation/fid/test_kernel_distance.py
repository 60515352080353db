import numpy as np
import pytest

from tf_sigma_vae.evaluation.fid import distance

ROUNDING = 1e-12
NUM_SETS = 800
# Of as many, of an excess kurtosis of up to 1.6, a spread is known to sqrt(3.6 / 3,200), or
# 3.3 %; six times that.
SPREAD_TOLERANCE = 0.2


def sets(first_size, second_size, shift=0.4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(first_size, 3)), rng.normal(size=(second_size, 3)) + shift


def direct_squared_mmd(first, second):
    """The unbiased estimator as its definition is written: one pair at a time."""

    def kernel(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1.0) ** 3

    def mean(pairs):
        values = [kernel(x, y) for x, y in pairs]
        return sum(values) / len(values)

    def different(features):
        return [(x, y) for i, x in enumerate(features) for j, y in enumerate(features) if i != j]

    between = [(x, y) for x in first for y in second]
    return mean(different(first)) + mean(different(second)) - 2.0 * mean(between)


def test_estimator_is_the_mean_over_pairs_of_different_images():
    first, second = sets(5, 7)
    expected = direct_squared_mmd(first, second)
    assert distance.squared_mmd(first, second) == pytest.approx(expected, rel=ROUNDING)
    found = distance.squared_mmd(first.astype(np.float32), second.astype(np.float32))
    assert found == pytest.approx(expected, rel=1e-5)


def test_distance_is_the_mean_over_blocks_with_its_standard_error():
    first, second = sets(13, 22)
    values = [
        direct_squared_mmd(first[rows], second[columns])
        for rows, columns in zip(distance.blocks(13, 4), distance.blocks(22, 4), strict=True)
    ]
    found = distance.kernel_distance(first, second, num_blocks=4)
    assert found.value == pytest.approx(np.mean(values), rel=ROUNDING)
    assert found.standard_error == pytest.approx(np.std(values, ddof=1) / 2.0, rel=ROUNDING)
    assert found.unit == "MMD^2"


def test_standard_error_is_the_spread_over_sets():
    found = [distance.kernel_distance(*sets(50, 40, 0.4, seed)) for seed in range(NUM_SETS)]
    spread = np.std([estimate.value for estimate in found], ddof=1)
    # The variance, not the error itself, is estimated without bias.
    error = np.sqrt(np.mean([estimate.standard_error**2 for estimate in found]))
    assert error == pytest.approx(spread, rel=SPREAD_TOLERANCE)


def test_sets_that_are_alike_have_no_distance_on_average():
    values = [distance.kernel_distance(*sets(50, 40, 0.0, seed)).value for seed in range(NUM_SETS)]
    assert abs(np.mean(values)) < 6 * np.std(values, ddof=1) / np.sqrt(len(values))
    assert min(values) < 0 < max(values)


def test_blocks_share_no_example_leave_none_out_and_are_always_the_same():
    found = distance.blocks(23, 4)
    assert sorted(len(rows) for rows in found) == [5, 6, 6, 6]
    assert sorted(np.concatenate(found)) == list(range(23))
    for rows, again in zip(found, distance.blocks(23, 4), strict=True):
        np.testing.assert_array_equal(rows, again)


def test_blocks_mix_sets_that_are_in_the_order_of_their_classes():
    classes = np.repeat([0.0, 1.0], 500)
    means = [classes[rows].mean() for rows in distance.blocks(1000, 10)]
    # Of 100 coins: a standard deviation of 0.05.
    assert np.abs(np.array(means) - 0.5).max() < 0.3


def test_too_few_blocks_or_examples_are_refused():
    with pytest.raises(ValueError, match="at least 2 blocks, got 1"):
        distance.blocks(10, 1)
    with pytest.raises(ValueError, match="10 blocks need at least 20 images, got 19"):
        distance.kernel_distance(*sets(19, 40))
