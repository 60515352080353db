import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from tf_sigma_vae.distributions import DiscretizedLogisticMixture

GREY = np.arange(256) / 255.0
NUM_SAMPLES = 20_000
# Of a chi-square test. Six are made: a correct sampler fails one in less than 1e-6 runs.
SMALLEST_P_VALUE = 1e-7
SMALLEST_EXPECTED_COUNT = 5
# In grey levels; what the docstring of the mean states.
EXACT = 1e-6
# Single precision of locations some thousand grey levels out, in grey levels.
FLOAT32 = 2e-3
# In the unit of the data: what the means of coupled channels miss where the tails hold mass.
COUPLED = 0.02
# Of 24 means: a correct sampler leaves one of the intervals in less than 1e-6 runs.
NUM_STANDARD_ERRORS = 5.7

PIXEL = (
    np.array([0.3, -0.4, 0.0]),
    np.array([[0.1, 0.6, 0.97], [0.5, 0.2, 0.6]]),
    np.array([[-3.0, -4.0, -2.5], [-3.5, -6.0, -2.0]]),
    np.array([[0.9, -0.7, 0.4]]),
)


def _pairs():
    return np.stack(np.meshgrid(GREY, GREY, indexing="ij"), axis=-1)


def _p_value(counts, masses):
    """Chi-square test of counts, their rare cells pooled into one."""
    expected = masses.ravel() * counts.sum()
    order = np.argsort(expected)
    pooled = np.searchsorted(np.cumsum(expected[order]), SMALLEST_EXPECTED_COUNT) + 1
    while pooled < len(order) and expected[order[pooled]] < SMALLEST_EXPECTED_COUNT:
        pooled += 1
    rare, common = order[:pooled], order[pooled:]
    observed = np.append(counts.ravel()[common], counts.ravel()[rare].sum())
    expected = np.append(expected[common], expected[rare].sum())
    assert len(common) > 20 and np.all(expected >= SMALLEST_EXPECTED_COUNT)
    return scipy.stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_of_both_channels_follow_the_mass_function(dtype):
    distribution = DiscretizedLogisticMixture(*(p.astype(dtype) for p in PIXEL))
    masses = np.exp(DiscretizedLogisticMixture(*PIXEL).log_prob(_pairs()).numpy())
    x = distribution.sample(NUM_SAMPLES, seed=[3, 4])
    assert x.dtype == dtype
    levels = np.round(255.0 * x.numpy()).astype(int)
    counts = np.zeros((256, 256))
    np.add.at(counts, (levels[:, 0], levels[:, 1]), 1)
    for axis in (1, 0):
        assert _p_value(counts.sum(axis=axis), masses.sum(axis=axis)) > SMALLEST_P_VALUE
    # Jointly, in 16 x 16 cells of 16 x 16 levels.
    cells = [a.reshape(16, 16, 16, 16).sum(axis=(1, 3)) for a in (counts, masses)]
    assert _p_value(*cells) > SMALLEST_P_VALUE
    # The test sees a coupling that is not there.
    logits, loc, log_scale, coefficients = PIXEL
    other = DiscretizedLogisticMixture(logits, loc, log_scale, 0.8 * coefficients)
    wrong = np.exp(other.log_prob(_pairs()).numpy()).reshape(16, 16, 16, 16).sum(axis=(1, 3))
    assert _p_value(cells[0], wrong) < SMALLEST_P_VALUE


def test_samples_are_the_grey_levels_of_images():
    logits, loc, log_scale, coefficients = (p.astype(np.float32) for p in PIXEL)
    distribution = DiscretizedLogisticMixture(logits, loc + 0.4, log_scale + 2.0, coefficients)
    x = distribution.sample(500, seed=1).numpy()
    assert np.all(np.isin(x, GREY.astype(np.float32)))
    assert x.min() == 0.0 and x.max() == 1.0


def test_equal_seeds_give_equal_samples_and_others_give_others():
    distribution = DiscretizedLogisticMixture(*PIXEL)
    first, again, other = (distribution.sample(50, seed=[1, s]).numpy() for s in (2, 2, 3))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first == other) < 0.5


def _brute_force_mean(loc, log_scale):
    """Sum over the 256 levels, float64, in grey levels."""
    edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 255, [np.inf]])
    standardized = (edges - loc[..., None]) / np.exp(log_scale)[..., None]
    return np.diff(scipy.special.expit(standardized)) @ np.arange(256.0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, EXACT), (np.float32, FLOAT32)])
def test_mean_of_an_uncoupled_channel_is_the_sum_over_256_levels(dtype, tolerance):
    rng = np.random.default_rng(0)
    size = 2000
    loc = np.concatenate([rng.uniform(-0.2, 1.2, size), 20.0 * rng.normal(size=size)])
    # Half of them around a grey level, where the mean is computed in another way.
    log_scale = rng.uniform(-10.0, 0.0, 2 * size)
    log_scale[::2] = rng.uniform(-6.0, -5.0, size)
    # The hardest for the end corrections: a location at the end, a scale of just one grey level.
    loc[:4], log_scale[:4] = [0.0, 1.0, 0.5 / 255, 254.5 / 255], -np.log(254.9)
    loc, log_scale = loc.astype(dtype), log_scale.astype(dtype)
    expected = _brute_force_mean(loc.astype(np.float64), log_scale.astype(np.float64))
    mean = DiscretizedLogisticMixture(
        np.zeros([2 * size, 1], dtype), loc[:, None, None], log_scale[:, None, None]
    ).mean()
    assert mean.dtype == dtype
    np.testing.assert_allclose(255.0 * mean.numpy()[:, 0], expected, atol=tolerance)
    assert np.all(mean.numpy() >= 0.0) and np.all(mean.numpy() <= 1.0)


def test_mean_of_a_mixture_weights_its_components():
    logits, loc, log_scale, _ = PIXEL
    weights = scipy.special.softmax(logits)
    expected = [weights @ _brute_force_mean(loc[c], log_scale[c]) for c in range(2)]
    mean = DiscretizedLogisticMixture(logits, loc, log_scale).mean()
    np.testing.assert_allclose(255.0 * mean.numpy(), expected, atol=EXACT)


def test_mean_of_a_coupled_channel_is_exact_without_mass_in_its_tails():
    logits, _, _, coefficients = PIXEL
    loc = np.array([[0.4, 0.5, 0.6], [0.5, 0.4, 0.6]])
    log_scale = np.full((2, 3), -4.5)
    distribution = DiscretizedLogisticMixture(logits, loc, log_scale, coefficients)
    masses = np.exp(distribution.log_prob(_pairs()).numpy())
    expected = np.sum(masses[..., None] * _pairs(), axis=(0, 1))
    # Tails of 1e-9 and the rounding of a scale of three grey levels are left.
    np.testing.assert_allclose(distribution.mean(), expected, atol=1e-6)
    uncoupled = DiscretizedLogisticMixture(logits, loc, log_scale).mean()
    assert abs(float(uncoupled[1]) - expected[1]) > 0.005


def test_mean_of_coupled_channels_is_near_that_of_samples():
    rng = np.random.default_rng(2)
    batch, channels, components = 6, 3, 4
    given = (
        rng.normal(size=(batch, components)),
        rng.uniform(0.0, 1.0, size=(batch, channels, components)),
        rng.uniform(-5.0, -2.5, size=(batch, channels, components)),
        rng.uniform(-1.0, 1.0, size=(batch, channels, components)),
    )
    distribution = DiscretizedLogisticMixture(*given)
    x = distribution.sample(NUM_SAMPLES, seed=5).numpy()
    error = np.abs(x.mean(axis=0) - distribution.mean().numpy())
    standard_error = x.std(axis=0) / np.sqrt(NUM_SAMPLES)
    assert np.all(error[:, 0] < NUM_STANDARD_ERRORS * standard_error[:, 0])
    assert np.all(error < COUPLED + NUM_STANDARD_ERRORS * standard_error)


def test_mode_is_not_defined_in_closed_form():
    with pytest.raises(NotImplementedError, match="mode"):
        DiscretizedLogisticMixture(*PIXEL).mode()


def test_shapes_are_those_of_batch_and_event():
    logits, loc, log_scale, coefficients = (np.stack([[p, p, p]] * 2) for p in PIXEL)
    distribution = DiscretizedLogisticMixture(logits, loc, log_scale, coefficients)
    assert distribution.batch_shape == (2, 3) and distribution.event_shape == (2,)
    assert distribution.batch_shape_tensor().numpy().tolist() == [2, 3]
    assert distribution.event_shape_tensor().numpy().tolist() == [2]
    x = distribution.sample(5, seed=0)
    assert x.shape == (5, 2, 3, 2) and distribution.sample(seed=0).shape == (2, 3, 2)
    assert distribution.log_prob(x).shape == (5, 2, 3)
    assert distribution.log_prob(x[0, 0, 0]).shape == (2, 3)
    assert distribution.mean().shape == distribution.stddev().shape == (2, 3, 2)


def test_parameters_broadcast_over_the_batch():
    logits, loc, log_scale, coefficients = PIXEL
    logits, coefficients = np.stack([logits] * 2), np.stack([coefficients, -coefficients])
    shared = DiscretizedLogisticMixture(logits, loc, log_scale, coefficients)
    repeated = DiscretizedLogisticMixture(
        logits, np.stack([loc] * 2), np.stack([log_scale] * 2), coefficients
    )
    assert shared.batch_shape == (2,)
    x = shared.sample(4, seed=[1, 2])
    np.testing.assert_allclose(x, repeated.sample(4, seed=[1, 2]), rtol=1e-12)
    np.testing.assert_allclose(shared.log_prob(x), repeated.log_prob(x), rtol=1e-12)
    np.testing.assert_allclose(shared.mean(), repeated.mean(), rtol=1e-12)
    np.testing.assert_allclose(shared.variance(), repeated.variance(), rtol=1e-12)


@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["graph", "xla"]
)
def test_graph_of_unknown_batch_size_and_xla_give_the_eager_values(jit_compile):
    given = [np.stack([p, p + 0.1, p - 0.1]).astype(np.float32) for p in PIXEL]
    batch = 3 if jit_compile else None

    @tf.function(
        input_signature=[tf.TensorSpec([batch, *p.shape[1:]]) for p in given]
        + [tf.TensorSpec([batch, 2])],
        jit_compile=jit_compile,
    )
    def evaluate(*args):
        distribution = DiscretizedLogisticMixture(*args[:-1])
        assert distribution.event_shape == (2,)
        x = distribution.sample(7, seed=[1, 2])
        return distribution.log_prob(args[-1]), distribution.mean(), distribution.stddev(), x

    x = GREY[np.array([[0, 1], [30, 255], [254, 7]])].astype(np.float32)
    log_prob, mean, stddev, samples = evaluate(*given, x)
    eager = DiscretizedLogisticMixture(*given)
    np.testing.assert_allclose(log_prob, eager.log_prob(x), rtol=1e-4)
    np.testing.assert_allclose(mean, eager.mean(), atol=1e-5)
    np.testing.assert_allclose(stddev, eager.stddev(), atol=1e-5)
    assert samples.shape == (7, 3, 2) and np.all(np.isfinite(eager.log_prob(samples)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"log_scale": np.zeros((1, 3))}, r"log_scale must end in \(2, 3\) .* got shape \(1, 3\)"),
        ({"coefficients": np.zeros((2, 3))}, r"coefficients must end in \(1, 3\) for 3 components"),
        ({"logits": np.zeros(4)}, r"loc must end in \(2, 4\) for 4 components and 2 channels"),
        ({"loc": np.zeros(3)}, r"loc must have known last axes \[C, K\], got shape \(3,\)"),
    ],
)
def test_parameters_that_do_not_fit_are_rejected(changed, message):
    given = dict(zip(("logits", "loc", "log_scale", "coefficients"), PIXEL, strict=True))
    with pytest.raises(ValueError, match=message):
        DiscretizedLogisticMixture(**{**given, **changed})
