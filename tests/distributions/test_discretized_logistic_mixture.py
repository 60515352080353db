import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae.distributions import DiscretizedLogisticMixture

tfd = tfp.distributions

GREY = np.arange(256) / 255.0
BATCH, CHANNELS, COMPONENTS = 4, 3, 5
FLOOR, CEILING = -7.7, 0.0
# Sums of 256 rounded masses.
FLOAT64 = 1e-11
# float32 rounds standardized edges of some 1e3 at the floor of the scale.
FLOAT32 = 2e-4


def parameters(channels=CHANNELS, batch=(BATCH,), components=COMPONENTS, seed=0, coupled=True):
    """Float64 `logits`, `loc`, `log_scale` and `coefficients` of all sizes that occur."""
    rng = np.random.default_rng(seed)
    logits = 2.0 * rng.normal(size=(*batch, components))
    loc = rng.uniform(-0.2, 1.2, size=(*batch, channels, components))
    log_scale = rng.uniform(-6.0, -1.0, size=loc.shape)
    pairs = channels * (channels - 1) // 2
    coefficients = rng.uniform(-1.0, 1.0, size=(*batch, pairs, components))
    return logits, loc, log_scale, coefficients if coupled and pairs else None


def logistic_masses(loc, log_scale):
    """Masses of the 256 levels, from SciPy's distribution, on the side where they are small."""
    logistic = scipy.stats.logistic(loc, np.exp(log_scale))
    edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 255, [np.inf]])
    below = np.diff(logistic.cdf(edges))
    above = -np.diff(logistic.sf(edges))
    return np.where(edges[1:] < loc, below, above)


def log_prob_of(levels, logits, loc, log_scale, coefficients):
    """Oracle for one pixel: `levels` `[C]`, the parameters without batch axes."""
    total = np.log(scipy.special.softmax(logits))
    for i in range(len(logits)):
        pair = 0
        for c in range(len(levels)):
            location = loc[c, i]
            for before in range(c if coefficients is not None else 0):
                location += coefficients[pair, i] * (levels[before] / 255 - 0.5)
                pair += 1
            total[i] += np.log(logistic_masses(location, log_scale[c, i])[levels[c]])
    return scipy.special.logsumexp(total)


def float32(values):
    return [None if v is None else v.astype(np.float32) for v in values]


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_log_prob_is_that_of_scipys_logistics(channels, coupled):
    given = parameters(channels, coupled=coupled)
    rng = np.random.default_rng(1)
    levels = rng.choice([0, 1, 100, 180, 254, 255], size=(BATCH, channels))
    log_prob = DiscretizedLogisticMixture(*given).log_prob(levels / 255.0)
    expected = [
        log_prob_of(level, *(None if p is None else p[i] for p in given))
        for i, level in enumerate(levels)
    ]
    np.testing.assert_allclose(log_prob, expected, rtol=1e-9)


@pytest.mark.parametrize("logits", [(0.0, 40.0), (40.0, 0.0)])
def test_masses_of_the_256_levels_sum_to_one(logits):
    loc, log_scale = np.meshgrid(
        [-1e3, -3.0, 0.0, 0.5, 100.5 / 255, 1.0, 3.0, 1e3], [-30.0, FLOOR, -4.0, CEILING, 10.0]
    )
    # The second component is as narrow as can be, wherever the first one is.
    loc, log_scale = (
        np.stack([v, np.full_like(v, other)], axis=-1)[..., np.newaxis, :]
        for v, other in ((loc, 0.3), (log_scale, -40.0))
    )
    distribution = DiscretizedLogisticMixture(np.array(logits), loc, log_scale)
    log_mass = distribution.log_prob(GREY[:, None, None, None]).numpy()
    assert log_mass.shape == (256, 5, 8)
    assert np.all(np.isfinite(log_mass)) and np.all(log_mass <= 0.0)
    np.testing.assert_allclose(np.exp(log_mass).sum(axis=0), 1.0, rtol=0, atol=FLOAT64)


@pytest.mark.parametrize("log_scale", [FLOOR, CEILING])
def test_masses_of_all_pairs_of_two_coupled_channels_sum_to_one(log_scale):
    logits, loc, _, coefficients = parameters(2, batch=(), components=3)
    pairs = np.stack(np.meshgrid(GREY, GREY, indexing="ij"), axis=-1)
    distribution = DiscretizedLogisticMixture(
        logits, loc, np.full(loc.shape, log_scale), coefficients
    )
    masses = np.exp(distribution.log_prob(pairs).numpy())
    assert masses.shape == (256, 256)
    assert masses.sum() == pytest.approx(1.0, abs=FLOAT64)
    # Coupled: the joint masses are not the product of their margins.
    product = masses.sum(axis=1, keepdims=True) * masses.sum(axis=0, keepdims=True)
    assert np.abs(masses - product).sum() > 1e-3


def test_coupling_leaves_a_pixel_alone_where_the_first_channel_is_the_middle():
    logits, loc, log_scale, coefficients = parameters(2, components=1)
    coupled = DiscretizedLogisticMixture(logits, loc, log_scale, coefficients)
    uncoupled = DiscretizedLogisticMixture(logits, loc, log_scale)
    shifted = DiscretizedLogisticMixture(logits, loc, log_scale, np.ones_like(coefficients))
    for level in (127, 128):
        x = np.array([level, 30]) / 255.0
        lifted = loc + np.array([[0.0], [1.0]]) * (level / 255 - 0.5)
        expected = DiscretizedLogisticMixture(logits, lifted, log_scale).log_prob(x)
        np.testing.assert_allclose(shifted.log_prob(x), expected, rtol=1e-12)
    x = np.array([250, 30]) / 255.0
    assert np.all(np.abs(coupled.log_prob(x) - uncoupled.log_prob(x)) > 1e-3)


def test_zero_coefficients_are_independent_channels_in_a_component():
    logits, loc, log_scale, coefficients = parameters()
    zero = DiscretizedLogisticMixture(logits, loc, log_scale, 0.0 * coefficients)
    none = DiscretizedLogisticMixture(logits, loc, log_scale)
    x = GREY[np.array([[0, 255, 3]] * BATCH)]
    np.testing.assert_allclose(zero.log_prob(x), none.log_prob(x), rtol=1e-12)
    single = DiscretizedLogisticMixture(np.zeros((BATCH, 1)), loc[..., :1], log_scale[..., :1])
    by_channel = [
        DiscretizedLogisticMixture(
            np.zeros((BATCH, 1)), loc[:, c : c + 1, :1], log_scale[:, c : c + 1, :1]
        ).log_prob(x[:, c : c + 1])
        for c in range(CHANNELS)
    ]
    np.testing.assert_allclose(single.log_prob(x), np.sum(by_channel, axis=0), rtol=1e-12)


@pytest.mark.parametrize(("level", "loc"), [(40, 0.5), (200, 0.5), (0, 0.4), (255, 0.6)])
def test_float32_keeps_the_relative_precision_of_masses_of_1e_30(level, loc):
    # 70 scales from the location to the nearer edge of the bin.
    scale = (abs(level - 255 * loc) - 0.5) / 255 / 70
    args = np.zeros([1]), np.array([[loc]]), np.array([[np.log(scale)]])
    single = DiscretizedLogisticMixture(*float32(args)).log_prob(np.float32([level / 255]))
    double = DiscretizedLogisticMixture(*args).log_prob([level / 255])
    assert -72.0 < float(double) < -69.0
    expected = np.log(logistic_masses(loc, np.log(scale))[level])
    assert float(double) == pytest.approx(expected, rel=1e-9)
    assert float(single) == pytest.approx(expected, abs=FLOAT32)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_log_mass_is_linear_in_the_distance_far_out(side):
    scale = np.exp(FLOOR)
    loc = tf.constant([[0.5 + 50.5 * side]])
    x = GREY[:, None].astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(loc)
        log_mass = DiscretizedLogisticMixture([0.0], loc, [[FLOOR]]).log_prob(x)
        middle = log_mass[100]
    # float32 rounds log-masses of 1e5 by 0.01 each.
    slope = side / (255 * scale)
    np.testing.assert_allclose(np.diff(log_mass)[1:-1], slope, atol=0.05)
    distance = abs(100 / 255 - float(loc[0, 0])) - 0.5 / 255
    assert float(middle) == pytest.approx(-distance / scale, rel=1e-6)
    # The pull towards the value does not weaken with the distance.
    assert float(tape.gradient(middle, loc)[0, 0]) == pytest.approx(-side / scale, rel=1e-5)


def test_values_are_scored_at_the_nearest_grey_level():
    distribution = DiscretizedLogisticMixture(*parameters(1, coupled=False))
    exact = distribution.log_prob([[37 / 255]])
    np.testing.assert_array_equal(distribution.log_prob([[37.3 / 255]]), exact)
    np.testing.assert_array_equal(
        distribution.log_prob([[1.01]]), distribution.log_prob([[255 / 255]])
    )


@pytest.mark.parametrize("levels", [(0, 255, 128), (255, 0, 3)])
def test_gradients_equal_finite_differences(levels):
    given = parameters(batch=())
    x = GREY[list(levels)]

    def log_prob(*args):
        return DiscretizedLogisticMixture(*args).log_prob(x)

    tensors = [tf.constant(p) for p in given]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = log_prob(*tensors)
    step = 1e-6
    for i, gradient in enumerate(tape.gradient(value, tensors)):
        # A row for each element that is moved.
        shifts = step * np.eye(given[i].size).reshape(-1, *given[i].shape)
        up, down = (
            log_prob(*[p + sign * shifts if j == i else p for j, p in enumerate(given)]).numpy()
            for sign in (1.0, -1.0)
        )
        numeric = ((up - down) / (2 * step)).reshape(given[i].shape)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-6)


def test_float32_values_and_gradients_are_finite_at_extremes():
    cases = np.float32(
        list(
            itertools.product(
                [-100.0, 0.0, 0.5, 1.0, 100.0],
                [-30.0, FLOOR, CEILING, 20.0],
                [0.0, 1 / 255, 127 / 255, 254 / 255, 1.0],
            )
        )
    )
    loc, log_scale, first = cases.T
    half, fifth, last = (np.full_like(loc, v) for v in (0.5, 0.2, 1.0))
    given = [
        tf.tile([[40.0, -40.0]], [len(cases), 1]),
        tf.constant(np.stack([np.stack([loc, half], 1), np.stack([fifth, loc], 1)], axis=1)),
        tf.constant(np.broadcast_to(log_scale[:, None, None], (len(cases), 2, 2)).copy()),
        tf.tile([[[-1.0, 1.0]]], [len(cases), 1, 1]),
    ]
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = DiscretizedLogisticMixture(*given).log_prob(np.stack([first, last], axis=1))
    assert value.shape == (100,)
    assert np.all(np.isfinite(value)) and np.all(value <= 0.0)
    gradients = tape.gradient(value, given)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_huge_scale_puts_half_of_the_mass_in_each_end_bin():
    distribution = DiscretizedLogisticMixture(
        np.zeros(1), np.full((1, 1), 0.5), np.full((1, 1), 12.0)
    )
    mass = np.exp(distribution.log_prob(GREY[:, None]).numpy())
    np.testing.assert_allclose(mass[[0, 255]], 0.5, atol=1e-5)
    # The inner ones are equal: the density is flat across the range.
    np.testing.assert_allclose(mass[1:255], 1 / (4 * 255 * np.exp(12.0)), rtol=1e-6)
