import numpy as np
import pytest
import scipy.special
import scipy.stats

from tests._models import IMAGE_SHAPE, LATENT_SIZE, images, set_weights, tiny_vae
from tf_sigma_vae.evaluation import iwae
from tf_sigma_vae.likelihoods import GaussianFixed

SCALE = 0.4
NUM_DIMS = int(np.prod(IMAGE_SHAPE))
# Sums of some 50 float32 terms that reach 50 nats: 50 x 50 x 2^-24, and batches round otherwise.
ROUNDING = 2e-4
# Fails once in 10^9 runs if the mean is normal; what is left is room for its skewness.
STANDARD_ERRORS = 6.0


def orthonormal(num_rows, num_columns):
    """The first columns of the orthogonal cosine transform (DCT-II) but the constant one."""
    rows, columns = np.arange(num_rows)[:, None] + 0.5, np.arange(1, num_columns + 1)
    return np.sqrt(2.0 / num_rows) * np.cos(np.pi * rows * columns / num_rows)


class LinearGaussian:
    """Probabilistic PCA as a model with the best factorized posterior, and its truth.

    `z ~ N(0, I)`, `x = mean + loadings z + SCALE eps`. The exact posterior has the precision `P`,
    `q` the same mean and the diagonal of `P` for precision: exact where `P` is diagonal.
    """

    def __init__(self, mixing):
        self.loadings = orthonormal(NUM_DIMS, LATENT_SIZE) @ mixing
        self.mean = np.linspace(0.2, 0.8, NUM_DIMS)
        precision = mixing.T @ mixing / SCALE**2 + np.eye(LATENT_SIZE)
        gain = np.linalg.solve(precision, self.loadings.T) / SCALE**2
        variance = 1.0 / np.diag(precision)
        self.model = tiny_vae(
            GaussianFixed(scale=SCALE, loc_activation="linear"),
            network_options={"hidden_sizes": ()},
        )
        kernel = np.concatenate([gain.T, np.zeros((NUM_DIMS, LATENT_SIZE))], axis=1)
        bias = np.concatenate([-gain @ self.mean, 0.5 * np.log(variance)])
        self.model.encoder.set_weights([kernel, bias])
        self.model.decoder.set_weights([self.loadings.T, self.mean])
        # Of z in units of the deviations of q; its diagonal is 1.
        self.relative_precision = precision * np.sqrt(np.outer(variance, variance))

    def draw(self, num_examples, seed):
        """Images of the model, float32 `[N, H, W, C]`, by NumPy's generator alone."""
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(num_examples, LATENT_SIZE))
        x = self.mean + z @ self.loadings.T + SCALE * rng.normal(size=(num_examples, NUM_DIMS))
        return x.reshape(-1, *IMAGE_SHAPE).astype(np.float32)

    def log_likelihood(self, x):
        covariance = self.loadings @ self.loadings.T + SCALE**2 * np.eye(NUM_DIMS)
        truth = scipy.stats.multivariate_normal(self.mean, covariance)
        return truth.logpdf(x.reshape(-1, NUM_DIMS))

    def first_gap(self):
        """Mean and standard deviation of `log p(x) - bound` at K = 1, exact.

        With `A` the relative precision, `log w = (log det A - eps' (A - I) eps) / 2`, eps normal.
        """
        interaction = self.relative_precision - np.eye(LATENT_SIZE)
        variance = 0.5 * np.sum(interaction**2)
        return -0.5 * np.log(np.linalg.det(self.relative_precision)), np.sqrt(variance)

    def late_gap(self, num_samples):
        """The same at a large K: `Var(w) / 2K`, the next term is of order `1 / K^2`."""
        excess = 2.0 * self.relative_precision - np.eye(LATENT_SIZE)
        second_moment = np.linalg.det(self.relative_precision) / np.sqrt(np.linalg.det(excess))
        relative = (second_moment - 1.0) / num_samples
        return 0.5 * relative, np.sqrt(relative)


def bound(model, x, num_samples, chunk=100):
    return iwae.ImportanceWeightedBound(model, num_samples, chunk)(x)


@pytest.fixture(scope="module")
def model():
    """A model that the tests only read."""
    return set_weights(tiny_vae())


def test_one_sample_is_the_single_sample_elbo(model):
    x = images(5)
    output = model(x)
    single = (
        -output.distortion + model.prior.log_prob(output.z) - output.posterior.log_prob(output.z)
    )
    np.testing.assert_allclose(bound(model, x, 1), single, rtol=0, atol=ROUNDING)


def test_an_exact_posterior_gives_the_likelihood_with_any_number_of_samples():
    exact = LinearGaussian(np.diag([0.5, 1.0, 1.5]))
    x = exact.draw(6, seed=1)
    found = bound(exact.model, x, 7)
    np.testing.assert_allclose(found, exact.log_likelihood(x), rtol=0, atol=ROUNDING)


def test_the_mean_gap_to_the_likelihood_is_positive_and_falls_as_its_expectation_does():
    # Posterior correlations of 0.3 that q lacks: a gap of 0.125 nats at K = 1, 0.003 at K = 64.
    linear = LinearGaussian(SCALE * (np.eye(LATENT_SIZE) + 0.3))
    x = linear.draw(2000, seed=2)
    exact = linear.log_likelihood(x)
    ends = []
    for num_samples, (mean, stddev) in ((1, linear.first_gap()), (64, linear.late_gap(64))):
        error = STANDARD_ERRORS * stddev / np.sqrt(len(x)) + ROUNDING
        gap = np.mean(exact - bound(linear.model, x, num_samples))
        assert mean > 0.0 and gap == pytest.approx(mean, abs=error)
        ends.append((mean - error, mean + error))
    # The intervals that were just tested do not overlap, so that the gap has fallen.
    assert ends[0][0] > ends[1][1]


# Chunks of 2 leave one sample for the last; 50 are more than there are.
@pytest.mark.parametrize("chunk", [2, 50])
def test_chunks_do_not_change_the_bound(model, chunk):
    x = images(3)
    whole = np.asarray(model.log_importance_weights(x, 7), np.float64)
    expected = scipy.special.logsumexp(whole, axis=0) - np.log(7)
    np.testing.assert_allclose(bound(model, x, 7, chunk), expected, rtol=0, atol=ROUNDING)


def test_samples_are_numbered(model):
    x = images(3)
    whole = model.log_importance_weights(x, 5).numpy()
    parts = [model.log_importance_weights(x, n, first).numpy() for n, first in ((2, 0), (3, 2))]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=ROUNDING)
    # Other numbers are other draws: no two samples have the weights of all images in common.
    differences = np.abs(whole[:, None] - whole[None]).max(axis=2)
    assert np.all(differences[~np.eye(5, dtype=bool)] > ROUNDING)


def test_the_bound_of_an_image_does_not_depend_on_its_batch(model):
    x, bound_of = images(5), iwae.ImportanceWeightedBound(model, 4, 4)
    alone = np.concatenate([bound_of(x[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(bound_of(x), alone, rtol=0, atol=ROUNDING)


def test_weights_that_underflow_in_float64_are_summed_right():
    model, x = set_weights(tiny_vae(GaussianFixed(scale=0.005))), images(3)
    found = bound(model, x, 3)
    largest = np.max(model.log_importance_weights(x, 3), axis=0)
    assert np.all(largest < -1e4)
    # Sums of some 50 float32 terms.
    rounding = 50.0 * 2.0**-24 * np.abs(largest)
    assert np.all((found <= largest + rounding) & (found >= largest - np.log(3.0) - rounding))


def test_large_images_and_batches_are_decoded_one_sample_at_a_time():
    assert iwae.chunk_size((28, 28, 1), 1, global_batch_size=128) == 10
    assert iwae.chunk_size((512, 512, 3), 3, global_batch_size=128) == 1
    # 256 logits for each of 3 channels are wider than the layers below them.
    assert iwae.chunk_size((32, 32, 3), 768, global_batch_size=8) == 5


@pytest.mark.parametrize(("num_samples", "chunk"), [(0, 1), (1, 0)])
def test_impossible_numbers_are_refused(num_samples, chunk):
    with pytest.raises(ValueError, match="must be at least 1"):
        iwae.ImportanceWeightedBound(tiny_vae(), num_samples, chunk)
