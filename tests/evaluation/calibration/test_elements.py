import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tests._models import images
from tf_sigma_vae import distributions
from tf_sigma_vae.evaluation.calibration import elements

tfd = tfp.distributions

SHAPE = (3, 4, 2)
LEVELS = np.arange(256)
# float64 sums of 256 terms.
FLOAT64 = 1e-10


def _figures(distribution, x, seed=0, is_density=False, over_levels=True):
    @tf.function(autograph=False)
    def figures(x):
        cdf = distributions.grey_level_cdf(distribution, x)
        return elements.figures(cdf, distribution, x, v, is_density, over_levels)

    v = elements.draws(tf.constant(x), seed)
    return {name: value.numpy() for name, value in figures(tf.constant(x)).items()}


def test_crps_and_moments_of_a_mass_are_its_expectations():
    x = images(2, SHAPE)
    logits = 2.0 * np.random.default_rng(0).normal(size=(2, *SHAPE, 256))
    masses = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    distribution = tfd.Independent(distributions.GreyLevelCategorical(logits), 3)
    found = _figures(distribution, x)
    values, level = LEVELS / 255.0, np.round(255.0 * x).astype(float)[..., None]
    differences = np.abs(np.subtract.outer(values, values))
    crps = np.sum(masses * np.abs(values - level / 255.0), axis=-1)
    crps -= 0.5 * np.einsum("...i,ij,...j->...", masses, differences, masses)
    mean = masses @ values
    np.testing.assert_allclose(found["crps"], crps, rtol=FLOAT64)
    np.testing.assert_allclose(found["mean"], mean, rtol=FLOAT64)
    np.testing.assert_allclose(found["variance"], masses @ values**2 - mean**2, rtol=1e-8)
    np.testing.assert_allclose(found["x"], x, rtol=1e-6)


def test_mean_and_variance_of_a_density_are_its_own():
    loc, scale = np.full((2, *SHAPE), 0.4), np.full((2, *SHAPE), 2.0)
    distribution = tfd.Independent(tfd.Normal(loc, scale), 3)
    found = _figures(distribution, images(2, SHAPE), is_density=True, over_levels=False)
    np.testing.assert_allclose(found["mean"], 0.4)
    np.testing.assert_allclose(found["variance"], 4.0)
    assert "crps" not in found and "width" not in found
    # Of its grey level, most of whose mass is in the end bins, they are others.
    found = _figures(distribution, images(2, SHAPE))
    assert np.all(found["variance"] < 0.25)


def test_width_is_that_of_the_central_interval():
    scale = np.array([0.005, 0.03, 0.1, 5.0])
    normal = tfd.Normal(np.full((1, 2, 2, 1), 0.503), scale.reshape(1, 2, 2, 1))
    found = _figures(tfd.Independent(normal, 3), images(1, (2, 2, 1)), is_density=True)["width"]
    width = 2.0 * scipy.stats.norm.ppf(0.95) * scale
    # The CDF is taken as linear within a bin. The last is wider than the range.
    np.testing.assert_allclose(found.ravel()[:3], width[:3], atol=1e-3)
    assert 0.99 < found.ravel()[3] <= 1.0


def test_levels_between_two_modes_are_inside_the_interval():
    logits = np.zeros((1, 1, 2, 1, 256))
    logits[0, 0, 1] = -1000.0
    logits[0, 0, 1, :, [40, 140]] = 0.0
    distribution = tfd.Independent(distributions.GreyLevelCategorical(logits), 3)
    found = _figures(distribution, images(1, (1, 2, 1)))["width"].ravel()
    # The first is uniform. The second has 99 levels between, and of each mode nine tenths.
    np.testing.assert_allclose(found, [0.9, (99 + 2 * 0.9) / 256])


def test_pit_lies_between_the_cdfs_around_the_level_and_fills_the_interval():
    x = images(40, SHAPE, seed=3)
    loc = np.random.default_rng(1).uniform(size=x.shape)
    distribution = tfd.Independent(tfd.Normal(loc, 0.5), 3)
    found = _figures(distribution, x, is_density=True, over_levels=False)
    level = np.round(255.0 * x)
    below, through = (
        scipy.stats.norm.cdf(edge, loc, 0.5) for edge in (level / 256, (level + 1) / 256)
    )
    closed = np.where(level == 0, 0.0, below), np.where(level == 255, 1.0, through)
    for name, (low, high) in {"pit": (below, through), "pit_8bit": closed}.items():
        places = (found[name] - low) / (high - low)
        assert np.all((places > 0.0) & (places < 1.0))
        assert scipy.stats.kstest(places.ravel(), "uniform").pvalue > 1e-7
    # One draw rounds both; they are the same but at the ends.
    inner = (level > 0) & (level < 255)
    np.testing.assert_array_equal(found["pit"][inner], found["pit_8bit"][inner])


@pytest.mark.parametrize("kind", ["student_t", "marginal_gaussian"])
def test_black_and_white_have_bins_without_tails_also_of_students_t(kind):
    shape = (2, *SHAPE)
    x = np.broadcast_to(np.array([0.0, 1.0], np.float32), shape)
    if kind == "student_t":
        distribution = tfd.Independent(
            distributions.StudentT(6.0, np.full(shape, 0.1), np.full(shape, 0.5)), 3
        )
    else:
        b = np.full(2, 3.0 * 0.5**2)
        distribution = distributions.MarginalGaussian(np.full(shape, 0.1), [3.0, 3.0], b, 3)
    found = _figures(distribution, x, is_density=True, over_levels=False)
    cdf = scipy.stats.t(6.0, 0.1, 0.5).cdf
    for channel, (low, high) in enumerate([(0.0, 1 / 256), (255 / 256, 1.0)]):
        pit = found["pit"][..., channel]
        assert np.all((pit > cdf(low)) & (pit < cdf(high)))
    assert found["pit_8bit"][..., 0].min() < 0.9 * cdf(0.0)
    assert found["pit_8bit"][..., 1].max() > cdf(1.0)


def test_the_pit_of_a_mass_is_that_of_its_levels():
    distribution = tfd.Independent(
        distributions.GreyLevelCategorical(np.zeros((2, *SHAPE, 256))), 3
    )
    x = np.broadcast_to(np.array([0.0, 1.0], np.float32), (2, *SHAPE))
    found = _figures(distribution, x, over_levels=False)
    np.testing.assert_array_equal(found["pit"], found["pit_8bit"])
    assert np.all(found["pit"][..., 0] < 1 / 256) and np.all(found["pit"][..., 1] > 255 / 256)


def test_draws_of_an_image_depend_on_the_seed_and_the_image_alone():
    x = tf.constant(images(3, SHAPE))
    found = elements.draws(x, 0)
    np.testing.assert_array_equal(elements.draws(x[2:], 0), found[2:])
    assert np.min(np.abs(elements.draws(x, 1) - found)) > 0.0
    assert np.min(np.abs(found[0] - found[1])) > 0.0
