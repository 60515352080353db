"""Probabilistic PCA (Tipping & Bishop 1999): the linear model has a known optimum.

A linear encoder and decoder with a Gaussian likelihood of one scale are pPCA. Of `x ~ N(mu, W W' +
s^2 I)` the maximum-likelihood variance is the mean of the discarded eigenvalues of the sample
covariance, and log p(x) is closed form; the optimal posterior is inside the family only where the
columns of the decoder are orthogonal, to which the elbo rotates it.
"""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tf_sigma_vae import likelihoods, models, objectives

NUM_EXAMPLES, SHAPE, LATENT_SIZE = 2048, (3, 4, 1), 3
DIMS = 12
NOISE_SCALE = 0.3
NUM_EPOCHS, BATCH_SIZE = 50, 128
VARIANCE_TOLERANCE = 0.01
# Nats an example that the trained elbo may lie below the maximum of log p(x).
GAP = 0.03
NUM_STANDARD_ERRORS = 3.0


@pytest.fixture(scope="module")
def data():
    """Images `[N, 3, 4, 1]` from a pPCA model with signals well above the noise."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(DIMS, LATENT_SIZE)))[0] * np.array([2.0, 1.4, 1.0])
    z = rng.normal(size=(NUM_EXAMPLES, LATENT_SIZE))
    x = z @ basis.T + NOISE_SCALE * rng.normal(size=(NUM_EXAMPLES, DIMS))
    return (x + rng.normal(size=DIMS)).astype(np.float32).reshape(-1, *SHAPE)


@pytest.fixture(scope="module")
def optimum(data):
    """Maximum-likelihood variance of pPCA, and its log-likelihood of each example `[N]`."""
    flat = data.reshape(-1, DIMS).astype(np.float64)
    covariance = np.cov(flat.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    variance = values[:-LATENT_SIZE].mean()
    kept = vectors[:, -LATENT_SIZE:] * (values[-LATENT_SIZE:] - variance)
    model = kept @ vectors[:, -LATENT_SIZE:].T + variance * np.eye(DIMS)
    law = scipy.stats.multivariate_normal(flat.mean(axis=0), model)
    return variance, law.logpdf(flat)


def _exact_log_likelihood(model, x):
    """log p(x) of the trained model itself, by its decoder's weights, `[N]`."""
    kernel, bias = (w.astype(np.float64) for w in model.decoder.get_weights())
    variance = float(tf.reduce_mean(model.decode(tf.zeros([1, LATENT_SIZE])).variance()))
    law = scipy.stats.multivariate_normal(bias, kernel.T @ kernel + variance * np.eye(DIMS))
    return law.logpdf(x.reshape(-1, DIMS))


def _likelihood(name):
    if name == "gaussian_shared":
        return likelihoods.GaussianShared(initial_scale="data", loc_activation="linear")
    return likelihoods.GaussianOptimal(bound="none", loc_activation="linear")


@pytest.fixture(scope="module", params=["gaussian_shared", "gaussian_optimal"])
def trained(request, data):
    keras.utils.set_random_seed(0)
    model = models.VAE(
        SHAPE,
        latent_size=LATENT_SIZE,
        likelihood=_likelihood(request.param),
        network="dense",
        network_options={"hidden_sizes": ()},
    )
    steps = NUM_EPOCHS * NUM_EXAMPLES // BATCH_SIZE
    schedule = keras.optimizers.schedules.CosineDecay(0.02, steps)
    model.compile(keras.optimizers.Adam(schedule), steps_per_execution=16)
    model.fit(data, batch_size=BATCH_SIZE, epochs=NUM_EPOCHS, verbose=0)
    model.calibrate(data)
    return model


def test_trained_variance_is_the_mean_of_the_discarded_eigenvalues(trained, optimum):
    variance = trained.decode(tf.zeros([1, LATENT_SIZE])).variance().numpy()
    np.testing.assert_allclose(variance, optimum[0], rtol=VARIANCE_TOLERANCE)


def test_exact_likelihood_of_the_trained_model_is_at_the_maximum(trained, data, optimum):
    exact = _exact_log_likelihood(trained, data)
    assert exact.mean() <= optimum[1].mean() + 1e-9
    assert exact.mean() == pytest.approx(optimum[1].mean(), abs=GAP)


def test_elbo_is_below_the_exact_likelihood_and_close_to_it(trained, data):
    exact = _exact_log_likelihood(trained, data)
    output = trained(data)
    gap = exact + (output.distortion + output.rate).numpy()
    standard_error = gap.std() / np.sqrt(NUM_EXAMPLES)
    assert gap.mean() > -NUM_STANDARD_ERRORS * standard_error
    assert gap.mean() < GAP + NUM_STANDARD_ERRORS * standard_error


def test_importance_weighted_bound_approaches_the_exact_likelihood_from_below(trained, data):
    x = data[:512]
    exact = _exact_log_likelihood(trained, x)
    log_weights = trained.log_importance_weights(x, 64)
    previous = np.inf
    for num_samples in (1, 8, 64):
        gap = exact - objectives.iwae_bound(log_weights[:num_samples]).numpy()
        standard_error = gap.std() / np.sqrt(len(x))
        assert gap.mean() > -NUM_STANDARD_ERRORS * standard_error
        assert abs(gap).mean() < previous
        previous = abs(gap).mean()
    assert gap.mean() == pytest.approx(0.0, abs=0.01)
