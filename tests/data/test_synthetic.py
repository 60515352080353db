import math

import numpy as np
import pytest

from tf_sigma_vae.data.synthetic import Synthetic

# Standard errors of a sample variance of n values: variance * sqrt(2 / n); six of them occur
# once in five hundred million runs.
STANDARD_ERRORS = 6


def unit_interval(images):
    return images.reshape(len(images), -1) / 255


def test_discarded_variance_of_the_linear_generator_is_the_true_scale():
    # Probabilistic PCA (Tipping and Bishop 1999): its maximum-likelihood variance is the mean of
    # the discarded eigenvalues, here times n / (n - latent_size - 1) for the fitted dimensions.
    latent_size, n = 3, 4000
    data = Synthetic(latent_size=latent_size, num_train=n, image_size=(6, 5), noise_scale=0.04)
    x = unit_interval(data.load()["train"])
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T))
    variance = eigenvalues[:-latent_size].mean() * n / (n - latent_size - 1)
    error = data.true_scale**2 * math.sqrt(2 / (n * (30 - latent_size)))
    assert abs(variance - data.true_scale**2) < STANDARD_ERRORS * error
    assert eigenvalues[-latent_size] > 2 * data.true_scale**2


def test_true_scale_adds_the_rounding_to_the_noise():
    expected = 0.03**2 + (1 / 255) ** 2 / 12
    assert Synthetic(noise_scale=0.03).true_scale ** 2 == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("generator", ["linear", "nonlinear"])
def test_values_are_practically_never_clipped(generator):
    data = Synthetic(generator=generator, noise_scale=0.06, num_train=3000, channels=3)
    x = data.load()["train"]
    assert np.mean((x == 0) | (x == 255)) < 1e-5


def test_nonlinear_images_are_not_linear_ones():
    options = {"noise_scale": 1 / 255, "latent_size": 2, "num_train": 2000}
    spectra = {}
    for generator in ("linear", "nonlinear"):
        x = unit_interval(Synthetic(generator=generator, **options).load()["train"])
        spectra[generator] = np.linalg.eigvalsh(np.cov(x.T))
    floor = Synthetic(noise_scale=1 / 255).true_scale ** 2
    assert spectra["linear"][-3] < 2 * floor
    assert spectra["nonlinear"][-3] > 20 * floor


def test_shapes_follow_the_options():
    options = {"image_size": (4, 6), "channels": 3, "num_train": 7, "num_test": 5}
    loaded = Synthetic(**options).load()
    assert {split: x.shape for split, x in loaded.items()} == {
        "train": (7, 4, 6, 3),
        "test": (5, 4, 6, 3),
    }


def test_images_follow_the_seed_and_splits_differ():
    first, again, other = (Synthetic(seed=s, num_test=2000).load() for s in (3, 3, 4))
    np.testing.assert_array_equal(first["train"], again["train"])
    np.testing.assert_array_equal(first["test"], again["test"])
    assert not np.array_equal(first["train"], other["train"])
    assert not np.array_equal(first["train"], first["test"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_scale": 0.2}, "noise_scale must be between 1/255"),
        ({"noise_scale": 0.001}, "noise_scale must be between 1/255"),
        ({"noise_scale": "0.05"}, "noise_scale must be a number"),
        ({"generator": "cubic"}, r"generator must be one of \['linear', 'nonlinear'\]"),
        ({"num_train": 0}, "num_train must be a whole number of at least 1"),
        ({"channels": 2}, "channels must be one of"),
        ({"latent_size": 64}, "latent_size must be smaller than .* 64"),
    ],
)
def test_impossible_options_are_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        Synthetic(**options)
