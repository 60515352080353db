"""Our own training loop on images of a known linear generator finds the scale of pPCA."""

import numpy as np
import pytest

from tf_sigma_vae import training
from tf_sigma_vae.config import Config
from tf_sigma_vae.data.synthetic import Synthetic

LATENT_SIZE = 3
DATA = {"num_train": 2000, "num_test": 50, "image_size": [3, 4], "latent_size": LATENT_SIZE}
# The variance of the ground truth; the true one differs by the sampling of 2,000 images.
PPCA_TOLERANCE = 0.01
TRUE_SCALE_TOLERANCE = 0.03


# Half a minute of training; tests/ground_truth/test_ppca.py holds the same truths without it.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = Config(
        dataset="synthetic",
        dataset_options=DATA,
        validation_fraction=0.0,
        network="dense",
        network_options={"hidden_sizes": []},
        latent_size=LATENT_SIZE,
        likelihood="gaussian_optimal",
        likelihood_options={"loc_activation": "linear"},
        global_batch_size=500,
        num_train_steps=3000,
        learning_rate=3e-2,
        learning_rate_schedule="cosine",
        tensorboard=False,
    )
    return training.train(config, str(tmp_path_factory.mktemp("ppca")), verbose=0)


@pytest.fixture(scope="module")
def pixels():
    images = Synthetic(**DATA).load()["train"]
    return images.reshape(len(images), -1).astype(np.float64) / 255.0


def test_stored_variance_is_the_mean_of_the_discarded_eigenvalues(trained, pixels):
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(pixels.T, bias=True)))
    expected = eigenvalues[:-LATENT_SIZE].mean()
    variance = float(np.mean(trained.decode(np.zeros((1, LATENT_SIZE))).variance()))
    assert variance == pytest.approx(expected, rel=PPCA_TOLERANCE)


def test_stored_scale_is_the_generators(trained):
    scale = np.exp(
        float(trained.likelihood.log_scale(trained.decode(np.zeros((1, LATENT_SIZE))))[0])
    )
    assert scale == pytest.approx(Synthetic(**DATA).true_scale, rel=TRUE_SCALE_TOLERANCE)
