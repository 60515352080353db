import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import tensorflow as tf

from tests._models import images
from tf_sigma_vae import likelihoods, objectives

BATCH, CHANNELS = 3, 2
FLOAT32 = 2e-5
SUM_TOLERANCE = 1e-9
LEVELS = np.arange(256)


def _softplus(value):
    return np.logaddexp(0.0, value)


def _soft_clip(value, low, high):
    value = high - _softplus(high - value)
    return low + _softplus(value - low)


def _params(seed=1, channels=CHANNELS, spread=2.0):
    size = (BATCH, 4, 6, 3 * channels)
    return np.random.default_rng(seed).normal(scale=spread, size=size).astype(np.float32)


def _constant_params(loc, log_scale, log_excess, num=1):
    """Params `[num, 1, 1, 3]` of one-pixel images."""
    row = np.array([loc, log_scale, log_excess], np.float32)
    return np.tile(row, (num, 1, 1, 1))


def _elements(likelihood, params):
    """df, loc and scale of the distribution as float64 arrays."""
    elements = likelihood.distribution(params).distribution
    return [np.asarray(v, np.float64) for v in (elements.df, elements.loc, elements.scale)]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_channels_are_locations_then_log_scales_then_degrees_of_freedom(channels):
    likelihood = likelihoods.StudentT()
    assert likelihood.params_channels(channels) == 3 * channels
    x, params = images(BATCH, (4, 6, channels)), _params(channels=channels)
    raw = np.split(params.astype(np.float64), 3, axis=-1)
    loc = 1.0 / (1.0 + np.exp(-raw[0]))
    scale = np.exp(_soft_clip(raw[1], -6.0, 0.0))
    df = 2.0 + np.exp(_soft_clip(raw[2], np.log(0.1), np.log(98.0)))
    distribution = likelihood.distribution(params)
    expected = scipy.stats.t.logpdf(x.astype(float), df, loc, scale).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(distribution.log_prob(x), expected, rtol=1e-4)
    np.testing.assert_allclose(distribution.mean(), loc, rtol=FLOAT32)
    log_stddev = np.log(scale * np.sqrt(df / (df - 2.0))).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(likelihood.log_scale(distribution), log_stddev, rtol=1e-4)
    assert likelihood.measure == "density"


@pytest.mark.parametrize("raw_df", [-5.0, 0.0, 5.0])
def test_density_integrates_to_one(raw_df):
    likelihood = likelihoods.StudentT(loc_activation="linear")
    # Integrated over u, with x = loc + scale sinh(u), which reaches 1e4 scales.
    u = np.linspace(-10.0, 10.0, 2001)
    params = _constant_params(0.3, -2.0, raw_df, num=len(u))
    scale = _elements(likelihood, params[:1])[2].item()
    x = (0.3 + scale * np.sinh(u)).astype(np.float32).reshape(-1, 1, 1, 1)
    density = np.exp(likelihood.distribution(params).log_prob(x).numpy().astype(float))
    integral = scipy.integrate.simpson(density * scale * np.cosh(u), x=u)
    assert integral == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("raw", [-1e4, 1e4])
def test_scale_and_degrees_of_freedom_stay_inside_their_bounds(raw):
    likelihood = likelihoods.StudentT(-4.0, 1.0, 2.5, 40.0)
    df, _, scale = _elements(likelihood, np.full((1, 1, 1, 3), raw, np.float32))
    # The lower clip comes last and lifts the upper bound by softplus(width) - width.
    log_scale = -4.0 if raw < 0 else -4.0 + _softplus(5.0)
    width = np.log(38.0 / 0.5)
    log_excess = np.log(0.5) + (0.0 if raw < 0 else _softplus(width))
    np.testing.assert_allclose(np.log(scale), log_scale, atol=1e-4)
    np.testing.assert_allclose(df, 2.0 + np.exp(log_excess), rtol=1e-4)
    assert np.isfinite(likelihood.distribution(np.full((1, 1, 1, 3), raw)).stddev().numpy())


def test_masses_are_finite_and_sum_to_one_at_every_corner():
    likelihood = likelihoods.StudentT()
    corners = itertools.product((-1e3, 0.1, 1e3), (-1e3, 1e3), (-1e3, 1e3))
    params = np.concatenate([_constant_params(*corner, num=256) for corner in corners])
    x = np.tile((LEVELS / 255).astype(np.float32), 12).reshape(-1, 1, 1, 1)
    log_mass = likelihood.bin_log_mass(likelihood.distribution(params), x).numpy()
    assert np.all(np.isfinite(log_mass)) and np.all(log_mass <= 0.0)
    sums = scipy.special.logsumexp(log_mass.reshape(12, 256), axis=1)
    assert np.max(np.abs(sums)) < SUM_TOLERANCE


@pytest.mark.parametrize("raw", [-50.0, 50.0])
def test_gradients_at_the_extremes_are_finite(raw):
    likelihood = likelihoods.StudentT()
    x = images(BATCH, (4, 6, CHANNELS))
    params = tf.Variable(np.full((BATCH, 4, 6, 3 * CHANNELS), raw, np.float32))
    with tf.GradientTape() as tape:
        log_prob = likelihood.distribution(params).log_prob(x)
    gradient = tape.gradient(log_prob, params).numpy()
    assert np.all(np.isfinite(log_prob.numpy())) and np.all(np.isfinite(gradient))


def test_gradients_equal_finite_differences():
    # Spread 1, in float32: the sum over 48 elements is good to some 1e-5, a step of 1e-2 to 1e-4.
    step, tolerance = 1e-2, 5e-3
    likelihood, x = likelihoods.StudentT(), images(BATCH)
    params = tf.Variable(_params(spread=1.0))
    with tf.GradientTape() as tape:
        log_prob = likelihood.distribution(params).log_prob(x)
    gradient = tape.gradient(log_prob, params).numpy()
    rng = np.random.default_rng(3)
    for _ in range(6):
        index = (slice(None), *(rng.integers(0, size) for size in (4, 6, 3 * CHANNELS)))
        nearby = []
        for sign in (-1.0, 1.0):
            moved = params.numpy()
            moved[index] += sign * step
            nearby.append(likelihood.distribution(moved).log_prob(x).numpy().astype(float))
        difference = (nearby[1] - nearby[0]) / (2 * step)
        np.testing.assert_allclose(gradient[index], difference, rtol=tolerance, atol=tolerance)


def test_quantized_samples_follow_the_bin_masses():
    likelihood, num = likelihoods.StudentT(), 20_000
    # Location 0.05: a good part of the mass lies in the open bin 0.
    distribution = likelihood.distribution(_constant_params(-2.94, -3.0, 0.0))
    samples = distribution.sample(num, seed=[3, 4]).numpy().ravel()
    counts = np.bincount(np.clip(np.floor(256 * samples), 0, 255).astype(int), minlength=256)
    params = _constant_params(-2.94, -3.0, 0.0, num=256)
    x = (LEVELS / 255).astype(np.float32).reshape(-1, 1, 1, 1)
    expected = num * np.exp(likelihood.bin_log_mass(likelihood.distribution(params), x).numpy())
    assert counts[0] > 1000
    # Neighboring levels together, so that ten are expected in each group.
    group = np.floor(np.cumsum(expected) / 10.0).astype(int)
    observed, theory = (np.bincount(group, v) for v in (counts, expected))
    kept = theory > 0
    theory *= num / theory.sum()
    # A correct sampler fails in less than one of 1e6 runs.
    assert scipy.stats.chisquare(observed[kept], theory[kept]).pvalue > 1e-6


@pytest.mark.parametrize(("log_scale", "gap"), [(-5.5, None), (-2.5, 3e-3), (-1.5, 4e-4)])
def test_bits_per_dim_by_mass_and_by_density_meet_as_the_scale_grows(log_scale, gap):
    likelihood, num = likelihoods.StudentT(), 4000
    params = _constant_params(0.0, log_scale, 5.0, num=num)
    rng = np.random.default_rng(5)
    # Levels far from the open bins, spread uniformly inside their bins.
    levels = rng.integers(100, 156, size=(num, 1, 1, 1))
    dequantized = ((levels + rng.uniform(size=levels.shape)) / 256).astype(np.float32)
    distribution = likelihood.distribution(params)
    by_mass = objectives.bits_per_dim(
        -likelihood.bin_log_mass(distribution, (levels / 255).astype(np.float32)), 1, "mass"
    )
    nll = -tf.cast(distribution.log_prob(dequantized), tf.float64)
    by_density = objectives.bits_per_dim(nll, 1, "density")
    difference = (by_density - by_mass).numpy()
    standard_error = difference.std() / np.sqrt(num)
    if gap is None:
        # A scale of one grey level: the density pays for what it cannot know inside the bin.
        assert difference.mean() > 0.01
    else:
        assert abs(difference.mean()) < gap + 5.5 * standard_error


def test_at_the_most_degrees_of_freedom_it_is_close_to_a_gaussian():
    likelihood, x = likelihoods.StudentT(), images(BATCH)
    params = _params(spread=1.0)
    params[..., 2 * CHANNELS :] = 50.0
    df, loc, scale = _elements(likelihood, params)
    assert np.all(df == pytest.approx(100.1, abs=0.1))
    z = np.random.default_rng(0).normal(size=loc.shape)
    x = (loc + scale * z).astype(np.float32)
    gaussian = scipy.stats.norm.logpdf(x, loc, scale * np.sqrt(df / (df - 2.0)))
    log_prob = likelihood.distribution(params).log_prob(x).numpy()
    # Within 3 scales the two log-densities differ by less than 0.03 nats.
    assert np.max(np.abs(log_prob - gaussian.sum(axis=(1, 2, 3)))) < 0.03 * 48
    fewer = likelihood.distribution(np.concatenate([params[..., :4], 0 * params[..., 4:]], -1))
    assert np.min(np.abs(fewer.log_prob(x).numpy() - gaussian.sum(axis=(1, 2, 3)))) > 0.03 * 48


def test_an_outlier_costs_the_logarithm_of_its_error():
    likelihood = likelihoods.StudentT(loc_activation="linear")
    params = _constant_params(0.0, -4.0, 0.0, num=2)
    df = _elements(likelihood, params)[0].ravel()[0]
    x = np.array([100.0, 1000.0], np.float32).reshape(2, 1, 1, 1)
    log_prob = likelihood.distribution(params).log_prob(x).numpy()
    assert log_prob[0] - log_prob[1] == pytest.approx((df + 1.0) * np.log(10.0), rel=1e-4)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_low_precision_params_give_a_float32_distribution(dtype):
    params = tf.cast(_params(), dtype)
    log_prob = likelihoods.StudentT(dtype="mixed_bfloat16").distribution(params).log_prob(images(3))
    exact = likelihoods.StudentT().distribution(tf.cast(params, tf.float32)).log_prob(images(3))
    assert log_prob.dtype == tf.float32
    np.testing.assert_allclose(log_prob, exact, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"log_scale_min": 0.0}, "log_scale_min must be a number below log_scale_max"),
        ({"log_scale_max": "0"}, "log_scale_min must be a number below log_scale_max"),
        ({"log_scale_min": -np.inf}, "log_scale_min must be a number below log_scale_max"),
        ({"df_min": 2.0}, "df_min must be above 2, .* got 2.0"),
        ({"df_min": 50.0, "df_max": 20.0}, "df_min must be a number below df_max"),
        ({"df_max": 2000.0}, "df_max must be at most 1000, got 2000.0"),
        ({"loc_activation": "tanh"}, "got 'tanh'"),
    ],
)
def test_wrong_options_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        likelihoods.StudentT(**options)


def test_config_round_trip_keeps_the_bounds():
    likelihood = likelihoods.StudentT(-3.0, 2.0, 2.5, 40.0, loc_activation="linear")
    config = likelihoods.StudentT.from_config(likelihood.get_config()).get_config()
    names = ("log_scale_min", "log_scale_max", "df_min", "df_max", "loc_activation")
    assert [config[name] for name in names] == [-3.0, 2.0, 2.5, 40.0, "linear"]
    assert likelihood.value_range is None and likelihoods.StudentT().value_range == (0.0, 1.0)
    assert likelihood.provenance() == {"source": "network"}


def test_params_that_are_no_triples_are_refused():
    with pytest.raises(ValueError, match=r"3 channels for each channel, got \(2, 4, 6, 4\)"):
        likelihoods.StudentT().distribution(np.zeros([2, 4, 6, 4], np.float32))
