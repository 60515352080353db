import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae.distributions import GreyLevelCategorical

tfd = tfp.distributions

BATCH, WIDTH = 3, 2
VALUES = np.arange(256) / 255.0
FLOAT64 = 1e-12
# float32 rounds the 256 summands and the logits themselves, of size 5.
FLOAT32 = 2e-6
STEP = 1e-5
# Central differences of step 1e-5 truncate at 1e-10 and round at 1e-16 * 40 / 1e-5.
FINITE_DIFFERENCE = 1e-8
NUM_SAMPLES = 20_000
# Of a chi-square test: a correct sampler fails in less than one of 1e6 runs.
SMALLEST_P_VALUE = 1e-6


def _logits(dtype=np.float64, scale=2.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(scale=scale, size=(BATCH, WIDTH, 256)).astype(dtype)


def _extreme_logits():
    """Rows of +-40, of +-1e4, one peak of 40, and a constant 1e4."""
    signs = np.where(np.random.default_rng(1).uniform(size=256) < 0.5, -1.0, 1.0)
    peak = np.where(np.arange(256) == 255, 40.0, -40.0)
    return np.stack([40.0 * signs, 1e4 * signs, peak, np.full(256, 1e4)])


def _log_masses(logits):
    """`log_prob` of all levels, `[256, ...]`."""
    values = VALUES.reshape([256] + [1] * (np.ndim(logits) - 1))
    return GreyLevelCategorical(logits).log_prob(values).numpy()


def test_shapes_are_those_of_the_logits_without_their_last_axis():
    distribution = GreyLevelCategorical(_logits(np.float32))
    assert distribution.batch_shape == (BATCH, WIDTH) and distribution.event_shape == ()
    assert distribution.batch_shape_tensor().numpy().tolist() == [BATCH, WIDTH]
    assert distribution.event_shape_tensor().numpy().tolist() == []
    assert distribution.sample(5, seed=1).shape == (5, BATCH, WIDTH)
    assert distribution.log_prob(distribution.sample(5, seed=1)).shape == (5, BATCH, WIDTH)
    assert distribution.dtype == distribution.sample(seed=1).dtype == tf.float32


def test_logits_without_256_levels_are_rejected():
    for shape in ((2, 255), ()):
        with pytest.raises(ValueError, match=r"logits must be \[..., 256\], got shape \("):
            GreyLevelCategorical(np.zeros(shape, np.float32))


@pytest.mark.parametrize("logits", [_logits(), _extreme_logits()])
def test_masses_are_a_log_softmax_and_sum_to_one(logits):
    expected = np.moveaxis(scipy.special.log_softmax(logits, axis=-1), -1, 0)
    np.testing.assert_allclose(_log_masses(logits), expected, rtol=FLOAT64, atol=FLOAT64)
    total = scipy.special.logsumexp(_log_masses(logits), axis=0)
    np.testing.assert_allclose(total, 0.0, atol=FLOAT64)


def test_float32_log_prob_has_single_precision_at_every_level():
    logits = _logits(np.float32)
    expected = scipy.special.log_softmax(logits.astype(np.float64), axis=-1)
    values = VALUES.astype(np.float32)[:, None, None]
    log_prob = GreyLevelCategorical(logits).log_prob(values)
    assert log_prob.dtype == tf.float32
    np.testing.assert_allclose(log_prob, np.moveaxis(expected, -1, 0), rtol=FLOAT32)


def test_uniform_logits_give_eight_bits():
    log_prob = GreyLevelCategorical(np.full([1, 256], 7.0)).log_prob(VALUES)
    np.testing.assert_allclose(log_prob, -8.0 * np.log(2.0), rtol=FLOAT64)


def test_values_are_rounded_to_the_nearest_level_and_have_no_mass_outside():
    distribution = GreyLevelCategorical(_logits()[0, :1])
    exact, near = (distribution.log_prob(x) for x in ([[3 / 255], [0.0]], [[3.3 / 255], [-1e-4]]))
    np.testing.assert_array_equal(exact, near)
    outside = distribution.log_prob([[-1.0], [256 / 255], [2.0], [np.nan]])
    assert np.all(outside.numpy() == -np.inf)


def test_parameters_and_values_broadcast_against_one_another():
    logits = _logits()[:, :1]
    levels = np.random.default_rng(2).integers(0, 256, size=(5, 1, WIDTH))
    log_prob = GreyLevelCategorical(logits).log_prob(levels / 255).numpy()
    expected = np.log(scipy.special.softmax(logits, axis=-1))
    assert log_prob.shape == (5, BATCH, WIDTH)
    for index in np.ndindex(5, BATCH, WIDTH):
        level = levels[index[0], 0, index[2]]
        assert log_prob[index] == pytest.approx(expected[index[1], 0, level], rel=FLOAT64)


@pytest.mark.parametrize("logits", [_logits(), _extreme_logits()])
def test_moments_and_mode_equal_a_sum_over_all_levels(logits):
    distribution = GreyLevelCategorical(logits)
    masses = np.exp(scipy.special.log_softmax(logits, axis=-1))
    mean = masses @ VALUES
    np.testing.assert_allclose(distribution.mean(), mean, rtol=FLOAT64)
    np.testing.assert_array_equal(distribution.mode(), VALUES[np.argmax(logits, axis=-1)])
    variance = np.sum(masses * (VALUES - mean[..., None]) ** 2, axis=-1)
    np.testing.assert_allclose(distribution.variance(), variance, rtol=1e-9, atol=1e-30)
    np.testing.assert_allclose(distribution.stddev(), np.sqrt(variance), rtol=1e-9, atol=1e-15)


def test_samples_follow_the_masses():
    logits = 1.5 * np.sin(np.arange(256) / 30.0)[None]
    samples = GreyLevelCategorical(logits).sample(NUM_SAMPLES, seed=3).numpy()[:, 0]
    levels = np.round(255 * samples).astype(int)
    np.testing.assert_array_equal(samples, levels / 255)
    expected = NUM_SAMPLES * scipy.special.softmax(logits[0])
    assert expected.min() >= 5
    counts = np.bincount(levels, minlength=256)
    assert scipy.stats.chisquare(counts, expected).pvalue > SMALLEST_P_VALUE


def test_same_seed_gives_the_same_sample():
    distribution = GreyLevelCategorical(_logits(np.float32))
    first, second, other = (distribution.sample(4, seed=[1, s]).numpy() for s in (2, 2, 3))
    np.testing.assert_array_equal(first, second)
    assert np.any(first != other)


@pytest.mark.parametrize("logits", [_logits()[0], _extreme_logits()])
def test_gradient_is_finite_and_equals_finite_differences(logits):
    x = np.resize([VALUES[255], VALUES[17]], len(logits))
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        log_prob = GreyLevelCategorical(variable).log_prob(x)
    gradient = tape.gradient(log_prob, variable).numpy()
    assert np.all(np.isfinite(gradient))
    for level in (0, 17, 255):
        shift = STEP * (np.arange(256) == level)
        up, down = (GreyLevelCategorical(logits + s).log_prob(x).numpy() for s in (shift, -shift))
        # At logits of 1e4 the difference keeps fewer digits: 1e4 * 1e-16 / 1e-5.
        tolerance = FINITE_DIFFERENCE * (1.0 + np.abs(logits).max())
        np.testing.assert_allclose(gradient[:, level], (up - down) / (2 * STEP), atol=tolerance)


def test_gradient_of_a_broadcast_score_is_the_sum_over_the_values():
    x, logits = VALUES[[3, 200, 200]][:, None], tf.Variable(_logits()[0, :1])
    with tf.GradientTape() as tape:
        log_prob = GreyLevelCategorical(logits).log_prob(x)
    expected = -3.0 * scipy.special.softmax(logits.numpy(), axis=-1)[0]
    expected[3] += 1.0
    expected[200] += 2.0
    gradient = tape.gradient(log_prob, logits)[0]
    np.testing.assert_allclose(gradient, expected, rtol=FLOAT64, atol=FLOAT64)


def test_training_graph_makes_one_tensor_of_the_size_of_the_logits_beside_them():
    # The memory that the docstring states: no one-hot, no log-softmax, no second softmax.
    @tf.function(input_signature=[tf.TensorSpec([6, 5, 256]), tf.TensorSpec([6, 5])])
    def gradient(logits, x):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            log_prob = tfd.Independent(GreyLevelCategorical(logits), 1).log_prob(x)
        return tape.gradient(log_prob, logits)

    hands_on = {"Placeholder", "Identity", "BroadcastTo", "Reshape", "Sum"}
    large = [
        operation.type
        for operation in gradient.get_concrete_function().graph.get_operations()
        for output in operation.outputs
        if output.shape.num_elements() == 6 * 5 * 256
    ]
    computing = sorted(kind for kind in large if kind not in hands_on)
    assert computing == ["Mul", "SparseSoftmaxCrossEntropyWithLogits"]


def test_copy_replaces_the_logits():
    other = GreyLevelCategorical(_logits()).copy(logits=_logits(seed=5))
    np.testing.assert_array_equal(other.logits, _logits(seed=5))


@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["graph", "xla"]
)
def test_function_of_unknown_batch_size_gives_the_eager_values(jit_compile):
    signature = [tf.TensorSpec([None, WIDTH, 256]), tf.TensorSpec([None, WIDTH])]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def scores(logits, x):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            distribution = GreyLevelCategorical(logits)
            log_prob = distribution.log_prob(x)
        assert distribution.batch_shape.as_list() == [None, WIDTH]
        moments = distribution.mean(), distribution.mode(), distribution.stddev()
        return log_prob, tape.gradient(log_prob, logits), *moments

    logits = _logits(np.float32)
    x = VALUES[np.random.default_rng(4).integers(0, 256, (BATCH, WIDTH))].astype(np.float32)
    eager = GreyLevelCategorical(logits)
    moments = (eager.mean(), eager.mode(), eager.stddev())
    one_hot = (np.round(255 * x)[..., None] == np.arange(256)).astype(np.float32)
    expected = eager.log_prob(x), one_hot - scipy.special.softmax(logits, axis=-1), *moments
    for value, wanted in zip(scores(logits, x), expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)


def test_gradient_of_second_order_is_the_covariance_of_the_levels():
    logits = tf.Variable(_logits()[0, 0])
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            log_prob = GreyLevelCategorical(logits).log_prob(VALUES[17])
        gradient = inner.gradient(log_prob, logits)[3]
    p = scipy.special.softmax(logits.numpy())
    expected = p[3] * p - p[3] * (np.arange(256) == 3)
    np.testing.assert_allclose(outer.gradient(gradient, logits), expected, atol=FLOAT64)


def test_videos_have_more_axes_than_the_softmax_of_tensorflow_takes():
    """Logits `[B, T, H, W, C, 256]`, as of images `[B * T, H, W, C, 256]`."""
    logits = np.random.default_rng(0).normal(size=(2, 3, 2, 2, 1, 256)).astype(np.float32)
    of_videos = GreyLevelCategorical(logits)
    of_images = GreyLevelCategorical(logits.reshape(6, 2, 2, 1, 256))
    shape = (2, 3, 2, 2, 1)
    for moment in ("mean", "variance"):
        found, expected = (getattr(d, moment)().numpy() for d in (of_videos, of_images))
        np.testing.assert_allclose(found, expected.reshape(shape), rtol=1e-5)
    found, expected = (d.sample(seed=[0, 1]).numpy() for d in (of_videos, of_images))
    # By rounding alone a draw moves to another level once in some 1e5.
    assert np.mean(found != expected.reshape(shape)) < 0.1
