import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae.distributions import MarginalGaussian, bin_log_mass

tfd = tfp.distributions

BATCH, EVENT = 3, (2, 4, 1)
DIMS = 8
FLOAT64 = 1e-9
# Of the integral over the variance: at a = 1 the tail is cut at e^-45 of its length scale.
QUADRATURE = 3e-6
# Relative, of TFP's tail of the normal CDF: of each pixel, and these errors add up.
NORMAL_TAIL = 4e-9
FLOAT32 = 2e-6
NUM_SAMPLES = 20_000
# Of a Kolmogorov-Smirnov test. Six are made: a correct sampler fails one in less than 1e-6 runs.
SMALLEST_P_VALUE = 1e-7


def _loc(seed=0, dtype=np.float64):
    return np.random.default_rng(seed).uniform(size=(BATCH, *EVENT)).astype(dtype)


def _by_image(a, b, dtype=np.float64):
    return MarginalGaussian(_loc(dtype=dtype), np.asarray(a, dtype), np.asarray(b, dtype), 3)


A, B = np.array([1.5, 4.0, 60.0]), np.array([0.02, 0.3, 2.0])


def test_shapes_are_those_of_batch_and_event():
    distribution = _by_image(A, B)
    assert distribution.batch_shape == (BATCH,) and distribution.event_shape == EVENT
    assert distribution.batch_shape_tensor().numpy().tolist() == [BATCH]
    assert distribution.event_shape_tensor().numpy().tolist() == list(EVENT)
    assert distribution.sample(5, seed=1).shape == (5, BATCH, *EVENT)
    assert distribution.sample(seed=1).shape == (BATCH, *EVENT)
    assert distribution.log_prob(distribution.sample(5, seed=1)).shape == (5, BATCH)


def test_scalar_parameters_broadcast_over_the_batch():
    shared, repeated = _by_image(2.5, 0.1), _by_image([2.5] * 3, [0.1] * 3)
    assert shared.batch_shape == (BATCH,)
    x = _loc(1)
    np.testing.assert_allclose(shared.log_prob(x), repeated.log_prob(x), rtol=FLOAT64)
    for moment in ("mean", "mode", "stddev", "variance"):
        value = getattr(shared, moment)()
        np.testing.assert_allclose(value, getattr(repeated, moment)(), rtol=FLOAT64)
        assert value.shape == (BATCH, *EVENT)
    assert shared.sample(2, seed=0).shape == (2, BATCH, *EVENT)


def test_log_prob_is_that_of_a_multivariate_student_t():
    x = _loc(1)
    expected = [
        scipy.stats.multivariate_t(loc.ravel(), b / a * np.eye(DIMS), df=2 * a).logpdf(
            value.ravel()
        )
        for loc, a, b, value in zip(_loc(), A, B, x, strict=True)
    ]
    np.testing.assert_allclose(_by_image(A, B).log_prob(x), expected, rtol=FLOAT64)


def test_log_prob_is_the_gaussian_integrated_over_the_variance():
    x = _loc(1)
    log_prob = _by_image(A, B).log_prob(x).numpy()
    for i in range(BATCH):
        error = np.sum((x[i] - _loc()[i]) ** 2)

        def integrand(log_variance, error=error, a=A[i], b=B[i]):
            v = np.exp(log_variance)
            gaussian = np.exp(-0.5 * error / v) / (2 * np.pi * v) ** (DIMS / 2)
            return gaussian * scipy.stats.invgamma.pdf(v, a, scale=b) * v

        value = scipy.integrate.quad(integrand, -20, 10, points=[-3], limit=200)[0]
        assert log_prob[i] == pytest.approx(np.log(value), rel=1e-6)


def test_density_of_one_dimension_integrates_to_one():
    points = np.linspace(-60.0, 60.0, 200_001)
    distribution = MarginalGaussian(np.zeros([len(points), 1]), 3.0, 1.0, 1)
    density = np.exp(distribution.log_prob(points[:, None]).numpy())
    assert scipy.integrate.trapezoid(density, points) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("concentration", [1.01, 30.0, 1e4, 1e6, 1e8])
def test_float32_log_prob_is_accurate_at_any_concentration(concentration):
    dims = 3072
    x = np.random.default_rng(0).normal(scale=0.1, size=(1, dims)).astype(np.float32)
    scale = np.float32(0.01 * concentration)
    distribution = MarginalGaussian(np.zeros([1, dims], np.float32), concentration, scale, 1)
    a, b, half_error = concentration, float(scale), 0.5 * np.sum(x.astype(np.float64) ** 2)
    gammas = scipy.special.gammaln(a + dims / 2) - scipy.special.gammaln(a)
    tail = -a * np.log1p(half_error / b) - dims / 2 * np.log(2 * np.pi * (b + half_error))
    assert distribution.log_prob(x).dtype == tf.float32
    # Single precision of the largest term, D/2 log(a), is some 3e-3 nats.
    assert float(distribution.log_prob(x)[0]) == pytest.approx(gammas + tail, abs=0.02)


def test_grows_into_a_gaussian_as_the_concentration_grows():
    x = _loc(1)
    expected = scipy.stats.norm.logpdf(x, _loc(), 0.2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(_by_image(1e9, 0.04 * 1e9).log_prob(x), expected, atol=1e-5)


def test_variance_is_the_mean_of_the_inverse_gamma():
    concentration = np.array([6.0, 8.0, 60.0])
    distribution = _by_image(concentration, B)
    expected = np.broadcast_to((B / (concentration - 1)).reshape(3, 1, 1, 1), (BATCH, *EVENT))
    np.testing.assert_allclose(distribution.variance(), expected, rtol=FLOAT64)
    np.testing.assert_allclose(distribution.stddev(), np.sqrt(expected), rtol=FLOAT64)


def test_elements_of_a_sample_share_their_variance():
    # Squared error / (2 b) of a sample, over D/2 and a: a beta-prime variable.
    samples = _by_image(A, B).sample(NUM_SAMPLES, seed=4).numpy()
    errors = np.sum((samples - _loc()) ** 2, axis=(2, 3, 4))
    for i in range(BATCH):
        law = scipy.stats.betaprime(DIMS / 2, A[i])
        assert scipy.stats.kstest(errors[:, i] / (2 * B[i]), law.cdf).pvalue > SMALLEST_P_VALUE


def test_marginals_are_student_t():
    samples = _by_image(A, B).sample(NUM_SAMPLES, seed=5).numpy()[..., 0, 0, 0]
    marginal = _by_image(A, B).marginal()
    assert marginal.batch_shape == (BATCH, *EVENT)
    for i in range(BATCH):
        law = scipy.stats.t(2 * A[i], _loc()[i, 0, 0, 0], np.sqrt(B[i] / A[i]))
        assert scipy.stats.kstest(samples[:, i], law.cdf).pvalue > SMALLEST_P_VALUE
    x = _loc(1)
    shape = (BATCH, 1, 1, 1)
    scale = np.sqrt(B / A).reshape(shape)
    expected = scipy.stats.t.logpdf(x, 2 * A.reshape(shape), _loc(), scale)
    np.testing.assert_allclose(marginal.log_prob(x), expected, rtol=FLOAT64)


def test_mean_and_mode_are_the_location_and_variance_is_nan_where_infinite():
    distribution = _by_image([0.7, 1.0, 2.0], B)
    np.testing.assert_array_equal(distribution.mean(), _loc())
    np.testing.assert_array_equal(distribution.mode(), _loc())
    variance = distribution.variance().numpy()
    assert np.all(np.isnan(variance[:2])) and np.all(np.isfinite(variance[2]))


def test_copy_replaces_what_is_asked_and_keeps_the_rest():
    other = _by_image(A, B).copy(scale=2 * B)
    assert isinstance(other, MarginalGaussian)
    np.testing.assert_allclose(other.scale, 2 * B)
    np.testing.assert_allclose(other.log_prob(_loc(1)), _by_image(A, 2 * B).log_prob(_loc(1)))


@pytest.mark.slow
def test_works_as_argument_free_part_of_a_function_with_unknown_batch_size():
    @tf.function(input_signature=[tf.TensorSpec([None, *EVENT]), tf.TensorSpec([None, *EVENT])])
    def scores(loc, x):
        distribution = MarginalGaussian(loc, 2.0, 0.1, 3)
        sample = distribution.sample(seed=[1, 2])
        return distribution.log_prob(x), distribution.stddev(), sample, distribution.bin_log_mass(x)

    loc, x = _loc(dtype=np.float32), _loc(1, np.float32)
    log_prob, stddev, sample, mass = scores(loc, x)
    eager = MarginalGaussian(loc, 2.0, 0.1, 3)
    np.testing.assert_allclose(log_prob, eager.log_prob(x), rtol=FLOAT32)
    np.testing.assert_allclose(stddev, eager.stddev(), rtol=FLOAT32)
    np.testing.assert_allclose(sample, eager.sample(seed=[1, 2]), rtol=1e-4)
    np.testing.assert_allclose(mass, eager.bin_log_mass(x), rtol=FLOAT64)


def test_xla_gives_the_same_log_prob_and_gradient():
    loc, x = tf.constant(_loc(dtype=np.float32)), tf.constant(_loc(1, np.float32))

    def score(loc):
        with tf.GradientTape() as tape:
            tape.watch(loc)
            log_prob = MarginalGaussian(loc, 2.0, 0.1, 3).log_prob(x)
        return log_prob, tape.gradient(log_prob, loc)

    for compiled, plain in zip(tf.function(score, jit_compile=True)(loc), score(loc), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-5, atol=1e-5)


def test_gradient_in_the_location_is_analytic():
    loc, x = tf.Variable(_loc()), _loc(1)
    with tf.GradientTape() as tape:
        log_prob = MarginalGaussian(loc, A, B, 3).log_prob(x)
    weight = (A + DIMS / 2) / (B + 0.5 * np.sum((x - _loc()) ** 2, axis=(1, 2, 3)))
    expected = weight.reshape(BATCH, 1, 1, 1) * (x - _loc())
    np.testing.assert_allclose(tape.gradient(log_prob, loc), expected, rtol=FLOAT64)


def _brute_force_log_mass(levels, loc, a, b):
    """Joint mass of all bins by adaptive quadrature over the log variance."""
    lower = np.where(levels == 0, -np.inf, levels / 256)
    upper = np.where(levels == 255, np.inf, (levels + 1) / 256)

    def log_integrand(log_variance):
        scale = np.exp(0.5 * log_variance)
        low, high = (lower - loc) / scale, (upper - loc) / scale
        flip = low > 0
        low, high = np.where(flip, -high, low), np.where(flip, -low, high)
        large, small = scipy.special.log_ndtr(high), scipy.special.log_ndtr(low)
        mass = np.sum(large + np.log(-np.expm1(np.minimum(small - large, -1e-300))))
        variance = np.exp(log_variance)
        return mass + scipy.stats.invgamma.logpdf(variance, a, scale=b) + log_variance

    grid = np.linspace(-25.0, 10.0, 700)
    values = [log_integrand(point) for point in grid]
    peak, top = grid[int(np.argmax(values))], np.max(values)
    integral = scipy.integrate.quad(
        lambda p: np.exp(log_integrand(p) - top), peak - 8, peak + 8, points=[peak], limit=400
    )[0]
    return top + np.log(integral)


def test_bin_mass_equals_brute_force_quadrature():
    a, b, error = np.array(
        [
            (3.0, 0.05, 0.2),
            (3.0, 0.05, 0.2),
            (1.2, 0.001, 0.05),
            (500.0, 5.0, 0.1),
            (40.0, 0.01, 0.015),
        ]
    ).T
    rng = np.random.default_rng(7)
    loc = rng.uniform(size=(len(a), DIMS))
    noise = error[:, np.newaxis] * rng.normal(size=loc.shape)
    levels = np.clip(np.floor(256 * (loc + noise)), 0, 255)
    levels[0, :2] = [0, 255]
    mass = bin_log_mass(MarginalGaussian(loc, a, b, 1), levels / 255).numpy()
    expected = [_brute_force_log_mass(*row) for row in zip(levels, loc, a, b, strict=True)]
    np.testing.assert_allclose(mass, expected, atol=QUADRATURE)


def _grid_log_mass(levels, loc, a, b):
    """The integral as a sum over a fine, wide grid of the log of the variance."""
    # A step of 0.05 is below the width of the integrand, sqrt(2 / (a + D/2)) = 0.058 and more: the
    # sum is off by exp(-2 (pi width / step)^2) or less. Outside, the integrand is below e^-100.
    grid = np.linspace(-40.0, 20.0, 1201)
    lower = np.where(levels <= 0, -np.inf, levels / 256 - loc)
    upper = np.where(levels >= 255, np.inf, (levels + 1) / 256 - loc)
    flip = lower + upper > 0
    lower, upper = np.where(flip, -upper, lower), np.where(flip, -lower, upper)
    values = scipy.stats.invgamma.logpdf(np.exp(grid), a, scale=b) + grid
    for low, high in zip(lower, upper, strict=True):
        large = scipy.special.log_ndtr(high * np.exp(-grid / 2))
        small = scipy.special.log_ndtr(low * np.exp(-grid / 2))
        values = values + large + np.log(-np.expm1(np.minimum(small - large, -1e-300)))
    return scipy.special.logsumexp(values) + np.log(grid[1] - grid[0])


@pytest.mark.slow
def test_bin_mass_finds_the_variance_of_images_with_many_black_and_white_pixels():
    """Such pixels own open tails: the density's posterior of the variance is far off."""
    rng = np.random.default_rng(11)
    num_dims = 784
    laws = [(1.001, 1e-5), (3.0, 0.02), (200.0, 2.0)]
    levels, loc, a, b = [], [], [], []
    # A Latin square: every pair of a share, an error and a law is among the nine.
    for row, end_pixels in enumerate((0.0, 0.8, 1.0)):
        for column, error in enumerate((0.0, 0.003, 0.1)):
            is_end = rng.uniform(size=num_dims) < end_pixels
            ends = np.where(rng.uniform(size=num_dims) < 0.7, 0, 255)
            levels.append(np.where(is_end, ends, rng.integers(0, 256, num_dims)).astype(float))
            off = levels[-1] / 255 + error * rng.normal(size=num_dims)
            loc.append(np.clip(off, 0.001, 0.999))
            a.append(laws[(row + column) % 3][0])
            b.append(laws[(row + column) % 3][1])
    mass = MarginalGaussian(np.array(loc), a, b, 1).bin_log_mass(np.array(levels) / 255)
    expected = [_grid_log_mass(*row) for row in zip(levels, loc, a, b, strict=True)]
    tolerance = QUADRATURE + num_dims * NORMAL_TAIL
    np.testing.assert_allclose(mass, np.minimum(expected, 0.0), rtol=0, atol=tolerance)


def test_bin_masses_of_one_dimension_sum_to_one():
    a, b = np.repeat([(2.0, 0.01), (1.001, 1e-5), (1.001, 1.0), (1e4, 100.0)], 256, axis=0).T
    levels = np.tile(np.arange(256)[:, np.newaxis] / 255, (4, 1))
    mass = MarginalGaussian(np.full([1024, 1], 0.3), a, b, 1).bin_log_mass(levels).numpy()
    np.testing.assert_allclose(np.exp(mass).reshape(4, 256).sum(axis=1), 1.0, atol=QUADRATURE)
    assert np.all(mass <= 0.0)


def test_arguments_that_are_not_positive_are_refused_if_asked():
    for a, b in ((-1.0, 1.0), (1.0, 0.0)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be positive"):
            MarginalGaussian(np.zeros([1, 3]), a, b, 1, validate_args=True)
