"""Distributions as tensors by name, and back."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests._models import images
from tf_sigma_vae import distributions, plugins
from tf_sigma_vae.distributions import from_parameters, to_parameters

tfd = tfp.distributions
SHAPE = (4, 6, 3)
SCALE = {"image": [], "channel": [3], "element": list(SHAPE)}
ROUNDING = 2e-6
"""Relative: the scale of a Student-t is made from its standard deviation, and back."""


def of_plugin(name, num_images=2):
    """The likelihood `name` and a distribution of it, with a stored scale."""
    likelihood = plugins.find("likelihoods", name)()
    rng = np.random.default_rng(0)
    params = rng.normal(size=(num_images, 4, 6, likelihood.params_channels(3))).astype("float32")
    likelihood.ensure_built(params.shape)
    if likelihood.needs_calibration:
        likelihood.calibrate(np.linspace(1.0, 9.0, 20), 72, 0)
    return likelihood, likelihood.distribution(tf.constant(params))


@pytest.mark.parametrize("name", plugins.names("likelihoods"))
def test_every_likelihood_comes_back_from_its_parameters_and_from_some_of_their_rows(name):
    likelihood, distribution = of_plugin(name)
    parameters = likelihood.parameters(distribution)
    restored = from_parameters(parameters)
    assert restored.batch_shape == distribution.batch_shape
    assert restored.event_shape == distribution.event_shape == SHAPE
    x = images(2, SHAPE)
    log_prob = distribution.log_prob(x)
    np.testing.assert_allclose(restored.log_prob(x), log_prob, rtol=ROUNDING)
    np.testing.assert_allclose(restored.mean(), distribution.mean(), rtol=ROUNDING)
    second = from_parameters({name: value[1:2] for name, value in parameters.items()})
    np.testing.assert_allclose(second.log_prob(x[1:2]), log_prob[1:2], rtol=ROUNDING)


@pytest.mark.parametrize("name", plugins.names("likelihoods"))
def test_scale_is_given_once_where_it_is_one(name):
    likelihood, distribution = of_plugin(name)
    parameters = likelihood.parameters(distribution)
    assert ("scale" in parameters) == likelihood.has_scale
    if likelihood.has_scale:
        assert parameters["scale"].shape == [2, *SCALE[likelihood.scale_per]]
        stddev = distribution.stddev().numpy()
        given = parameters["scale"].numpy()
        axes = {"image": (1, 2, 3), "channel": (1, 2), "element": ()}[likelihood.scale_per]
        np.testing.assert_allclose(np.expand_dims(given, axes) * np.ones_like(stddev), stddev)


def test_scale_of_an_image_is_that_of_a_normal_written_by_hand():
    mean, scale = images(2, SHAPE), np.array([0.5, 2.0], np.float32)
    found = from_parameters({"mean": mean, "scale": scale})
    x = images(2, SHAPE, seed=1)
    error = ((x - mean) ** 2).sum(axis=(1, 2, 3)).astype(np.float64)
    expected = -0.5 * error / scale**2 - 72 * (np.log(scale) + 0.5 * np.log(2 * np.pi))
    np.testing.assert_allclose(found.log_prob(x), expected, rtol=1e-5)


def test_empty_batch_has_parameters():
    likelihood, distribution = of_plugin("gaussian_per_channel", num_images=0)
    parameters = likelihood.parameters(distribution)
    assert parameters["scale"].shape == [0, 3]
    assert from_parameters(parameters).log_prob(images(0, SHAPE)).shape == [0]


def test_unknown_names_are_rejected_with_the_known_ones():
    with pytest.raises(ValueError, match=r"\['mean', 'variance'\].*df, mean, scale"):
        from_parameters({"mean": images(1), "variance": images(1)})


def test_other_distributions_are_rejected_by_name():
    with pytest.raises(TypeError, match="Laplace; known: MarginalGaussian"):
        to_parameters(tfd.Independent(tfd.Laplace(images(1), 1.0), 3))


def test_unknown_sharing_of_the_scale_is_rejected():
    with pytest.raises(ValueError, match="scale_per.*'pixel'"):
        distributions.to_parameters(tfd.Independent(tfd.Normal(images(1), 1.0), 3), "pixel")
