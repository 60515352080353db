"""Gaussians of a level, against TFP and against products of densities on a grid."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae.models import _levels
from tf_sigma_vae.models._levels import MERGES, Gaussian

tfd = tfp.distributions

SHAPE = (3, 2, 5, 4)
FLOAT32 = 1e-5


def gaussian(seed, spread=1.0):
    rng = np.random.default_rng(seed)
    values = [spread * rng.normal(size=SHAPE).astype(np.float32) for _ in range(2)]
    return Gaussian(*(tf.constant(value) for value in values))


def normal(g):
    return tfd.Normal(g.loc, tf.exp(g.log_scale))


@pytest.mark.parametrize("merge", MERGES)
def test_divergence_of_a_posterior_is_that_of_tfp(merge):
    prior = gaussian(1)
    posterior = _levels.merged(gaussian(0), prior, merge)
    expected = tfd.kl_divergence(normal(posterior), normal(prior))
    found = _levels.divergence(posterior, prior)
    assert found.shape == SHAPE and np.all(found >= 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=FLOAT32)


def test_log_prob_is_that_of_tfp():
    z = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    found = gaussian(0).log_prob(z)
    np.testing.assert_allclose(found, normal(gaussian(0)).log_prob(z), rtol=1e-4, atol=FLOAT32)


def test_residual_parameters_are_in_units_of_the_prior():
    given, prior = gaussian(0), gaussian(1)
    posterior = normal(_levels.merged(given, prior, "residual"))
    relative = (posterior.mean() - prior.loc) / prior.scale
    np.testing.assert_allclose(relative, given.loc, rtol=1e-4, atol=FLOAT32)
    np.testing.assert_allclose(posterior.scale / prior.scale, given.scale, rtol=1e-4)


def test_precision_weighted_posterior_is_the_product_of_both_densities():
    """log q - log given - log prior is a constant of z."""
    given, prior = gaussian(0, 0.5), gaussian(1, 0.5)
    posterior = normal(_levels.merged(given, prior, "precision"))
    z = np.linspace(-2.0, 2.0, 7, dtype=np.float32).reshape(-1, 1, 1, 1, 1)
    rest = posterior.log_prob(z) - normal(given).log_prob(z) - normal(prior).log_prob(z)
    np.testing.assert_allclose(rest, np.broadcast_to(rest[:1], rest.shape), atol=1e-4)


def test_given_parameters_are_the_posterior_where_they_are_concatenated():
    for found, given in zip(
        _levels.merged(gaussian(0), gaussian(1), "concat"), gaussian(0), strict=True
    ):
        np.testing.assert_array_equal(found, given)


def test_posterior_that_equals_the_prior_has_no_rate_at_all():
    prior, nothing = gaussian(1), Gaussian(tf.zeros(SHAPE), tf.zeros(SHAPE))
    posterior = _levels.merged(nothing, prior, "residual")
    assert not np.any(_levels.divergence(posterior, prior))


def test_log_scales_approach_their_bound_and_small_ones_stay():
    raw = tf.constant([-1e4, -0.1, 0.0, 0.1, 1e4])
    params = tf.concat([raw, raw], axis=0)[tf.newaxis, tf.newaxis, tf.newaxis]
    bounded = _levels.from_params(params, 5.0)
    np.testing.assert_array_equal(bounded.loc[0, 0, 0], raw)
    # tanh(0.02) is 0.02 less its cube over three.
    np.testing.assert_allclose(bounded.log_scale[0, 0, 0], [-5, -0.1, 0, 0.1, 5], rtol=2e-4)
    free = _levels.from_params(params, 0)
    np.testing.assert_array_equal(free.log_scale[0, 0, 0], raw)


def test_low_precision_parameters_become_float32():
    found = _levels.from_params(tf.zeros([1, 1, 1, 4], tf.bfloat16), 5.0)
    assert found.loc.dtype == found.log_scale.dtype == tf.float32


@pytest.mark.parametrize(
    ("merge", "bound", "message"),
    [
        ("product", 5.0, "merge must be one of residual, precision, concat, got 'product'"),
        ("residual", -1.0, r"log_scale_bound must be a number from 0 \(0 for none\), got -1.0"),
        ("residual", float("inf"), "log_scale_bound must be"),
        ("residual", None, "log_scale_bound must be"),
        ("residual", True, "log_scale_bound must be"),
    ],
)
def test_impossible_options_are_refused(merge, bound, message):
    with pytest.raises(ValueError, match=message):
        _levels.check_options(merge, bound)
