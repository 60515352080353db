"""The 8-bit mass of every likelihood: normalised, where its samples fall, and safe to train on.

Walks the folder of likelihoods; only the contract is used.
"""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tests._models import images, tiny_vae
from tests._representatives import REPRESENTATIVES
from tf_sigma_vae import plugins
from tf_sigma_vae.data.digits import Digits
from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS

LIKELIHOODS = plugins.names("likelihoods")
LEVELS = (np.arange(GREY_LEVELS) / 255.0).astype(np.float32).reshape(-1, 1, 1, 1)
# Parameters are float32, masses float64; the quadrature of MarginalGaussian is good to 2e-6.
NORMALISED = 3e-6
# A CDF near 1 is rounded by 1e-16, and a difference of two by twice that.
STEP_ROUNDING = 1e-15
# Of each of a dozen tests: a correct sampler fails one in less than 1e-6 runs.
SIGNIFICANCE = 5e-8
KINDS = ("random", "low", "high", "mixed")


def _likelihood(name, **kwargs):
    """A head that holds a scale of about 30 grey levels where the scale is stored."""
    options = plugins.options(plugins.find("likelihoods", name))
    given = {"initial_scale": 0.12} if "initial_scale" in options else {}
    given |= {"scale": 0.12} if "scale" in options else {}
    head = plugins.find("likelihoods", name)(**given, **kwargs)
    head.ensure_built((None, 1, 1, head.params_channels(1)))
    if head.needs_calibration:
        errors = 0.015 * np.random.default_rng(3).gamma(4.0, 0.25, size=200)
        head.calibrate(errors, 1, 0)
    return head


def _params(head, kind):
    """Decoder output for one grey pixel, `[1, 1, 1, P]`."""
    num = head.params_channels(1)
    if kind == "random":
        return np.random.default_rng(1).normal(size=(1, 1, 1, num)).astype(np.float32)
    signs = np.where(np.arange(num) % 2, 1.0, -1.0) if kind == "mixed" else 1.0
    value = -40.0 if kind == "low" else 40.0
    return np.full((1, 1, 1, num), value * signs, np.float32)


def _masses(head, params):
    tiled = np.tile(params, (GREY_LEVELS, 1, 1, 1))
    return np.exp(head.bin_log_mass(head.distribution(tiled), LEVELS).numpy())


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_masses_of_the_256_levels_are_the_steps_of_a_cdf_from_zero_to_one(name):
    head = _likelihood(name)
    params = np.concatenate([_params(head, kind) for kind in KINDS])
    distribution = head.distribution(np.repeat(params, GREY_LEVELS, axis=0))
    x = np.tile(LEVELS, (len(KINDS), 1, 1, 1))
    masses = np.exp(head.bin_log_mass(distribution, x).numpy()).reshape(-1, GREY_LEVELS)
    assert masses.shape == (len(KINDS), GREY_LEVELS) and np.all(masses >= 0.0)
    np.testing.assert_allclose(masses.sum(axis=1), 1.0, rtol=0, atol=NORMALISED)
    cdf = head.grey_level_cdf(distribution, x)
    levels = np.round(255.0 * x)
    below, through = (cdf(k).numpy().reshape(masses.shape) for k in (levels - 1, levels))
    assert np.all(below[:, 0] == 0.0) and np.all(through[:, -1] == 1.0)
    assert np.min(through - below) > -STEP_ROUNDING
    np.testing.assert_allclose(through - below, masses, atol=NORMALISED)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_masses_of_an_image_are_those_of_its_elements_by_their_cdfs(name):
    head = _likelihood(name)
    rng, shape = np.random.default_rng(4), (2, 1, 2, 3)
    params = rng.normal(size=(*shape[:3], head.params_channels(3))).astype(np.float32)
    x = images(2, shape[1:], seed=6)

    distribution = head.distribution(params)
    cdf, level = head.grey_level_cdf(distribution, x), np.round(255.0 * x)
    masses = np.sum(np.log(cdf(level) - cdf(level - 1.0)), axis=(1, 2, 3))
    if hasattr(distribution, "marginal"):
        # Its elements share a variance: their masses are those of the marginals.
        distribution = tfp.distributions.Independent(distribution.marginal(), 3)
    expected = head.bin_log_mass(distribution, x)
    np.testing.assert_allclose(masses, expected, rtol=1e-6, atol=NORMALISED)


# A Bernoulli's samples are black or white, its masses those of the grey levels.
@pytest.mark.parametrize("name", [n for n in LIKELIHOODS if n != "bernoulli"])
def test_samples_fall_on_the_levels_as_their_masses_say(name):
    head = _likelihood(name)
    params, num_draws = _params(head, "random"), 4000
    masses = _masses(head, params)
    x = head.distribution(params).sample(num_draws, seed=[3, 1]).numpy().reshape(-1)
    # A continuous value lies in the bin [k, k + 1] / 256, a discrete one is k / 255.
    level = np.round(255.0 * x) if head.measure == "mass" else np.floor(256.0 * x)
    counts = np.bincount(np.clip(level, 0, 255).astype(int), minlength=GREY_LEVELS)
    # Neighbouring levels are pooled until each group expects at least 20 draws.
    group = np.floor(np.cumsum(masses) * num_draws / 20.0 - 1e-9).astype(int)
    group = np.unique(group, return_inverse=True)[1]
    observed, expected = np.bincount(group, counts), np.bincount(group, masses * num_draws)
    expected *= num_draws / expected.sum()
    assert len(observed) >= 2
    assert scipy.stats.chisquare(observed, expected).pvalue > SIGNIFICANCE


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradients_at_extreme_decoder_outputs_are_finite(name):
    head = _likelihood(name)
    extremes = np.concatenate([_params(head, kind) for kind in KINDS[1:]])
    params = tf.Variable(np.repeat(extremes, GREY_LEVELS, axis=0))
    x = np.tile(LEVELS, (len(extremes), 1, 1, 1))
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(head.distribution(params, x, training=True).log_prob(x))
    gradients = tape.gradient(loss, [params, *head.trainable_weights])
    for tensor in (loss, *gradients):
        assert np.all(np.isfinite(tensor.numpy()))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradient_in_the_decoders_output_is_the_finite_difference(name):
    head = _likelihood(name)
    params, x = _params(head, "random"), LEVELS[77:78]
    direction = np.random.default_rng(2).normal(size=params.shape).astype(np.float32)
    direction /= np.linalg.norm(direction)

    def log_prob(step):
        return float(head.distribution(params + np.float32(step) * direction).log_prob(x)[0])

    variable = tf.Variable(params)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(head.distribution(variable).log_prob(x))
    slope = np.sum(tape.gradient(value, variable).numpy() * direction)
    # Central differences of float32 values: rounding 1e-6 / step, truncation step^2.
    step = 1e-2
    assert abs(slope) > 1e-3
    numeric = (log_prob(step) - log_prob(-step)) / (2 * step)
    assert slope == pytest.approx(numeric, rel=5e-3, abs=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*REPRESENTATIVES, "categorical"])
def test_200_steps_in_bfloat16_on_real_images_stay_finite_and_learn(name):
    x = Digits().load()["train"][:320].astype(np.float32) / 255.0
    model = tiny_vae(name, (8, 8, 1), "conv28", dtype="mixed_bfloat16")
    model.compile(keras.optimizers.Adam(2e-3))
    history = model.fit(x, batch_size=16, epochs=10, verbose=0).history
    assert model.optimizer.iterations == 200
    assert all(np.all(np.isfinite(values)) for values in history.values())
    # Found: 23 nats and more.
    assert history["elbo"][-1] > history["elbo"][0] + 5.0
    model.calibrate(x)
    bits = -model.likelihood.bin_log_mass(
        model(images(3, (8, 8, 1))).likelihood, images(3, (8, 8, 1))
    )
    assert np.all(np.isfinite(bits.numpy()))
