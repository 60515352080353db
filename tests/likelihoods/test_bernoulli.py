import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tests._models import images, set_weights, tiny_vae
from tf_sigma_vae import likelihoods, objectives

tfd = tfp.distributions

BATCH, SHAPE = 3, (4, 6, 2)
DIMS = 48
FLOAT32 = 2e-5
FLOAT64 = 1e-12
# Around both ends of the series in the normalizer (|l| = 2.55 and 0.01), at 0, and far out.
LOGITS = np.array([0.0, 1e-300, 1e-9, 1e-4, 0.0099, 0.0101, 2.549, 2.551, 7.0, 40.0, 1e4])
LOGITS = np.concatenate([-LOGITS[::-1], LOGITS])
VALUES = np.arange(256) / 255.0


def _params(seed=1):
    size = (BATCH, *SHAPE)
    return np.random.default_rng(seed).normal(scale=2.0, size=size).astype(np.float32)


def _log_masses(logits):
    """Normalized log-masses `[..., 256]` by a sum over all levels."""
    return scipy.special.log_softmax(np.asarray(logits)[..., None] * VALUES, axis=-1)


def _scored_masses(logits):
    """Normalized log-masses `[..., 256]` by the likelihood, each level an image of one pixel."""
    log_odds = tf.constant(np.repeat(logits, 256)[:, None], tf.float64)
    marginal = tfd.Bernoulli(log_odds, dtype=tf.float32)
    distribution = tfd.Independent(marginal, 1)
    x = np.tile(VALUES, np.size(logits))[:, None]
    log_mass = likelihoods.Bernoulli().bin_log_mass(distribution, x).numpy()
    return log_mass.reshape(*np.shape(logits), 256)


def test_log_prob_reads_grey_values_as_averages_of_black_and_white():
    x, params = images(BATCH), _params()
    distribution = likelihoods.Bernoulli().distribution(params)
    log_odds = params.astype(np.float64)
    expected = x * scipy.special.log_expit(log_odds) + (1 - x) * scipy.special.log_expit(-log_odds)
    assert distribution.dtype == tf.float32
    np.testing.assert_allclose(distribution.log_prob(x), expected.sum(axis=(1, 2, 3)), rtol=FLOAT32)


def test_log_prob_of_black_and_white_images_is_the_bernoulli_mass():
    params = _params()
    x = np.round(images(BATCH))
    expected = scipy.stats.bernoulli.logpmf(x, scipy.special.expit(params.astype(np.float64)))
    np.testing.assert_allclose(
        likelihoods.Bernoulli().distribution(params).log_prob(x),
        expected.sum(axis=(1, 2, 3)),
        rtol=FLOAT32,
    )


def test_mean_is_the_probability_and_samples_are_black_or_white():
    params = _params()
    distribution = likelihoods.Bernoulli().distribution(params)
    p = scipy.special.expit(params)
    np.testing.assert_allclose(distribution.mean(), p, rtol=FLOAT32)
    np.testing.assert_array_equal(distribution.mode(), params > 0)
    np.testing.assert_allclose(distribution.variance(), p * (1 - p), rtol=1e-4)
    samples = distribution.sample(2000, seed=[1, 2]).numpy()
    assert samples.dtype == np.float32 and set(np.unique(samples)) == {0.0, 1.0}
    # An exact binomial test of each of 144 pixels: one fails in less than 1e-6 runs.
    counts, smallest = samples.sum(axis=0), 1e-6 / (2 * p.size)
    assert np.all(scipy.stats.binom.cdf(counts, 2000, p) > smallest)
    assert np.all(scipy.stats.binom.sf(counts - 1, 2000, p) > smallest)


@pytest.mark.parametrize("size", [40.0, 1e4])
def test_extreme_logits_have_a_finite_score_and_gradient(size):
    params = tf.Variable((size * np.sign(_params())).astype(np.float32))
    x = images(BATCH)
    with tf.GradientTape() as tape:
        log_prob = likelihoods.Bernoulli().distribution(params).log_prob(x)
    wrong = np.where(params.numpy() > 0, 1.0 - x, x)
    np.testing.assert_allclose(log_prob, -size * wrong.sum(axis=(1, 2, 3)), rtol=FLOAT32)
    gradient = tape.gradient(log_prob, params).numpy()
    np.testing.assert_allclose(gradient, x - (params.numpy() > 0), atol=1e-6)


def test_normalized_masses_equal_a_sum_over_all_levels_and_sum_to_one():
    log_masses = _scored_masses(LOGITS)
    np.testing.assert_allclose(log_masses, _log_masses(LOGITS), rtol=FLOAT64, atol=1e-11)
    np.testing.assert_allclose(scipy.special.logsumexp(log_masses, axis=-1), 0.0, atol=1e-11)


def test_normalized_mass_of_an_image_sums_over_its_pixels():
    likelihood, x, params = likelihoods.Bernoulli(), images(BATCH), _params()
    mass = likelihood.bin_log_mass(likelihood.distribution(params), x)
    assert mass.dtype == tf.float64
    levels = np.round(255 * x).astype(int)[..., None]
    found = np.take_along_axis(_log_masses(params.astype(np.float64)), levels, axis=-1)
    np.testing.assert_allclose(mass, found.sum(axis=(1, 2, 3, 4)), rtol=FLOAT64)


def test_normalized_mass_differs_from_log_prob_by_a_constant_of_the_logits_only():
    likelihood = likelihoods.Bernoulli()
    distribution = likelihood.distribution(_params())
    gaps = [
        likelihood.bin_log_mass(distribution, images(BATCH, seed=seed)).numpy()
        - distribution.log_prob(images(BATCH, seed=seed)).numpy()
        for seed in (3, 4)
    ]
    np.testing.assert_allclose(gaps[0], gaps[1], rtol=FLOAT32)
    assert np.all(gaps[0] < -1.0)


def test_gradient_of_the_normalized_mass_is_finite_and_equals_finite_differences():
    x = VALUES[np.random.default_rng(5).integers(0, 256, size=(len(LOGITS), 1))]
    likelihood, logits = likelihoods.Bernoulli(), tf.Variable(LOGITS[:, None])

    def score(logits):
        distribution = tfd.Independent(tfd.Bernoulli(logits, dtype=tf.float32), 1)
        return likelihood.bin_log_mass(distribution, x)

    with tf.GradientTape() as tape:
        log_mass = score(logits)
    gradient = tape.gradient(log_mass, logits).numpy()[:, 0]
    step = 1e-4
    numeric = (score(logits + step) - score(logits - step)) / (2 * step)
    # Truncation is of the order of step^2; rounding, at scores of up to 1e4, 1e4 * 1e-16 / step.
    np.testing.assert_allclose(gradient, numeric, atol=2e-8)


def test_zero_logits_give_exactly_eight_bits_per_dim_by_mass():
    likelihood = likelihoods.Bernoulli()
    distribution = likelihood.distribution(np.zeros((BATCH, *SHAPE), np.float32))
    nll = -likelihood.bin_log_mass(distribution, images(BATCH))
    bits = objectives.bits_per_dim(nll, DIMS, "mass").numpy()
    np.testing.assert_allclose(bits, 8.0, rtol=FLOAT64)


def test_has_no_measure_and_no_scale():
    likelihood = likelihoods.Bernoulli()
    assert likelihood.measure is None and likelihood.value_range == (0.0, 1.0)
    distribution = likelihood.distribution(_params())
    assert not likelihood.has_scale and likelihood.log_scale(distribution) is None
    assert likelihood.params_channels(2) == 2
    assert likelihood.provenance() == {"source": "network"}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_unknown_batch_size_and_bfloat16_params_give_the_float32_scores(jit_compile):
    spec = [None, *SHAPE]
    signature = [tf.TensorSpec(spec, tf.bfloat16), tf.TensorSpec(spec)]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def score(params, x):
        likelihood = likelihoods.Bernoulli()
        distribution = likelihood.distribution(params)
        return distribution.log_prob(x), likelihood.bin_log_mass(distribution, x)

    params, x = tf.cast(_params(), tf.bfloat16), images(BATCH)
    log_prob, mass = score(params, x)
    eager = likelihoods.Bernoulli().distribution(tf.cast(params, tf.float32))
    assert log_prob.dtype == tf.float32
    np.testing.assert_allclose(log_prob, eager.log_prob(x), rtol=FLOAT32)
    np.testing.assert_allclose(mass, likelihoods.Bernoulli().bin_log_mass(eager, x), rtol=1e-9)


def test_model_scores_its_own_params_and_takes_values_between_grey_levels():
    model, x = set_weights(tiny_vae("bernoulli", SHAPE)), images(BATCH) * np.float32(0.999)
    output = model(x)
    assert output.params.shape == (BATCH, *SHAPE)
    log_odds = output.params.numpy().astype(np.float64)
    expected = x * log_odds - np.logaddexp(0.0, log_odds)
    np.testing.assert_allclose(output.distortion, -expected.sum(axis=(1, 2, 3)), rtol=FLOAT32)


def test_model_reports_no_bits_per_dim_and_no_scale():
    model = tiny_vae("bernoulli", SHAPE)
    model.compile("adam", run_eagerly=True)
    reported = model.evaluate(images(BATCH), verbose=0, return_dict=True)
    assert set(reported) == {"loss", "elbo", "rate", "distortion"}
