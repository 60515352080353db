"""The bounds of a sequence model against its likelihood, integrated over the latents on a grid."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from tests._clips import CONTEXT, clips, stirred, tiny_sequence
from tf_sigma_vae import objectives

FRAMES, POINTS, RADIUS = 4, 61, 5.5
"""Two predicted frames, of a latent number each: a grid in a plane, of prior scales."""
NUM_SAMPLES, CHUNK = 2000, 500
# Of the bound's gap, which falls as 1 / K, and of the average over draws.
NATS = 0.05


@pytest.fixture(scope="module")
def model():
    return stirred(tiny_sequence(latent_size=1), scale=1.0)


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
    params = model.rollout(x[:, :CONTEXT], 2, unused, latents=latents, frames=frames)[0]
    log_prob = model.likelihood_of(params).log_prob(frames[0]).numpy().astype(np.float64)
    log_weights = (log_weight[:, np.newaxis] + log_weight).ravel()
    return scipy.special.logsumexp(log_prob + log_weights)


def test_the_bound_of_many_draws_is_the_likelihood(model, x, log_likelihood):
    parts = [model.log_importance_weights(x, CHUNK, k) for k in range(0, NUM_SAMPLES, CHUNK)]
    bound = objectives.iwae_bound(tf.concat(parts, axis=0)).numpy()
    np.testing.assert_allclose(bound, log_likelihood, atol=NATS)


def test_the_elbo_lies_below_by_the_divergence_of_q(model, x, log_likelihood):
    """On average over draws; the posterior is untrained, so that there is a gap to be seen."""
    terms = model.log_importance_weights(x, CHUNK).numpy()
    error = terms.std() / np.sqrt(CHUNK)
    gap = log_likelihood - terms.mean()
    assert gap > 10 * error
    ids = model.sample_noise_ids(tf.constant(x), CHUNK)[:, 0]
    many = np.repeat(x, CHUNK, axis=0)
    output = model.score(many, ids)
    elbo = -(output.distortion + output.rate).numpy()
    # The same mean, the KL in closed form in place of its draws.
    np.testing.assert_allclose(elbo.mean(), terms.mean(), atol=5 * error)
