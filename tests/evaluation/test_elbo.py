import numpy as np
import pytest
import scipy.stats

from tests._models import images, set_weights, tiny_vae
from tests.evaluation._eagerly import eagerly
from tf_sigma_vae.evaluation import elbo
from tf_sigma_vae.likelihoods import GaussianOptimal

# float32 sums of 48 terms.
ROUNDING = 1e-5
BATCH_SIZE = 5


def vae(likelihood):
    model = set_weights(tiny_vae(likelihood))
    with eagerly():
        model.calibrate(images(50, seed=1))
    return model


def scores(loc, scale, x):
    """Log-probability of each image, by SciPy in float64."""
    return scipy.stats.norm.logpdf(x.astype(np.float64), loc, scale).sum(axis=(1, 2, 3))


def test_the_terms_are_those_of_the_model():
    output = set_weights(tiny_vae())(images(BATCH_SIZE))
    found = elbo.terms(output)
    assert list(found) == ["elbo", "rate", "distortion"]
    np.testing.assert_array_equal(found["rate"], output.rate)
    np.testing.assert_array_equal(found["distortion"], output.distortion)
    np.testing.assert_array_equal(found["elbo"], -output.rate - output.distortion)


def test_the_batch_scale_is_the_error_of_the_batch():
    model, x = vae(GaussianOptimal(bound="none")), images(BATCH_SIZE)
    output = model(x)
    loc = output.likelihood.mean().numpy()
    expected = scores(loc, np.sqrt(np.mean((x - loc) ** 2)), x)
    found = elbo.plug_in_terms(model.likelihood, output, x)
    assert set(found) == {"elbo_batch_scale", "distortion_batch_scale"}
    np.testing.assert_allclose(-found["distortion_batch_scale"], expected, rtol=ROUNDING)
    np.testing.assert_allclose(
        found["elbo_batch_scale"], expected - output.rate.numpy(), rtol=ROUNDING
    )
    # No scale that the images share scores better.
    assert np.mean(found["elbo_batch_scale"]) > np.mean(elbo.terms(output)["elbo"])


def test_the_image_scale_is_the_error_of_each_image():
    model, x = vae(GaussianOptimal("image", bound="none")), images(BATCH_SIZE)
    output = model(x)
    loc = output.likelihood.mean().numpy()
    scale = np.sqrt(np.mean((x - loc) ** 2, axis=(1, 2, 3), keepdims=True))
    found = elbo.plug_in_terms(model.likelihood, output, x)
    assert set(found) == {"elbo_image_scale", "distortion_image_scale"}
    np.testing.assert_allclose(
        -found["distortion_image_scale"], scores(loc, scale, x), rtol=ROUNDING
    )
    assert np.all(found["elbo_image_scale"] > elbo.terms(output)["elbo"])


@pytest.mark.parametrize("name", ["gaussian_fixed", "gaussian_per_pixel"])
def test_a_scale_that_is_not_analytic_has_no_plug_in(name):
    model, x = set_weights(tiny_vae(name)), images(BATCH_SIZE)
    assert elbo.plug_in_terms(model.likelihood, model(x), x) == {}
