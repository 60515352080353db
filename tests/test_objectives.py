import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from tf_sigma_vae import objectives

FLOAT32 = 1e-5
# The printed floors have two decimals.
PRINTED = 0.005


def test_elbo_is_minus_the_sum_of_its_terms():
    assert objectives.elbo(np.array([3.0, -7.0]), np.array([0.5, 2.0])).tolist() == [-3.5, 5.0]


@pytest.mark.parametrize(
    ("written_loss", "variance"),
    [
        ("half_squared_error", 0.3),
        ("squared_error", 0.15),
        ("mean_squared_error", 48 * 0.15),
        ("half_mean_squared_error", 48 * 0.3),
    ],
)
def test_beta_to_scale_follows_the_papers_table(written_loss, variance):
    scale = objectives.beta_to_scale(0.3, written_loss, num_dims=48)
    assert scale == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert objectives.scale_to_beta(scale, written_loss, 48) == pytest.approx(0.3, rel=1e-12)


@pytest.mark.parametrize("written_loss", objectives.WRITTEN_LOSSES)
def test_written_loss_is_proportional_to_the_equivalent_gaussian_objective(written_loss):
    num_dims, beta = 12, 0.7
    rng = np.random.default_rng(0)
    x, loc, rate = rng.normal(size=num_dims), rng.normal(size=num_dims), 5.0
    error = np.sum((x - loc) ** 2)
    halves, means = written_loss.startswith("half"), "mean" in written_loss
    written = error * (0.5 if halves else 1.0) / (num_dims if means else 1) + beta * rate
    scale = objectives.beta_to_scale(beta, written_loss, num_dims)
    gaussian = rate - scipy.stats.norm.logpdf(x, loc, scale).sum()
    constant = num_dims * (math.log(scale) + 0.5 * math.log(2 * math.pi))
    assert written == pytest.approx(beta * (gaussian - constant), rel=1e-9)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_beta_to_scale_rejects_beta_that_is_not_positive(beta):
    with pytest.raises(ValueError, match="beta must be positive"):
        objectives.beta_to_scale(beta, "squared_error", 4)
    with pytest.raises(ValueError, match="scale must be positive"):
        objectives.scale_to_beta(beta, "squared_error", 4)


def test_beta_to_scale_rejects_an_unknown_loss_and_lists_the_known():
    with pytest.raises(ValueError, match=r"'huber'.*half_mean_squared_error"):
        objectives.beta_to_scale(1.0, "huber", 4)
    with pytest.raises(ValueError, match="num_dims must be at least 1, got 0"):
        objectives.beta_to_scale(1.0, "squared_error", 0)


def test_beta_equivalent_is_the_beta_of_the_papers_first_table():
    assert objectives.beta_equivalent(math.sqrt(0.006 / 2)) == pytest.approx(0.006)
    assert objectives.beta_equivalent(0.5, beta=3.0) == pytest.approx(1.5)
    scale = objectives.beta_to_scale(0.01, "squared_error", 7)
    assert objectives.beta_equivalent(scale) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("num_dims", "floor"), [(784, 720.45), (2352, 2161.34), (3072, 2822.98), (12288, 11291.92)]
)
def test_unit_gaussian_floors_are_those_of_the_paper(num_dims, floor):
    assert objectives.gaussian_floor(num_dims) == pytest.approx(floor, abs=PRINTED)


def test_optimal_distortion_is_the_mean_gaussian_distortion_at_the_mean_squared_error():
    residuals = np.random.default_rng(1).normal(scale=0.2, size=(7, 24))
    variance = np.mean(residuals**2)
    distortion = -scipy.stats.norm.logpdf(residuals, scale=np.sqrt(variance)).sum(axis=1)
    value = objectives.optimal_distortion(variance, 24)
    assert float(value) == pytest.approx(distortion.mean(), rel=FLOAT32)


@pytest.mark.parametrize("offset", [0.0, -4000.0, 3000.0])
def test_iwae_bound_equals_float64_numpy(offset):
    log_weights = np.random.default_rng(2).normal(scale=4.0, size=(9, 5)) + offset
    expected = scipy.special.logsumexp(log_weights, axis=0) - np.log(9)
    np.testing.assert_allclose(objectives.iwae_bound(log_weights), expected, rtol=1e-12)
    moved = objectives.iwae_bound(log_weights.T.astype(np.float32), axis=1)
    assert moved.dtype == tf.float32
    np.testing.assert_allclose(moved, expected, rtol=FLOAT32)


def test_iwae_bound_of_one_sample_is_the_weight_and_never_below_the_mean_weight():
    log_weights = np.random.default_rng(3).normal(scale=3.0, size=(8, 6))
    np.testing.assert_allclose(objectives.iwae_bound(log_weights[:1]), log_weights[0], rtol=1e-12)
    assert np.all(objectives.iwae_bound(log_weights) >= log_weights.mean(axis=0))


def test_uniform_mass_costs_eight_bits_per_dim_in_both_conventions():
    num_dims = 6
    mass_nll, density_nll = num_dims * math.log(256), 0.0
    assert objectives.bits_per_dim(mass_nll, num_dims, "mass") == pytest.approx(8.0)
    assert objectives.bits_per_dim(density_nll, num_dims, "density") == pytest.approx(8.0)


def test_one_bit_more_for_each_dimension_is_one_bit_per_dim_more():
    one_bit_each = 10 * math.log(2.0)
    for convention in ("mass", "density"):
        low = objectives.bits_per_dim(np.array([0.0, 5.0]), 10, convention)
        high = objectives.bits_per_dim(np.array([0.0, 5.0]) + one_bit_each, 10, convention)
        np.testing.assert_allclose(high - low, 1.0)


def test_bits_per_dim_rejects_an_unknown_convention():
    with pytest.raises(ValueError, match="unknown convention 'nats'; allowed: 'mass', 'density'"):
        objectives.bits_per_dim(1.0, 2, "nats")


def test_free_bits_grant_the_minimum_to_groups_below_it():
    groups = tf.constant([[0.1, 3.0, 2.0], [0.5, 1.0, 0.0]])
    mean = tf.reduce_mean(groups, axis=0)
    rate = objectives.free_bits(groups, mean, 1.0).numpy()
    # The first group is below its minimum in the mean; the third is not, though one example is.
    np.testing.assert_allclose(rate, [1.0 + 3.0 + 2.0, 1.0 + 1.0 + 0.0])
    assert rate.mean() == pytest.approx(np.maximum(mean.numpy(), 1.0).sum())


def test_free_bits_give_no_gradient_below_the_minimum_and_the_full_one_above():
    groups = tf.Variable([[0.1, 3.0], [0.5, 1.0]])
    with tf.GradientTape() as tape:
        mean = tf.reduce_mean(groups, axis=0)
        rate = tf.reduce_sum(objectives.free_bits(groups, mean, 1.0))
    np.testing.assert_array_equal(tape.gradient(rate, groups), [[0.0, 1.0], [0.0, 1.0]])


def test_free_bits_of_zero_change_nothing():
    groups = tf.constant([[0.1, 3.0], [0.0, 1.0]])
    mean = tf.reduce_mean(groups, axis=0)
    np.testing.assert_allclose(objectives.free_bits(groups, mean, 0.0), [3.1, 1.0])
