"""The bounds of a sequence model against its likelihood, integrated over the latents on a grid."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from tests._clips import CONTEXT, clips, stirred, tiny_sequence
from tests._eagerly import eagerly
from tf_sigma_vae import objectives

FRAMES, POINTS, RADIUS = 4, 61, 5.5
"""Two predicted frames, of a latent number each: a grid in a plane, of prior scales."""
NUM_SAMPLES = 1000
NUM_STANDARD_ERRORS = 5.5
"""Of a normal mean: further off once in some ten million runs."""


@pytest.fixture(scope="module")
def model():
    return stirred(tiny_sequence(latent_size=1), scale=0.7)


@pytest.fixture(scope="module")
def x():
    return clips(1, FRAMES)


@pytest.fixture(scope="module")
def log_likelihood(model, x):
    """Log p of the predicted frames given the context, by the trapezoid rule."""
    points = np.linspace(-RADIUS, RADIUS, POINTS)
    log_weight = -0.5 * points**2 - 0.5 * np.log(2 * np.pi) + np.log(points[1] - points[0])
    plane = np.stack(np.meshgrid(points, points, indexing="ij"), axis=-1).reshape(-1, 2)
    prior = model.priors(x).distribution
    loc, scale = (v.numpy()[0, CONTEXT:, 0] for v in (prior.loc, prior.scale))
    latents = (loc + scale * plane).astype(np.float32)[np.newaxis, ..., np.newaxis]
    copies = len(plane)
    frames = np.broadcast_to(x[:, np.newaxis, CONTEXT:], (1, copies, *x[:, CONTEXT:].shape[1:]))
    unused = tf.zeros([1, copies, 2], tf.uint32)
    with eagerly():
        params = model.rollout(x[:, :CONTEXT], 2, unused, latents=latents, frames=frames)[0]
    log_prob = (
        model.target_likelihood.distribution(params).log_prob(frames[0]).numpy().astype(np.float64)
    )
    log_weights = (log_weight[:, np.newaxis] + log_weight).ravel()
    return scipy.special.logsumexp(log_prob + log_weights)


@pytest.fixture(scope="module")
def log_weights(model, x):
    return model.log_importance_weights(x, NUM_SAMPLES).numpy().astype(np.float64)


def test_the_bound_of_many_draws_is_the_likelihood(log_weights, log_likelihood):
    bound = objectives.iwae_bound(tf.constant(log_weights, tf.float32)).numpy()
    weights = np.exp(log_weights - np.max(log_weights))
    # The mean weight is unbiased. Its logarithm is too low by half the square of this, 0.0005 nats.
    error = np.std(weights) / np.mean(weights) / np.sqrt(NUM_SAMPLES)
    assert error < 0.05
    np.testing.assert_allclose(bound, log_likelihood, atol=NUM_STANDARD_ERRORS * error)


def test_the_elbo_lies_below_by_the_divergence_of_q(model, x, log_weights, log_likelihood):
    """On average over draws; the posterior is untrained, so that there is a gap to be seen."""
    terms = log_weights[:, 0]
    gap = log_likelihood - terms.mean()
    # Fifteen, where this was written.
    assert gap > 6 * terms.std() / np.sqrt(NUM_SAMPLES)
    ids = model.sample_noise_ids(tf.constant(x), NUM_SAMPLES)[:, 0]
    output = model.score(np.repeat(x, NUM_SAMPLES, axis=0), ids)
    # The same mean, the KL in closed form in place of its draws.
    difference = -(output.distortion + output.rate).numpy() - terms
    error = difference.std() / np.sqrt(NUM_SAMPLES)
    assert abs(difference.mean()) < NUM_STANDARD_ERRORS * error
