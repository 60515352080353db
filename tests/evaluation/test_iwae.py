import numpy as np
import pytest
import scipy.stats

from tests._models import IMAGE_SHAPE, LATENT_SIZE, images, set_weights, tiny_vae
from tf_sigma_vae.evaluation import iwae
from tf_sigma_vae.likelihoods import GaussianFixed

SCALE = 0.4
NUM_DIMS = int(np.prod(IMAGE_SHAPE))
# float32 log-probabilities of some 50 nats; batches of other sizes may round otherwise.
ROUNDING = 2e-4
# Standard errors by which an estimate of a lower bound may exceed the truth.
STANDARD_ERRORS = 4.0


def linear_vae(orthogonal, seed=0):
    """Probabilistic PCA with the best factorized posterior; exact if the loadings are orthogonal.

    Returns:
      The model and its `log p(x)` as a frozen SciPy distribution.
    """
    rng = np.random.default_rng(seed)
    loadings, mean = rng.normal(0.0, 0.2, size=(NUM_DIMS, LATENT_SIZE)), rng.uniform(size=NUM_DIMS)
    # A part that all dimensions share correlates them a posteriori, which q cannot express.
    loadings += rng.normal(0.0, 0.2, size=(NUM_DIMS, 1))
    if orthogonal:
        loadings = np.linalg.qr(loadings)[0] * np.array([0.5, 1.0, 1.5])
    precision = loadings.T @ loadings / SCALE**2 + np.eye(LATENT_SIZE)
    gain = np.linalg.solve(precision, loadings.T) / SCALE**2
    model = tiny_vae(
        GaussianFixed(scale=SCALE, loc_activation="linear"), network_options={"hidden_sizes": ()}
    )
    kernel = np.concatenate([gain.T, np.zeros((NUM_DIMS, LATENT_SIZE))], axis=1)
    log_scale = -0.5 * np.log(np.diag(precision))
    model.encoder.set_weights([kernel, np.concatenate([-gain @ mean, log_scale])])
    model.decoder.set_weights([loadings.T, mean])
    covariance = loadings @ loadings.T + SCALE**2 * np.eye(NUM_DIMS)
    return model, scipy.stats.multivariate_normal(mean, covariance)


def bound(model, x, num_samples, chunk=100):
    return iwae.ImportanceWeightedBound(model, num_samples, chunk)(x)


def test_one_sample_is_the_single_sample_elbo():
    model, x = set_weights(tiny_vae()), images(5)
    output = model(x)
    single = (
        -output.distortion + model.prior.log_prob(output.z) - output.posterior.log_prob(output.z)
    )
    np.testing.assert_allclose(bound(model, x, 1), single, rtol=0, atol=ROUNDING)


def test_an_exact_posterior_gives_the_likelihood_with_any_number_of_samples():
    model, truth = linear_vae(orthogonal=True)
    x = truth.rvs(6, random_state=1).reshape(-1, *IMAGE_SHAPE).astype(np.float32)
    expected = truth.logpdf(x.reshape(-1, NUM_DIMS))
    for num_samples in (1, 7):
        np.testing.assert_allclose(bound(model, x, num_samples), expected, rtol=0, atol=ROUNDING)


def test_the_bound_rises_to_the_likelihood_and_never_beats_it():
    model, truth = linear_vae(orthogonal=False)
    x = truth.rvs(150, random_state=2).reshape(-1, *IMAGE_SHAPE).astype(np.float32)
    exact = truth.logpdf(x.reshape(-1, NUM_DIMS))
    gaps = []
    for num_samples in (1, 8, 64, 512):
        gap = exact - bound(model, x, num_samples)
        assert gap.mean() > -STANDARD_ERRORS * scipy.stats.sem(gap)
        gaps.append(gap.mean())
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3]
    assert gaps[0] > 10 * gaps[3]
    assert gap.mean() < STANDARD_ERRORS * scipy.stats.sem(gap)


@pytest.mark.parametrize("chunk", [1, 2, 5, 7, 50])
def test_chunks_do_not_change_the_bound(chunk):
    model, x = set_weights(tiny_vae()), images(3)
    whole = np.asarray(model.log_importance_weights(x, 7), np.float64)
    expected = scipy.special.logsumexp(whole, axis=0) - np.log(7)
    np.testing.assert_allclose(bound(model, x, 7, chunk), expected, rtol=0, atol=ROUNDING)


def test_samples_are_numbered():
    model, x = set_weights(tiny_vae()), images(3)
    whole = model.log_importance_weights(x, 5).numpy()
    parts = [model.log_importance_weights(x, n, first).numpy() for n, first in ((2, 0), (3, 2))]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=ROUNDING)
    # Other numbers are other draws.
    assert len(np.unique(whole.round(3))) == whole.size


def test_the_bound_of_an_image_does_not_depend_on_its_batch():
    model, x = set_weights(tiny_vae()), images(5)
    alone = np.concatenate([bound(model, x[i : i + 1], 4) for i in range(5)])
    np.testing.assert_allclose(bound(model, x, 4), alone, rtol=0, atol=ROUNDING)


def test_weights_that_underflow_in_float64_are_summed_right():
    model, x = set_weights(tiny_vae(GaussianFixed(scale=0.005))), images(3)
    found = bound(model, x, 3)
    largest = np.max(model.log_importance_weights(x, 3), axis=0)
    assert np.all(largest < -1e4)
    assert np.all((found <= largest + 1e-2) & (found >= largest - np.log(3.0) - 1e-2))


def test_large_images_and_batches_are_decoded_one_sample_at_a_time():
    assert iwae.chunk_size((28, 28, 1), 1, global_batch_size=128) == 10
    assert iwae.chunk_size((512, 512, 3), 3, global_batch_size=128) == 1
    # 256 logits for each of 3 channels are wider than the layers below them.
    assert iwae.chunk_size((32, 32, 3), 768, global_batch_size=8) == 5


@pytest.mark.parametrize(("num_samples", "chunk"), [(0, 1), (1, 0)])
def test_impossible_numbers_are_refused(num_samples, chunk):
    with pytest.raises(ValueError, match="must be at least 1"):
        iwae.ImportanceWeightedBound(tiny_vae(), num_samples, chunk)
