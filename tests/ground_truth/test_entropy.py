"""The entropy of 8-bit data is the floor of bits/dim by mass, reached when the head is the truth.

The data are the grey levels of a known law, `k = floor(256 x)` with the tails in the end levels. A
head with that very law spends their entropy, in the mean over the levels exactly; any other spends
more, by the divergence (Shannon 1948, Gibbs's inequality).
"""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tf_sigma_vae import likelihoods, objectives, plugins

RAW_LOC = {"middle": 0.3, "border": -4.0}
SCALES = [0.004, 0.05, 0.5]
# TFP's tail of the normal CDF has the relative error 4e-9.
EXACT = 1e-7
# Bits, of the quadrature over a variance shared by one dimension.
QUADRATURE = 5e-6
NUM_SAMPLES = 4000
# Of five means: a correct head leaves one of the intervals in less than 1e-6 runs.
NUM_STANDARD_ERRORS = 5.5
CONCENTRATION, DEGREES_OF_FREEDOM = 4.0, 5.0
LEVELS = np.arange(256)


def _calibrated(likelihood, scale):
    likelihood.calibrate(np.full(2, scale**2), num_dims=1, step=0)
    return likelihood


def _per_image(scale):
    likelihood = _calibrated(likelihoods.GaussianOptimalPerImage(), scale)
    likelihood.concentration.assign(CONCENTRATION)
    likelihood.inverse_gamma_scale.assign((CONCENTRATION - 1.0) * scale**2)
    return likelihood


def _inverse_gamma(scale):
    return likelihoods.GaussianInverseGamma("trained", scale, floor=1e-6)


# Of the standard deviation: the likelihood, and the params beside the location.
HEADS = {
    "gaussian_fixed": lambda s: (likelihoods.GaussianFixed(s), []),
    "gaussian_shared": lambda s: (likelihoods.GaussianShared(s), []),
    "gaussian_per_channel": lambda s: (likelihoods.GaussianPerChannel(s), []),
    "gaussian_per_pixel": lambda s: (likelihoods.GaussianPerPixel(-30.0, 30.0), [np.log(s)]),
    "gaussian_optimal": lambda s: (
        _calibrated(likelihoods.GaussianOptimal(bound="none"), s),
        [],
    ),
    "gaussian_optimal_per_image": lambda s: (_per_image(s), []),
    "gaussian_inverse_gamma": lambda s: (_inverse_gamma(s), []),
    "student_t": lambda s: (
        likelihoods.StudentT(-30.0, 30.0, 2.0001, 1000.0),
        [
            np.log(s * np.sqrt(1.0 - 2.0 / DEGREES_OF_FREEDOM)),
            np.log(DEGREES_OF_FREEDOM - 2.0),
        ],
    ),
}
SHARED_VARIANCE = ("gaussian_optimal_per_image", "gaussian_inverse_gamma")


def _distribution(name, raw_loc, scale, num=256):
    likelihood, others = HEADS[name](scale)
    params = np.tile(np.array([raw_loc, *others], np.float32), (num, 1, 1, 1))
    return likelihood, likelihood.distribution(params)


def _law(distribution):
    """The same law by SciPy, of the parameters as they are in float32."""

    def number(value):
        return float(np.ravel(value)[0])

    if hasattr(distribution, "concentration"):
        a, b = number(distribution.concentration), number(distribution.scale)
        return scipy.stats.t(2.0 * a, number(distribution.loc), np.sqrt(b / a))
    element = distribution.distribution
    if hasattr(element, "df"):
        return scipy.stats.t(number(element.df), number(element.loc), number(element.scale))
    return scipy.stats.norm(number(element.loc), number(element.scale))


def _level_probabilities(law):
    """Probability of each grey level, by the tail in which it is small, `[256]`."""
    edges = LEVELS[1:] / 256
    below, above = law.cdf(edges), law.sf(edges)
    lower = np.diff(below, prepend=0.0, append=1.0)
    upper = -np.diff(above, prepend=1.0, append=0.0)
    return np.where(np.append(below, 1.0) < 0.5, lower, upper)


def _bits(likelihood, distribution, levels):
    """Bits/dim of one-pixel images of the given levels, `[N]`."""
    x = (levels / 255).astype(np.float32).reshape(-1, 1, 1, 1)
    log_mass = likelihood.bin_log_mass(distribution, x)
    return objectives.bits_per_dim(-log_mass, 1, "mass").numpy()


def _mean_bits(probabilities, likelihood, distribution):
    known = probabilities > 0
    return np.sum((probabilities * _bits(likelihood, distribution, LEVELS))[known])


def _entropy(probabilities):
    known = probabilities[probabilities > 0]
    return -np.sum(known * np.log2(known))


def test_every_density_is_here():
    names = plugins.names("likelihoods")
    densities = {n for n in names if plugins.find("likelihoods", n).measure == "density"}
    # `mse` is `gaussian_fixed` with a scale that nobody chooses.
    assert densities - {"mse"} == set(HEADS)


@pytest.mark.parametrize(
    ("name", "place", "scales"),
    [
        *(
            (name, place, SCALES)
            for name in HEADS
            for place in RAW_LOC
            if name not in SHARED_VARIANCE
        ),
        # A quadrature for each level.
        *((name, "middle", SCALES[1:2]) for name in SHARED_VARIANCE),
        *(
            pytest.param(name, place, SCALES, marks=pytest.mark.slow)
            for name in SHARED_VARIANCE
            for place in RAW_LOC
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_true_parameters_spend_the_entropy_of_the_levels(name, place, scales):
    for scale in scales:
        likelihood, distribution = _distribution(name, RAW_LOC[place], scale)
        probabilities = _level_probabilities(_law(distribution))
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)
        excess = _mean_bits(probabilities, likelihood, distribution) - _entropy(probabilities)
        assert abs(excess) < (QUADRATURE if name in SHARED_VARIANCE else EXACT)


@pytest.mark.parametrize(
    "name",
    [
        "gaussian_per_pixel",
        "student_t",
        # A quadrature for each level: their true parameters are tried always.
        *(pytest.param(name, marks=pytest.mark.slow) for name in SHARED_VARIANCE),
    ],
)
def test_wrong_parameters_spend_more(name):
    raw_loc, scale = RAW_LOC["middle"], 0.03
    probabilities = _level_probabilities(_law(_distribution(name, raw_loc, scale)[1]))
    entropy = _entropy(probabilities)
    wrong = [(raw_loc + shift, scale) for shift in (-0.15, 0.1)]
    wrong += [(raw_loc, factor * scale) for factor in (0.5, 0.8, 1.25, 3.0)]
    for parameters in wrong:
        excess = _mean_bits(probabilities, *_distribution(name, *parameters)) - entropy
        # The divergence of a scale off by 25 % is 0.03 bits and more.
        assert excess > 0.01


@pytest.mark.parametrize("name", ["gaussian_per_pixel", "student_t"])
@pytest.mark.parametrize("place", RAW_LOC)
def test_quantized_samples_spend_the_entropy_within_their_standard_error(name, place):
    likelihood, distribution = _distribution(name, RAW_LOC[place], 0.04, NUM_SAMPLES)
    law, rng = _law(distribution), np.random.default_rng(1)
    loc, scale = law.args[-2:]
    is_normal = name == "gaussian_per_pixel"
    noise = rng.normal(size=NUM_SAMPLES) if is_normal else rng.standard_t(law.args[0], NUM_SAMPLES)
    levels = np.clip(np.floor(256 * (loc + scale * noise)), 0, 255)
    bits = _bits(likelihood, distribution, levels)
    error = bits.mean() - _entropy(_level_probabilities(law))
    assert abs(error) < NUM_STANDARD_ERRORS * bits.std() / np.sqrt(NUM_SAMPLES)


def test_levels_drawn_by_the_head_itself_follow_the_law():
    likelihood, distribution = _distribution("gaussian_fixed", 0.3, 0.04, NUM_SAMPLES)
    drawn = np.clip(np.floor(256 * tf.squeeze(distribution.sample(seed=[1, 2])).numpy()), 0, 255)
    bits = _bits(likelihood, distribution, drawn)
    error = bits.mean() - _entropy(_level_probabilities(_law(distribution)))
    assert abs(error) < NUM_STANDARD_ERRORS * bits.std() / np.sqrt(NUM_SAMPLES)
