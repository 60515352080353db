import numpy as np
import pytest

from tf_sigma_vae.evaluation.fid import distance
from tf_sigma_vae.evaluation.fid.statistics import Statistics

ROUNDING = 1e-12


def extrapolated(first, second, **options):
    statistics = map(Statistics.from_features, (first, second))
    return distance.extrapolated_frechet(*statistics, first, second, **options)


@pytest.mark.parametrize("num_blocks", [2, 5, 10])
def test_a_bias_of_one_over_n_is_removed_exactly(num_blocks):
    truth, slope, num_examples = 7.0, 300.0, 100
    left = num_examples - num_examples // num_blocks
    found = distance.extrapolate(
        truth + slope / num_examples, [truth + slope / left] * num_blocks, "feature^2"
    )
    assert found.value == pytest.approx(truth, rel=ROUNDING)
    assert found.standard_error == pytest.approx(0.0, abs=ROUNDING)
    assert found.unit == "feature^2"


def test_standard_error_of_a_mean_is_that_of_its_block_means():
    means = np.array([1.0, 2.0, 4.0, 4.5])
    left_out = (means.sum() - means) / 3
    found = distance.extrapolate(means.mean(), left_out, "u")
    assert found.value == pytest.approx(means.mean(), rel=ROUNDING)
    assert found.standard_error == pytest.approx(means.std(ddof=1) / 2.0, rel=ROUNDING)


def test_bias_of_a_squared_mean_is_removed_from_data_exactly():
    # |m|^2 is biased by s^2 / N; the mean product over pairs of different blocks is not, and that
    # is what becomes of it. The second set is one point, so that only a variance is left beside.
    first, num_blocks = np.random.default_rng(0).normal(size=(20, 1)), 5
    rows = distance.blocks(20, num_blocks)
    means = np.array([first[block].mean() for block in rows])
    products = np.outer(means, means)[~np.eye(num_blocks, dtype=bool)]
    left_out = [np.delete(first, block).var(ddof=1) for block in rows]
    variance = num_blocks * first.var(ddof=1) - (num_blocks - 1) * np.mean(left_out)
    found = extrapolated(first, np.zeros((20, 1)), num_blocks=num_blocks)
    assert found.value == pytest.approx(products.mean() + variance, rel=ROUNDING)


def test_extrapolation_finds_the_distance_that_few_images_overstate():
    rng = np.random.default_rng(0)
    size, scale, shift = 6, 1.5, 0.5
    truth = size * (shift**2 + (scale - 1.0) ** 2)
    plain, corrected = [], []
    for _ in range(150):
        first = rng.normal(size=(80, size))
        second = scale * rng.normal(size=(60, size)) + shift
        plain.append(distance.frechet_distance(*map(Statistics.from_features, (first, second))))
        corrected.append(extrapolated(first, second).value)
    error = np.std(corrected, ddof=1) / np.sqrt(len(corrected))
    # Plain distances are 3.76 on average, ten standard errors more than what is allowed here.
    assert np.mean(plain) > truth + 5 * error
    assert abs(np.mean(corrected) - truth) < 6 * error


def test_each_block_is_left_out_of_both_sets():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(23, 3)), rng.normal(size=(31, 3)) + 0.2

    def without(features, rows):
        return Statistics.from_features(np.delete(features, rows, axis=0))

    left_out = [
        distance.frechet_distance(without(first, rows), without(second, columns))
        for rows, columns in zip(distance.blocks(23, 4), distance.blocks(31, 4), strict=True)
    ]
    whole = distance.frechet_distance(*map(Statistics.from_features, (first, second)))
    expected = distance.extrapolate(whole, left_out, "feature^2")
    found = extrapolated(first, second, num_blocks=4)
    np.testing.assert_allclose(found[:2], expected[:2], rtol=1e-9)
