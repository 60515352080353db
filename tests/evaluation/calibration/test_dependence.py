"""Fields whose correlations are known, with their effective numbers and determinants."""

import itertools

import numpy as np
import pytest

from tf_sigma_vae.evaluation.calibration import dependence

# Of the estimates' own standard errors: a normal mean is off by more twice in 10^9 runs, and by
# Student's t one of 60 images once in 10^7.
STANDARD_ERRORS = 6.0
# What is left of the order 1/N: the mean squares that residuals are divided by are estimates.
SMALL = 0.02


def _standardized(field):
    field = np.asarray(field, np.float32)
    return dependence.standardize(field, np.zeros(field.shape[1:]))


def _noise(num_images, shape, seed=0):
    return np.random.default_rng(seed).normal(size=(num_images, *shape))


def _factor(rho, size):
    """The lower triangle `L` with `(L L')_ij = rho^|i - j|`: each value from the one before it."""
    powers = np.subtract.outer(np.arange(size), np.arange(size))
    factor = np.where(powers >= 0, rho ** np.maximum(powers, 0.0), 0.0)
    factor[:, 1:] *= np.sqrt(1.0 - rho**2)
    return factor


def _autoregressive(num_images, shape, below, right, seed=0):
    """Fields with correlations `below^|dy| right^|dx|`, independent channels."""
    factors = [_factor(rho, n) for rho, n in ((below, shape[0]), (right, shape[1]))]
    noise = _noise(num_images, shape, seed)
    return np.einsum("yi,xj,nijc->nyxc", *factors, noise)


def _cost_of_autoregressive(shape, below, right):
    """`-log det(R) / 2` of the same."""
    height, width, channels = shape
    logs = width * (height - 1) * np.log1p(-(below**2)) + height * (width - 1) * np.log1p(
        -(right**2)
    )
    return -0.5 * channels * logs


def _squares(rho, size):
    return np.sum(rho ** (2.0 * np.abs(np.subtract.outer(np.arange(size), np.arange(size)))))


def _is_near(estimate, truth, relative=SMALL):
    return (
        abs(estimate.value - truth) < STANDARD_ERRORS * estimate.standard_error + relative * truth
    )


def test_independent_residuals_count_one_each_also_with_fewer_images_than_residuals():
    shape = (9, 11, 2)
    found = dependence.effective_pixels(_standardized(_noise(60, shape)))
    # The plain participation ratio of 60 images would be near 1 / (1 / 60 + 1 / 198) = 46.
    # The sum of squared correlations has a standard deviation of 2 x 198 / 60, a thirtieth of it.
    assert found.value == pytest.approx(198, rel=6.0 / 30.0)
    assert _is_near(found, 198, relative=0.0)
    # That, 1.4 times too large, is 9.
    assert found.value <= 198 and found.standard_error < 15


def test_blocks_of_images_do_not_change_the_effective_number():
    residuals = _standardized(_autoregressive(50, (5, 6, 2), 0.5, 0.7))
    whole, parts = (dependence.effective_pixels(residuals, size) for size in (512, 7))
    np.testing.assert_allclose(parts[:2], whole[:2], rtol=1e-5)


def test_equal_correlations_have_their_effective_number():
    shape, rho = (4, 5, 3), 0.3
    common = _noise(600, (1, 1, 1), seed=1)
    field = np.sqrt(rho) * common + np.sqrt(1.0 - rho) * _noise(600, shape)
    found = dependence.effective_pixels(_standardized(field))
    assert _is_near(found, 60**2 / (60 + 60 * 59 * rho**2))


@pytest.mark.parametrize("factor", [1.0, 5.0])
def test_an_autoregressive_field_has_its_effective_number(factor):
    # Images of other sizes of residuals: a factor of the whole image is no correlation.
    shape, below, right = (8, 10, 2), 0.5, 0.8
    factors = np.where(np.arange(500) % 2, 1.0, factor).reshape(-1, 1, 1, 1)
    field = factors * _autoregressive(500, shape, below, right)
    found = dependence.effective_pixels(_standardized(field))
    assert _is_near(found, 160**2 / (2 * _squares(below, 8) * _squares(right, 10)))


def test_standard_error_of_the_effective_number_is_its_spread_and_half_as_much():
    fields = [_autoregressive(40, (5, 6, 1), 0.6, 0.6, seed) for seed in range(300)]
    found = [dependence.effective_pixels(_standardized(field)) for field in fields]
    spread = np.std([estimate.value for estimate in found], ddof=1)
    # The spread of 300 numbers is known to 1 / sqrt(600) or 4 %. The jackknife leans upwards: of
    # 40 images by a factor of 1.44, known from 600 other fields.
    error = np.mean([estimate.standard_error for estimate in found])
    assert error == pytest.approx(1.44 * spread, rel=0.3)


@pytest.mark.parametrize(("below", "right"), [(0.0, 0.0), (0.5, 0.8)])
def test_cost_is_half_the_log_determinant_of_an_autoregressive_field(below, right):
    shape = (9, 7, 2)
    found = dependence.correlation_cost(_standardized(_autoregressive(400, shape, below, right)))
    truth = _cost_of_autoregressive(shape, below, right)
    # Fitting 2 x 50 weights costs half a nat each over all images of the other half.
    assert found.value == pytest.approx(truth, abs=STANDARD_ERRORS * found.standard_error + 1.0)
    assert found.standard_error < 0.05 * max(truth, 10.0)


def test_cost_counts_correlation_between_channels():
    shape, rho = (6, 5, 3), 0.9
    common = _noise(400, (6, 5, 1), seed=1)
    field = np.sqrt(rho) * common + np.sqrt(1.0 - rho) * _noise(400, shape)
    found = dependence.correlation_cost(_standardized(field))
    truth = -0.5 * 30 * (2.0 * np.log(1.0 - rho) + np.log(1.0 + 2.0 * rho))
    assert found.value == pytest.approx(truth, abs=STANDARD_ERRORS * found.standard_error + 1.0)


def test_no_prediction_gains_more_than_the_rounding_leaves():
    field = np.repeat(_noise(50, (4, 5, 1)), 2, axis=-1).astype(np.float32)
    residuals = dependence.standardize(field, np.full((4, 5, 2), 0.01))
    found = dependence.correlation_cost(residuals)
    # The second channel repeats the first: its 20 elements are known but for a hundredth.
    assert found.value == pytest.approx(10.0 * np.log(100.0), abs=4.0)


def test_autocorrelation_is_that_of_the_field_at_every_offset():
    shape, below, right = (6, 12, 2), 0.5, 0.8
    field = _autoregressive(3000, shape, below, right)
    found, neighbors = dependence.autocorrelation(_standardized(field))
    assert found.shape == (11, 11)
    offsets = np.abs(np.arange(-5, 6))
    expected = below ** offsets[:, None] * right ** offsets[None, :]
    # 3,000 images of at least 14 pairs, of which neighbors tell much the same: a standard deviation
    # of 0.012 at the corners.
    np.testing.assert_allclose(found, expected, atol=0.08)
    assert found[5, 5] == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(found, found[::-1, ::-1], atol=1e-6)
    assert _is_near(neighbors, 0.5 * (below + right), relative=0.0)
    np.testing.assert_allclose(neighbors.value, 0.5 * (found[5, 6] + found[6, 5]), rtol=1e-5)


def test_a_constant_residual_of_an_element_is_no_dependence():
    biased = 1.0 + 5.0 * np.arange(40).reshape(4, 5, 2)
    field = _noise(500, (4, 5, 2)) + biased
    residuals = _standardized(field)
    assert _is_near(dependence.effective_pixels(residuals), 40)
    found, neighbors = dependence.autocorrelation(residuals)
    assert np.abs(neighbors.value) < STANDARD_ERRORS * neighbors.standard_error
    assert found[3, 3] == pytest.approx(1.0, abs=1e-5)
    cost = dependence.correlation_cost(residuals)
    assert cost.value == pytest.approx(0.0, abs=STANDARD_ERRORS * cost.standard_error + 1.0)
    # Elements that are biased and nothing else tell nothing at all.
    field[:, :, :, 1] = biased[..., 1]
    residuals = _standardized(field)
    assert residuals.is_active.sum() == 20
    assert _is_near(dependence.effective_pixels(residuals), 20)


@pytest.mark.parametrize("num_images", [4, 5])
def test_few_images_about_their_own_mean_have_the_correlations_without_bias(num_images):
    # Residuals of three equally likely values: the expectation is the mean over all draws.
    support = np.array([[1.0, 0.5, -0.3, 2.0], [-0.5, 1.5, 0.2, 1.0], [0.4, -1.0, 0.9, -0.7]])
    covariance = np.cov(support.T, bias=True)
    truth = np.sum(covariance**2) - np.sum(np.diag(covariance) ** 2)
    found = []
    for rows in itertools.product(range(3), repeat=num_images):
        values = support[list(rows)]
        found.append(dependence._squared_correlations(values - values.mean(axis=0), 512)[0])
    assert np.mean(found) == pytest.approx(truth, rel=1e-9)


def test_bias_is_the_square_of_the_means_less_what_chance_makes_of_them():
    spread = [dependence.bias_share(0.1 * _noise(20, (3, 4, 1), seed)).value for seed in range(200)]
    # Without the chance part it would be 1 / 20.
    assert np.mean(spread) == pytest.approx(0.0, abs=STANDARD_ERRORS * np.std(spread) / 200**0.5)
    bias = np.where(np.arange(12).reshape(3, 4, 1) % 2, 0.1, 0.0)
    fields = [0.1 * _noise(50, (3, 4, 1), seed) + bias for seed in range(400)]
    found = [dependence.bias_share(field) for field in fields]
    values = [share.value for share in found]
    # Half of the elements have a mean square of 0.02 instead of 0.01.
    assert np.mean(values) == pytest.approx(1 / 3, abs=STANDARD_ERRORS * np.std(values) / 20)
    # The spread of 400 numbers is known to 4 %.
    assert np.mean([e.standard_error for e in found]) == pytest.approx(np.std(values), rel=0.25)
    assert dependence.bias_share(np.zeros((3, 2, 2, 1))) is None


def test_elements_below_the_rounding_drop_out():
    field = np.asarray(_autoregressive(300, (6, 8, 1), 0.6, 0.6), np.float32)
    rounding = np.zeros((6, 8, 1))
    # A margin that is constant, and one whose residuals are rounding errors.
    field[:, 0], rounding[:, -1] = 0.0, 1.0
    residuals = dependence.standardize(field, rounding)
    assert residuals.is_active.sum() == 5 * 7
    inner = _standardized(field[:, 1:, :-1])
    assert dependence.effective_pixels(residuals) == dependence.effective_pixels(inner)
    found, neighbors = dependence.autocorrelation(residuals)
    expected, expected_neighbors = dependence.autocorrelation(inner)
    np.testing.assert_allclose(found[1:-1, 1:-1], expected, rtol=1e-5, atol=1e-6)
    assert neighbors.value == pytest.approx(expected_neighbors.value, rel=1e-5)
    cost, inner_cost = (dependence.correlation_cost(r) for r in (residuals, inner))
    assert cost.value == pytest.approx(inner_cost.value, rel=1e-5)


def test_what_cannot_be_told_is_none():
    still = _standardized(np.zeros((5, 3, 4, 1)))
    assert dependence.effective_pixels(still) is None
    assert dependence.correlation_cost(still) is None
    found, neighbors = dependence.autocorrelation(still)
    assert neighbors is None and np.all(np.isnan(found))
    for few in (2, 3):
        residuals = _standardized(_noise(few, (3, 4, 1)))
        assert dependence.effective_pixels(residuals) is None
        assert dependence.correlation_cost(residuals) is None
    # Each half of the images has another constant.
    halves = _standardized(np.broadcast_to(np.arange(6).reshape(-1, 1, 1, 1) % 2, (6, 3, 4, 1)))
    assert dependence.correlation_cost(halves) is None
    single = _standardized(_noise(5, (1, 1, 1)))
    found, neighbors = dependence.autocorrelation(single)
    assert neighbors is None and found == pytest.approx(np.ones((1, 1)))
    assert dependence.correlation_cost(single).value == pytest.approx(0.0, abs=1e-6)
