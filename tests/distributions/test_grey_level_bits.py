import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from tf_sigma_vae.distributions import GreyLevelBits

BATCH, WIDTH = 3, 2
VALUES = np.arange(256) / 255.0
FLOAT64 = 1e-12
# float32 rounds eight summands of size 5.
FLOAT32 = 2e-6
STEP = 1e-5
# Central differences of step 1e-5 truncate at 1e-10 and round at 1e-16 * 100 / 1e-5.
FINITE_DIFFERENCE = 1e-8
NUM_SAMPLES = 20_000
# Of a chi-square test: a correct sampler fails in less than one of 1e6 runs.
SMALLEST_P_VALUE = 1e-6


def _logits(dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(scale=2.0, size=(BATCH, WIDTH, 8)).astype(dtype)


def _extreme_logits():
    """Rows of +-40, of +-1e4, and of 40."""
    signs = np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0])
    return np.stack([40.0 * signs, 1e4 * signs, np.full(8, 40.0)])


def _log_masses(logits):
    """Log-masses `[..., 256]` from binary numerals, independently of the shifts in the code."""
    log_odds = np.asarray(logits, np.float64)
    bits = np.array([[int(digit) for digit in f"{level:08b}"] for level in range(256)])
    set_bits = scipy.special.log_expit(log_odds)[..., None, :]
    others = scipy.special.log_expit(-log_odds)[..., None, :]
    return np.sum(np.where(bits == 1, set_bits, others), axis=-1)


def _scored(logits):
    """`log_prob` of all levels, `[..., 256]`."""
    return GreyLevelBits(np.asarray(logits)[..., None, :]).log_prob(VALUES).numpy()


def test_shapes_are_those_of_the_logits_without_their_last_axis():
    distribution = GreyLevelBits(_logits(np.float32))
    assert distribution.batch_shape == (BATCH, WIDTH) and distribution.event_shape == ()
    assert distribution.batch_shape_tensor().numpy().tolist() == [BATCH, WIDTH]
    assert distribution.event_shape_tensor().numpy().tolist() == []
    assert distribution.sample(5, seed=1).shape == (5, BATCH, WIDTH)
    assert distribution.log_prob(distribution.sample(5, seed=1)).shape == (5, BATCH, WIDTH)
    assert distribution.dtype == distribution.sample(seed=1).dtype == tf.float32


def test_logits_without_eight_bits_are_rejected():
    for shape in ((2, 256), ()):
        with pytest.raises(ValueError, match=r"logits must be \[..., 8\], got shape \("):
            GreyLevelBits(np.zeros(shape, np.float32))


@pytest.mark.parametrize("logits", [_logits(), _extreme_logits()])
def test_masses_are_products_over_the_binary_digits_and_sum_to_one(logits):
    np.testing.assert_allclose(_scored(logits), _log_masses(logits), rtol=FLOAT64)
    total = scipy.special.logsumexp(_scored(logits), axis=-1)
    np.testing.assert_allclose(total, 0.0, atol=FLOAT64)


def test_first_logit_is_of_the_most_significant_bit():
    logits = np.array([3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    log_masses = _scored(logits)
    expected = np.where(np.arange(256) >= 128, *scipy.special.log_expit([3.0, -3.0]))
    np.testing.assert_allclose(log_masses, expected - 7 * np.log(2.0), rtol=FLOAT64)


def test_float32_log_prob_has_single_precision_at_every_level():
    logits = _logits(np.float32)
    values = VALUES.astype(np.float32)
    log_prob = GreyLevelBits(logits[..., None, :]).log_prob(values)
    assert log_prob.dtype == tf.float32
    np.testing.assert_allclose(log_prob, _log_masses(logits), rtol=FLOAT32)


def test_even_odds_give_eight_bits():
    log_prob = GreyLevelBits(np.zeros([1, 8])).log_prob(VALUES)
    np.testing.assert_allclose(log_prob, -8.0 * np.log(2.0), rtol=FLOAT64)


def test_values_are_rounded_to_the_nearest_level_and_have_no_mass_outside():
    distribution = GreyLevelBits(_logits()[0, :1])
    exact, near = (distribution.log_prob(x) for x in ([[3 / 255], [0.0]], [[3.3 / 255], [-1e-4]]))
    np.testing.assert_array_equal(exact, near)
    outside = distribution.log_prob([[-1.0], [256 / 255], [2.0], [np.nan]])
    assert np.all(outside.numpy() == -np.inf)


@pytest.mark.parametrize("logits", [_logits(), _extreme_logits()])
def test_moments_and_mode_equal_a_sum_over_all_levels(logits):
    distribution = GreyLevelBits(logits)
    masses = np.exp(_log_masses(logits))
    mean = masses @ VALUES
    np.testing.assert_allclose(distribution.mean(), mean, rtol=FLOAT64)
    np.testing.assert_array_equal(distribution.mode(), VALUES[np.argmax(masses, axis=-1)])
    variance = np.sum(masses * (VALUES - mean[..., None]) ** 2, axis=-1)
    # Brute force around a rounded mean is off by the square of the rounding.
    np.testing.assert_allclose(distribution.variance(), variance, rtol=1e-9, atol=1e-30)
    np.testing.assert_allclose(distribution.stddev(), np.sqrt(variance), rtol=1e-9, atol=1e-15)


def test_samples_follow_the_masses():
    logits = np.array([[0.5, -0.4, 0.3, 0.0, -0.2, 0.6, -0.7, 0.1]])
    samples = GreyLevelBits(logits).sample(NUM_SAMPLES, seed=3).numpy()[:, 0]
    levels = np.round(255 * samples).astype(int)
    np.testing.assert_array_equal(samples, levels / 255)
    expected = NUM_SAMPLES * np.exp(_log_masses(logits[0]))
    assert expected.min() >= 5
    counts = np.bincount(levels, minlength=256)
    assert scipy.stats.chisquare(counts, expected).pvalue > SMALLEST_P_VALUE


@pytest.mark.parametrize("logits", [_logits()[0], _extreme_logits(), np.zeros([2, 8])])
def test_gradient_is_finite_and_equals_finite_differences(logits):
    x = np.resize([VALUES[255], VALUES[17]], len(logits))
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        log_prob = GreyLevelBits(variable).log_prob(x)
    gradient = tape.gradient(log_prob, variable).numpy()
    assert np.all(np.isfinite(gradient)) and np.any(gradient != 0.0)
    for bit in range(8):
        shift = STEP * (np.arange(8) == bit)
        up, down = (GreyLevelBits(logits + s).log_prob(x).numpy() for s in (shift, -shift))
        # At logits of 1e4 the difference keeps fewer digits: 1e4 * 1e-16 / 1e-5.
        tolerance = FINITE_DIFFERENCE * (1.0 + np.abs(logits).max())
        np.testing.assert_allclose(gradient[:, bit], (up - down) / (2 * STEP), atol=tolerance)


def test_copy_replaces_the_logits():
    other = GreyLevelBits(_logits()).copy(logits=_logits(seed=5))
    np.testing.assert_array_equal(other.logits, _logits(seed=5))


@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["graph", "xla"]
)
def test_function_of_unknown_batch_size_gives_the_eager_values(jit_compile):
    signature = [tf.TensorSpec([None, WIDTH, 8]), tf.TensorSpec([None, WIDTH])]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def scores(logits, x):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            distribution = GreyLevelBits(logits)
            log_prob = distribution.log_prob(x)
        assert distribution.batch_shape.as_list() == [None, WIDTH]
        moments = distribution.mean(), distribution.mode(), distribution.stddev()
        return log_prob, tape.gradient(log_prob, logits), *moments

    logits = _logits(np.float32)
    levels = np.random.default_rng(4).integers(0, 256, (BATCH, WIDTH))
    x = VALUES[levels].astype(np.float32)
    eager = GreyLevelBits(logits)
    moments = (eager.mean(), eager.mode(), eager.stddev())
    bits = np.unpackbits(levels.astype(np.uint8)[..., None], axis=-1)
    expected = eager.log_prob(x), bits - scipy.special.expit(logits), *moments
    for value, wanted in zip(scores(logits, x), expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)
