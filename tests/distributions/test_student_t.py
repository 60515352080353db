import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae.distributions import StudentT, bin_log_mass
from tf_sigma_vae.distributions.bin_mass import elementwise_bin_log_mass

tfd = tfp.distributions

# Relative; SciPy's own tails are good to some 1e-13.
FLOAT64 = 1e-11
SUM_TOLERANCE = 1e-9
LEVELS = np.arange(256)
DEGREES = [2.001, 2.1, 5.0, 30.0, 100.0, 300.0, 999.0]
# Where SciPy's survival function is still a normal float64.
SMALLEST_LOG = -690.0


def _standard(df):
    return StudentT(np.float64(df), np.float64(0.0), np.float64(1.0))


def _points(df):
    return np.concatenate([[0.0], np.geomspace(1e-4, 40.0 * np.sqrt(df), 300)])


@pytest.mark.parametrize("df", DEGREES)
def test_both_log_tails_equal_scipy_as_far_as_it_goes(df):
    points = _points(df)
    with np.errstate(all="ignore"):
        lower = scipy.stats.t.logcdf(-points, df)
    known = lower > SMALLEST_LOG
    assert known.sum() > 100
    distribution = _standard(df)
    for tail in (distribution.log_cdf(-points), distribution.log_survival_function(points)):
        np.testing.assert_allclose(tail.numpy()[known], lower[known], rtol=FLOAT64)
    upper = np.log1p(-np.exp(lower))
    for rest in (distribution.log_cdf(points), distribution.log_survival_function(-points)):
        np.testing.assert_allclose(rest.numpy()[known], upper[known], rtol=FLOAT64, atol=0.0)


@pytest.mark.parametrize("df", DEGREES)
def test_log_tail_falls_on_beyond_the_smallest_float64_at_the_rate_of_the_power_law(df):
    points = np.array([1e6, 1e9, 1e40]) * np.sqrt(df)
    tail = _standard(df).log_survival_function(points).numpy()
    # (t^2 / df)^(-df/2) up to terms of the order df / t^2.
    np.testing.assert_allclose(np.diff(tail), -df * np.diff(np.log(points)), rtol=1e-9)


def test_tfp_itself_loses_the_upper_tail():
    lost = tfd.StudentT(np.float64(100.0), np.float64(0.0), np.float64(1.0))
    assert np.isneginf(lost.log_survival_function(30.0))
    assert float(_standard(100.0).log_survival_function(30.0)) == pytest.approx(
        scipy.stats.t.logsf(30.0, 100.0), rel=FLOAT64
    )


def test_location_and_scale_shift_and_stretch_the_tails():
    df, loc, scale = 4.0, np.array([-0.3, 0.8]), np.array([[0.01], [2.0], [5.0]])
    value = 0.5
    distribution = StudentT(np.float64(df), loc, scale)
    assert distribution.batch_shape == (3, 2)
    law = scipy.stats.t(df, loc, scale)
    np.testing.assert_allclose(distribution.log_cdf(value), law.logcdf(value), rtol=FLOAT64)
    log_survival = distribution.log_survival_function(value)
    np.testing.assert_allclose(log_survival, law.logsf(value), rtol=FLOAT64)
    np.testing.assert_allclose(distribution.survival_function(value), law.sf(value), rtol=FLOAT64)
    np.testing.assert_allclose(distribution.cdf(value), law.cdf(value), rtol=FLOAT64)


def test_gradients_of_the_log_tails_are_finite_and_equal_to_finite_differences():
    points = np.array([-1e7, -30.0, -3.0, -1e-3, 0.4, 3.0, 30.0, 1e7]) + 0.1
    points, df = (v.ravel() for v in np.meshgrid(points, [2.1, 7.0, 100.0]))
    step = 1e-5
    value, degrees = tf.constant(points), tf.constant(df)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([value, degrees])
        log_cdf = StudentT(degrees, np.float64(0.1), np.float64(1.0)).log_cdf(value)
    by_value, by_df = tape.gradient(log_cdf, value), tape.gradient(log_cdf, degrees)

    def at(value, df):
        return StudentT(df, np.float64(0.1), np.float64(1.0)).log_cdf(value).numpy()

    steps = step * np.maximum(1.0, np.abs(points))
    difference = (at(points + steps, df) - at(points - steps, df)) / (2 * steps)
    np.testing.assert_allclose(by_value, difference, rtol=1e-5, atol=1e-12)
    difference = (at(points, df + step) - at(points, df - step)) / (2 * step)
    np.testing.assert_allclose(by_df, difference, rtol=1e-5, atol=1e-9)


def test_gradient_at_the_location_itself_is_finite():
    loc = tf.constant(np.float64(0.5))
    with tf.GradientTape() as tape:
        tape.watch(loc)
        log_cdf = StudentT(np.float64(3.0), loc, np.float64(0.1)).log_cdf(0.5)
    assert float(log_cdf) == pytest.approx(np.log(0.5), rel=FLOAT64)
    assert np.isfinite(tape.gradient(log_cdf, loc).numpy())


def test_masses_of_the_256_levels_are_finite_and_sum_to_one():
    df = np.array([2.1, 100.0, 1000.0]).reshape(-1, 1, 1, 1)
    scale = np.array([np.exp(-6.0), 0.05, 1.0, 100.0]).reshape(-1, 1, 1)
    loc = np.array([-3.0, 0.0, 0.4999, 1.0]).reshape(-1, 1)
    log_mass = elementwise_bin_log_mass(StudentT(df, loc, scale), tf.constant(LEVELS / 255)).numpy()
    assert log_mass.shape == (3, 4, 4, 256)
    assert np.all(np.isfinite(log_mass)) and np.all(log_mass <= 0.0)
    assert np.max(np.abs(scipy.special.logsumexp(log_mass, axis=-1))) < SUM_TOLERANCE


def test_masses_in_either_tail_are_those_of_the_mirrored_image():
    near, far = (
        StudentT(np.float64(20.0), np.float64(loc), np.float64(0.004)) for loc in (0.25, 0.75)
    )
    left = elementwise_bin_log_mass(near, tf.constant(LEVELS / 255)).numpy()
    right = elementwise_bin_log_mass(far, tf.constant((255 - LEVELS) / 255)).numpy()
    np.testing.assert_allclose(left, right, rtol=FLOAT64)
    assert left[-1] < np.log(1e-30)


def test_bin_mass_equals_the_integral_of_the_density():
    levels = np.array([1, 60, 101, 102, 103, 200, 254])
    marginal = StudentT(np.float64(3.3), np.float64(0.4), np.float64(0.02))
    log_mass = elementwise_bin_log_mass(marginal, tf.constant(levels / 255.0))
    density = scipy.stats.t(3.3, 0.4, 0.02).pdf
    expected = [scipy.integrate.quad(density, k / 256, (k + 1) / 256)[0] for k in levels]
    np.testing.assert_allclose(np.exp(log_mass), expected, rtol=1e-9)


def test_float32_distribution_is_scored_in_float64():
    loc = np.random.default_rng(0).uniform(size=(2, 3, 4)).astype(np.float32)
    elements = StudentT(np.float32(5.0), loc, np.float32(0.01))
    levels = np.random.default_rng(1).integers(0, 256, size=loc.shape)
    mass = bin_log_mass(tfd.Independent(elements, 2), (levels / 255).astype(np.float32))
    exact = StudentT(np.float64(5.0), loc.astype(float), np.float64(np.float32(0.01)))
    expected = elementwise_bin_log_mass(exact, tf.constant(levels / 255.0)).numpy()
    assert mass.dtype == tf.float64 and mass.shape == (2,)
    np.testing.assert_allclose(mass, expected.sum(axis=(1, 2)), rtol=FLOAT64)


@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["graph", "xla"]
)
def test_function_of_unknown_batch_size_gives_the_eager_tails_in_float32(jit_compile):
    @tf.function(input_signature=[tf.TensorSpec([None])], jit_compile=jit_compile)
    def tails(loc):
        distribution = StudentT(4.0, loc, 0.1)
        return distribution.log_cdf(0.5), distribution.log_survival_function(0.5)

    loc = np.array([-4.0, 0.2, 0.5, 0.9, 30.0], np.float32)
    law = scipy.stats.t(4.0, loc.astype(float), 0.1)
    log_cdf, log_survival = tails(loc)
    np.testing.assert_allclose(log_cdf, law.logcdf(0.5), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(log_survival, law.logsf(0.5), rtol=1e-4, atol=1e-6)


def test_copies_slices_and_results_of_functions_stay_what_they_are():
    distribution = StudentT([3.0, 4.0], [0.0, 1.0], [1.0, 2.0])
    returned = tf.function(lambda d: d)(distribution)
    for other in (distribution.copy(df=7.0), distribution[:1], returned):
        assert isinstance(other, StudentT)
        assert np.all(np.isfinite(other.log_survival_function(1e6).numpy()))
