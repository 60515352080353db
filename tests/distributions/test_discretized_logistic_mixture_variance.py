import numpy as np
import pytest
import scipy.special

from tf_sigma_vae.distributions import DiscretizedLogisticMixture

GREY = np.arange(256) / 255.0
# Relative; what the docstring of the variance states, and what single precision adds to it: the
# distance of a location from the edge of its grey level, 2e-5 of the level, in scales.
EXACT = 1e-5
FLOAT32 = 1e-4
# In the unit of the data: what a coupled channel misses where the tails hold mass.
COUPLED = 0.02

PIXEL = (
    np.array([0.3, -0.4, 0.0]),
    np.array([[0.1, 0.6, 0.97], [0.5, 0.2, 0.6]]),
    np.array([[-3.0, -4.0, -2.5], [-3.5, -6.0, -2.0]]),
    np.array([[0.9, -0.7, 0.4]]),
)


def _brute_force_variance(loc, log_scale):
    """Sum over the 256 levels, float64, around the median: each mass from the side it is small."""
    median = np.clip(np.round(255.0 * loc), 0, 255)[..., None]
    offset = np.arange(255) + 0.5 - median
    distance = (np.arange(255) + 0.5 - 255.0 * loc[..., None]) / 255.0
    beyond = scipy.special.expit(-np.sign(offset) * distance / np.exp(log_scale)[..., None])
    second = np.sum(2.0 * np.abs(offset) * beyond, axis=-1)
    return (second - np.sum(np.sign(offset) * beyond, axis=-1) ** 2) / 255.0**2


def test_brute_force_variance_is_that_of_the_masses():
    rng = np.random.default_rng(1)
    loc, log_scale = rng.uniform(-0.2, 1.2, 50), rng.uniform(-6.0, 0.0, 50)
    distribution = DiscretizedLogisticMixture(
        np.zeros([1]), loc[:, None, None], log_scale[:, None, None]
    )
    masses = np.exp(distribution.log_prob(GREY[:, None, None]).numpy())
    mean = GREY @ masses
    expected = np.sum(masses * (GREY[:, None] - mean) ** 2, axis=0)
    np.testing.assert_allclose(_brute_force_variance(loc, log_scale), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "tolerance", "narrowest"),
    [(np.float64, EXACT, -12.0), (np.float32, FLOAT32, -6.0)],
)
def test_variance_of_an_uncoupled_channel_is_the_sum_over_256_levels(dtype, tolerance, narrowest):
    rng = np.random.default_rng(0)
    size = 2000
    # Inside the range, far outside of it, and of scales far larger than the range.
    loc = np.concatenate([rng.uniform(-0.2, 1.2, size), 20.0 * rng.normal(size=size)])
    log_scale = rng.uniform(narrowest, 0.0, 2 * size)
    log_scale[::5] = rng.uniform(0.0, 20.0, len(log_scale[::5]))
    # Around two grey levels, where the variance is computed in another way; the hardest for the end
    # corrections is a location at the end.
    log_scale[1::4] = rng.uniform(-5.0, -4.6, size // 2)
    loc[:4], log_scale[:4] = [0.0, 1.0, 0.5 / 255, 254.5 / 255], np.log(2.0 / 255) + 1e-6
    loc, log_scale = loc.astype(dtype), log_scale.astype(dtype)
    expected = _brute_force_variance(loc.astype(np.float64), log_scale.astype(np.float64))
    variance = DiscretizedLogisticMixture(
        np.zeros([2 * size, 1], dtype), loc[:, None, None], log_scale[:, None, None]
    ).variance()
    assert variance.dtype == dtype
    smallest = 1e6 * np.finfo(dtype).tiny
    np.testing.assert_allclose(
        variance.numpy()[:, 0], expected, rtol=tolerance, atol=smallest / tolerance
    )
    assert np.count_nonzero(expected > 1e3 * smallest / tolerance) > size


def test_standard_deviation_at_extremes_is_finite_and_within_the_range():
    locs = [-100.0, 0.0, 37.0 / 255, 37.5 / 255, 1.0, 100.0]
    loc, log_scale = np.meshgrid(locs, [-30.0, -7.7, 0.0, 20.0])
    both = [np.stack([v, v], axis=-1)[..., np.newaxis] for v in (loc, log_scale)]
    given = np.zeros(1), *both, np.ones((1, 1))
    distribution = DiscretizedLogisticMixture(*(p.astype(np.float32) for p in given))
    stddev = distribution.stddev().numpy()
    assert stddev.shape == (4, 6, 2)
    assert np.all(stddev >= 0.0) and np.all(stddev <= 0.5 + 1e-6)
    # At level 37 with a scale of nothing.
    np.testing.assert_array_equal(stddev[0, 2], 0.0)


def _pair_masses(logits, loc, log_scale, coefficients):
    """Masses of all 256^2 pairs of two coupled channels, float64, by NumPy alone."""
    edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 255, [np.inf]])

    def masses(loc, log_scale):
        return np.diff(
            scipy.special.expit((edges - np.asarray(loc)[..., None]) / np.exp(log_scale))
        )

    total = np.zeros([256, 256])
    for i, weight in enumerate(scipy.special.softmax(logits)):
        second = masses(loc[1, i] + coefficients[0, i] * (GREY - 0.5), log_scale[1, i])
        total += weight * masses(loc[0, i], log_scale[0, i])[:, None] * second
    return total


def _variances(masses):
    """Of both channels."""
    margins = masses.sum(axis=1), masses.sum(axis=0)
    return [m @ GREY**2 - (m @ GREY) ** 2 for m in margins]


def test_variance_of_a_mixture_adds_the_spread_of_its_components():
    logits, loc, log_scale, coefficients = PIXEL
    expected = _variances(_pair_masses(logits, loc, log_scale, 0.0 * coefficients))
    variance = DiscretizedLogisticMixture(logits, loc, log_scale).variance()
    np.testing.assert_allclose(variance, expected, rtol=EXACT)
    inside = [
        scipy.special.softmax(logits) @ _brute_force_variance(loc[c], log_scale[c])
        for c in range(2)
    ]
    assert np.all(np.array(inside) < 0.5 * np.array(expected))


def test_variance_of_a_coupled_channel_is_exact_without_mass_in_its_tails():
    logits, _, _, coefficients = PIXEL
    loc = np.array([[0.4, 0.5, 0.6], [0.5, 0.4, 0.6]])
    log_scale = np.full((2, 3), -4.0)
    given = logits, loc, log_scale, coefficients
    expected = _variances(_pair_masses(*given))
    # Tails of 1e-6 are left.
    np.testing.assert_allclose(
        DiscretizedLogisticMixture(*given).variance(), expected, rtol=2 * EXACT
    )
    uncoupled = DiscretizedLogisticMixture(logits, loc, log_scale).variance()
    assert abs(float(uncoupled[1]) / expected[1] - 1.0) > 0.1


def test_variances_of_four_coupled_channels_are_those_of_a_linear_map_of_their_noise():
    rng = np.random.default_rng(3)
    loc, log_scale = np.full((4, 1), 0.5), rng.uniform(-4.6, -4.0, size=(4, 1))
    coefficients = rng.uniform(-1.0, 1.0, size=(6, 1))
    noise = _brute_force_variance(loc[:, 0], log_scale[:, 0])
    lower = np.zeros([4, 4])
    lower[np.tril_indices(4, -1)] = coefficients[:, 0]
    # x - 1/2 = lower (x - 1/2) + noise.
    solved = np.linalg.inv(np.eye(4) - lower)
    expected = np.diag(solved @ np.diag(noise) @ solved.T)
    distribution = DiscretizedLogisticMixture(np.zeros(1), loc, log_scale, coefficients)
    np.testing.assert_allclose(distribution.variance(), expected, rtol=EXACT)
    # The covariances matter: the channels before are not independent of one another.
    alone = noise[3] + lower[3] ** 2 @ expected
    assert abs(alone / expected[3] - 1.0) > 0.05


def test_standard_deviation_of_a_coupled_channel_with_heavy_tails_is_near_the_exact_one():
    expected = np.sqrt(_variances(_pair_masses(*PIXEL)))
    stddev = DiscretizedLogisticMixture(*PIXEL).stddev().numpy()
    assert stddev[0] == pytest.approx(expected[0], rel=EXACT)
    assert stddev[1] == pytest.approx(expected[1], abs=COUPLED)
