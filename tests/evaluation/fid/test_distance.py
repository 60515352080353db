import numpy as np
import pytest
import scipy.linalg

from tf_sigma_vae.evaluation.fid import distance
from tf_sigma_vae.evaluation.fid.statistics import Statistics

# Eigenvalues of a product of covariances are good to 1e-16 of the largest, and so their roots to
# 1e-8 of it, where they vanish (full rank: far better).
EXACT, ROOT_OF_ROUNDING = 1e-12, 1e-7
# The mean of standard errors against a standard deviation of 1,100 sets of an excess kurtosis of up
# to 0.7, good to sqrt(2.7 / 4,400) or 2.5 %; six times that.
ERROR_TOLERANCE = 0.15


def gaussian(mean, covariance, num_examples=101):
    mean, covariance = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
    return Statistics(num_examples, mean, covariance * (num_examples - 1))


def random_features(num_examples, size=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num_examples, size)) @ rng.normal(size=(size, size))


def between(first, second):
    return distance.frechet_distance(*map(Statistics.from_features, (first, second)))


def test_distance_of_numbers_is_that_of_their_means_and_standard_deviations():
    found = distance.frechet_distance(gaussian([1.0], [[4.0]]), gaussian([4.0], [[0.25]]))
    assert found == pytest.approx(3.0**2 + (2.0 - 0.5) ** 2, rel=EXACT)


def test_diagonal_covariances_have_the_sum_over_dimensions():
    variances = np.array([[4.0, 9.0, 0.01], [1.0, 16.0, 0.0]])
    found = distance.frechet_distance(*(gaussian(np.zeros(3), np.diag(v)) for v in variances))
    expected = np.sum((np.sqrt(variances[0]) - np.sqrt(variances[1])) ** 2)
    assert found == pytest.approx(expected, rel=ROOT_OF_ROUNDING)


def test_two_by_two_covariances_that_do_not_commute_have_a_closed_form():
    first, second = np.array([[2.0, 0.6], [0.6, 1.0]]), np.array([[1.0, -0.8], [-0.8, 3.0]])
    # tr (P)^(1/2) = sqrt(tr P + 2 sqrt(det P)) for a 2 x 2 matrix of positive eigenvalues.
    product = first @ second
    root = np.sqrt(np.trace(product) + 2.0 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(first) + np.trace(second) - 2.0 * root + 5.0
    found = distance.frechet_distance(gaussian([0, 0], first), gaussian([2, -1], second))
    assert found == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("seed", range(2))
def test_eigenvalues_agree_with_the_matrix_square_root_of_scipy(seed):
    first, second = random_features(40, 12, seed), random_features(60, 12, seed + 10) + 0.3
    covariances = [np.cov(features.T) for features in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    expected = np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2)
    expected += np.trace(covariances[0] + covariances[1] - 2.0 * root).real
    assert between(first, second) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("num_examples", [3, 50])
def test_a_translation_has_its_squared_length(num_examples):
    features = random_features(num_examples, size=7)
    shift = np.arange(7.0)
    assert between(features, features + shift) == pytest.approx(shift @ shift, rel=1e-6)


@pytest.mark.parametrize("num_examples", [2, 4, 50])
def test_a_scaling_is_exact_also_with_fewer_examples_than_features(num_examples):
    features = random_features(num_examples, size=7)
    features -= features.mean(axis=0)
    expected = (3.0 - 1.0) ** 2 * np.trace(np.cov(features.T))
    assert between(features, 3.0 * features) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_covariances_on_orthogonal_spaces_have_the_sum_of_their_traces(seed):
    # The product of the covariances vanishes but for rounding, of either sign.
    first, second = np.zeros((2, 6, 7))
    first[:, :3], second[:, 3:] = random_features(6, 3, seed), random_features(6, 4, seed)
    normal = np.arange(1.0, 8.0)
    rotation = np.eye(7) - 2.0 * np.outer(normal, normal) / (normal @ normal)
    first, second = first @ rotation, second @ rotation
    expected = np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2)
    expected += np.trace(np.cov(first.T)) + np.trace(np.cov(second.T))
    assert between(first, second) == pytest.approx(expected, rel=ROOT_OF_ROUNDING)


# Fewer than the 30 features, as many, and more: rounding may make eigenvalues of either sign.
@pytest.mark.parametrize("num_examples", [2, 5, 30, 31, 200])
def test_identical_sets_have_no_distance_but_rounding_and_never_a_negative_one(num_examples):
    features = random_features(num_examples, size=30)
    found = between(features, features.copy())
    scale = np.trace(np.cov(features.T))
    assert 0.0 <= found < 30 * ROOT_OF_ROUNDING * scale


def test_sets_without_any_variance_have_the_distance_of_their_means():
    first, second = np.full((4, 3), 1.0), np.full((5, 3), 3.0)
    assert between(first, second) == 12.0
    estimate = distance.frechet(*map(Statistics.from_features, (first, second)), first, second)
    assert estimate[:2] == (12.0, 0.0)


def test_distance_is_symmetric():
    first, second = random_features(4, 6), random_features(50, 6, seed=1)
    assert between(first, second) == pytest.approx(between(second, first), rel=EXACT)
    statistics = [Statistics.from_features(features) for features in (first, second)]
    forth = distance.frechet(*statistics, first, second)
    back = distance.frechet(*statistics[::-1], second, first)
    np.testing.assert_allclose(forth[:2], back[:2], rtol=EXACT)


def test_features_of_different_sizes_have_no_distance():
    with pytest.raises(ValueError, match="features of 3 and of 4 numbers have no distance"):
        between(np.zeros((5, 3)), np.zeros((5, 4)))


def estimated(first, second):
    return distance.frechet(*map(Statistics.from_features, (first, second)), first, second)


def test_estimate_holds_the_distance_and_its_unit():
    first, second = random_features(30), random_features(40, seed=1)
    found = estimated(first, second)
    assert found.value == pytest.approx(between(first, second), rel=EXACT)
    assert found.unit == "feature^2"


def skewed_pair(rng, first_size=300, second_size=200, scale=1.5, shift=0.5):
    """Features as networks have them: not Gaussian, correlated, of different means."""
    first = rng.exponential(size=(first_size, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0], [0.2, 0, 2]])
    return first, scale * rng.exponential(size=(second_size, 3)) + shift


# In the second case each sign and each size in the formula counts for more than the tolerance.
@pytest.mark.parametrize("options", [(300, 200, 1.5, 0.5), (150, 1000, 3.0, -4.0)])
def test_standard_error_is_the_spread_over_sets(options):
    rng = np.random.default_rng(0)
    found = [estimated(*skewed_pair(rng, *options)) for _ in range(1100)]
    spread = np.std([estimate.value for estimate in found], ddof=1)
    error = np.mean([estimate.standard_error for estimate in found])
    assert error == pytest.approx(spread, rel=ERROR_TOLERANCE)


def test_standard_error_agrees_with_the_jackknife_which_shares_nothing_with_it():
    first, second = skewed_pair(np.random.default_rng(1), 3000, 2000)
    statistics = [Statistics.from_features(features) for features in (first, second)]
    jackknife = distance.extrapolated_frechet(*statistics, first, second, num_blocks=1000)
    # 1,000 blocks of skewed features: 3 %, six times that.
    found = estimated(first, second).standard_error
    assert found == pytest.approx(jackknife.standard_error, rel=0.2)


@pytest.mark.parametrize("num_examples", [3, 8, 40])
def test_standard_error_is_finite_with_few_examples(num_examples):
    found = estimated(random_features(num_examples, 20), random_features(7, 20, seed=1))
    assert np.isfinite(found.value) and found.standard_error > 0
