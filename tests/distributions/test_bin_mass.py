import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae.distributions import bin_log_mass
from tf_sigma_vae.distributions.bin_mass import (
    elementwise_bin_log_mass,
    grey_level,
    in_float64,
)

tfd = tfp.distributions

ALL_LEVELS = np.arange(256) / 255.0
# float64 throughout; TFP's asymptotic tail of the normal CDF has relative error 4e-9.
FLOAT64 = 1e-7
SUM_TOLERANCE = 1e-9


def _normal(loc, scale):
    return tfd.Normal(tf.constant(loc, tf.float64), tf.constant(scale, tf.float64))


def _scipy_log_mass(level, loc, scale):
    """Bin mass of a normal by SciPy, computed in the lower tail by symmetry."""
    lower = -np.inf if level == 0 else (level / 256 - loc) / scale
    upper = np.inf if level == 255 else ((level + 1) / 256 - loc) / scale
    if lower > 0:
        lower, upper = -upper, -lower
    large, small = scipy.special.log_ndtr(upper), scipy.special.log_ndtr(lower)
    return large + np.log(-np.expm1(small - large))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_grey_level_inverts_the_scaling_of_every_8_bit_value(dtype):
    scaled = np.arange(256, dtype=np.uint8).astype(dtype) / dtype(255)
    np.testing.assert_array_equal(grey_level(tf.constant(scaled)).numpy(), np.arange(256))


def test_scaled_value_lies_in_the_bin_of_its_level():
    levels = np.arange(256)
    assert np.all(levels / 256 <= ALL_LEVELS) and np.all(ALL_LEVELS <= (levels + 1) / 256)


def test_masses_of_the_256_levels_sum_to_one():
    loc = np.array([-3.0, 0.0, 0.4999, 1.0, 4.0])[:, None, None]
    scale = np.array([1e-4, 1 / 510, 0.1, 1.0, 100.0])[:, None]
    log_mass = elementwise_bin_log_mass(_normal(loc, scale), tf.constant(ALL_LEVELS)).numpy()
    assert log_mass.shape == (5, 5, 256) and not np.any(np.isnan(log_mass))
    assert np.max(np.abs(scipy.special.logsumexp(log_mass, axis=-1))) < SUM_TOLERANCE


@pytest.mark.parametrize(
    ("loc", "scale"),
    [(0.3, 0.05), (0.5, 1.0), (0.0, 1e-3), (1.0, 1e-3), (-2.0, 1e-3), (3.0, 1e-3), (0.7, 50.0)],
)
def test_mass_of_a_normal_equals_scipy_in_the_middle_and_far_out(loc, scale):
    log_mass = elementwise_bin_log_mass(_normal(loc, scale), tf.constant(ALL_LEVELS)).numpy()
    expected = [_scipy_log_mass(level, loc, scale) for level in range(256)]
    np.testing.assert_allclose(log_mass, expected, rtol=FLOAT64, atol=FLOAT64)


@pytest.mark.parametrize("distribution", [tfd.Logistic, tfd.Laplace])
def test_mass_of_other_marginals_equals_the_integral_of_their_density(distribution):
    reference = {tfd.Logistic: scipy.stats.logistic, tfd.Laplace: scipy.stats.laplace}[distribution]
    marginal = distribution(tf.constant(0.4, tf.float64), tf.constant(0.03, tf.float64))
    levels = np.array([1, 80, 102, 103, 140, 254])
    log_mass = elementwise_bin_log_mass(marginal, tf.constant(levels / 255.0)).numpy()
    # Split at the kink of the Laplace density, at which plain quadrature stalls.
    edges = [(k / 256, np.clip(0.4, k / 256, (k + 1) / 256), (k + 1) / 256) for k in levels]
    density = reference(0.4, 0.03).pdf
    integrals = [
        sum(scipy.integrate.quad(density, low, high)[0] for low, high in ((a, b), (b, c)))
        for a, b, c in edges
    ]
    np.testing.assert_allclose(np.exp(log_mass), integrals, rtol=1e-6)


def test_gradient_is_finite_where_the_mass_underflows():
    loc = tf.Variable(np.full(256, 0.5))
    with tf.GradientTape() as tape:
        scale = tf.constant(1e-3, tf.float64)
        log_mass = elementwise_bin_log_mass(tfd.Normal(loc, scale), tf.constant(ALL_LEVELS))
    assert np.all(np.isfinite(log_mass.numpy()))
    assert np.all(np.isfinite(tape.gradient(log_mass, loc).numpy()))


@pytest.mark.parametrize("scale", [1 / 510, 0.02, 0.3])
def test_mass_is_never_below_the_average_density_over_the_bin(scale):
    # Jensen: log of the mean of exp(log p) over the bin >= mean of log p over it.
    nodes, weights = np.polynomial.legendre.leggauss(32)
    points = (np.arange(256)[:, None] + 0.5 * (nodes + 1)) / 256
    average = scipy.stats.norm.logpdf(points, 0.45, scale) @ (weights / 2) - np.log(256)
    log_mass = elementwise_bin_log_mass(_normal(0.45, scale), tf.constant(ALL_LEVELS)).numpy()
    assert np.all(log_mass >= average - FLOAT64)
    if scale >= 0.3:
        # A density that is smooth over a bin has no gap: 1/24 (width / scale)^2 times a few.
        np.testing.assert_allclose(log_mass[1:-1], average[1:-1], atol=1e-4)
    else:
        assert np.max(log_mass - average) > 1e-3


def test_log_mass_is_summed_over_the_event_and_kept_by_example():
    rng = np.random.default_rng(0)
    loc, scale = rng.uniform(size=(3, 4, 2, 1)), rng.uniform(0.01, 0.5, size=(3, 4, 2, 1))
    levels = rng.integers(0, 256, size=(3, 4, 2, 1))
    normal = tfd.Normal(tf.constant(loc, tf.float32), tf.constant(scale, tf.float32))
    log_mass = bin_log_mass(tfd.Independent(normal, 3), (levels / 255).astype(np.float32))
    assert log_mass.dtype == tf.float64 and log_mass.shape == (3,)
    single = np.vectorize(_scipy_log_mass)(
        levels, loc.astype(np.float32).astype(float), scale.astype(np.float32).astype(float)
    )
    np.testing.assert_allclose(log_mass, single.sum(axis=(1, 2, 3)), rtol=FLOAT64)
    assert np.all(log_mass.numpy() <= 0.0)


@pytest.mark.parametrize(
    "parameters",
    [(0.25, 0.1), (np.full([2], 0.25, np.float32), np.float32(0.1)), (tf.fill([2], 0.25), 0.1)],
)
def test_parameters_may_be_python_numbers_arrays_or_tensors(parameters):
    distribution = tfd.Independent(tfd.Normal(*parameters), 0)
    assert in_float64(distribution.distribution).dtype == tf.float64
    expected = _scipy_log_mass(100, 0.25, 0.1)
    x = np.full(distribution.batch_shape, 100 / 255)
    np.testing.assert_allclose(bin_log_mass(distribution, x), expected, rtol=1e-6)


def test_what_has_no_bin_mass_is_rejected():
    with pytest.raises(TypeError, match="no bin mass for Normal; wrap it in"):
        bin_log_mass(tfd.Normal(0.0, 1.0), tf.zeros([1]))
