import math

import numpy as np
import pytest
import scipy.stats

from tests._models import IMAGE_SHAPE, images, set_weights, tiny_vae
from tf_sigma_vae.evaluation import bits
from tf_sigma_vae.likelihoods import GaussianFixed

# Both are computed in float64 from float32 means; far in the tails SciPy's difference is coarser.
ORACLE_TOLERANCE = 1e-5
# Of the Gaussian's peak over residuals of at most one, (1 / 100)^2 / 2 nats.
FLATNESS = 1e-4
NUM_DIMS = math.prod(IMAGE_SHAPE)


def inner_levels(num_examples, seed=0):
    """Images without the two end levels, whose bins hold the open tails."""
    levels = np.random.default_rng(seed).integers(1, 255, size=(num_examples, *IMAGE_SHAPE))
    return (levels / 255.0).astype(np.float32)


def vae(scale):
    return set_weights(tiny_vae(GaussianFixed(scale=scale)))


def test_mass_is_the_rate_and_the_difference_of_the_normal_cdf():
    model, x = vae(0.3), images(4)
    output = model(x)
    level = np.rint(x * 255.0)
    loc = output.likelihood.mean().numpy().astype(np.float64)
    lower = np.where(level == 0, -np.inf, level / 256.0)
    upper = np.where(level == 255, np.inf, (level + 1) / 256.0)
    mass = scipy.stats.norm.cdf(upper, loc, 0.3) - scipy.stats.norm.cdf(lower, loc, 0.3)
    nats = output.rate.numpy() - np.log(mass).sum(axis=(1, 2, 3))
    expected = nats / (NUM_DIMS * math.log(2.0))
    np.testing.assert_allclose(bits.by_mass(model, output, x), expected, rtol=ORACLE_TOLERANCE)


def test_a_huge_scale_costs_eight_bits_and_its_own_width():
    # The density is flat over all bins: 8 bits, and log2 of the width that the mass is spread over.
    model, x = vae(100.0), inner_levels(4)
    output = model(x)
    rate_bits = output.rate.numpy() / (NUM_DIMS * math.log(2.0))
    expected = 8.0 + math.log2(100.0 * math.sqrt(2.0 * math.pi)) + rate_bits
    np.testing.assert_allclose(bits.by_mass(model, output, x), expected, atol=FLATNESS)
    np.testing.assert_allclose(bits.by_density(model, output, x), expected, atol=FLATNESS)


def test_the_density_of_a_uniform_likelihood_costs_eight_bits():
    model, x = vae(1.0), images(3)
    output = model(x)._replace(rate=np.zeros(3), distortion=np.zeros(3))
    np.testing.assert_array_equal(bits.by_density(model, output, x), np.full(3, 8.0))


def test_the_density_is_that_of_the_elbo():
    model, x = vae(0.3), images(4)
    output = model(x)
    nats = output.rate.numpy() + output.distortion.numpy() + NUM_DIMS * math.log(256.0)
    expected = nats / (NUM_DIMS * math.log(2.0))
    np.testing.assert_allclose(bits.by_density(model, output, x), expected, rtol=ORACLE_TOLERANCE)


@pytest.mark.parametrize("measure", ["mass", None])
def test_what_is_no_density_has_no_bits_by_density(monkeypatch, measure):
    model, x = vae(1.0), images(3)
    output = model(x)
    monkeypatch.setattr(type(model.likelihood), "measure", measure)
    with pytest.raises(ValueError, match="GaussianFixed has the measure"):
        bits.by_density(model, output, x)
