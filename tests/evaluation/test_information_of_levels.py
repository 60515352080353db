"""What the information can be asked of where the latent is a hierarchy."""

import numpy as np
import pytest

from tests._models import LATENT_SIZE, tiny_vae
from tests.evaluation._eagerly import eagerly
from tests.evaluation._hierarchies import IMAGE_SHAPE, hierarchy
from tests.evaluation._hierarchies import levels as images_of
from tf_sigma_vae.evaluation import information
from tf_sigma_vae.evaluation._posteriors import measurable_latent, require_measurable
from tf_sigma_vae.evaluation.estimate import NotMeasurableError

NUM_EXAMPLES = 40
FLOAT32 = 1e-5


def levels():
    return images_of(NUM_EXAMPLES)


@pytest.fixture(scope="module")
def model():
    return hierarchy()


@pytest.fixture(scope="module")
def one_level():
    return hierarchy(latents=[(1, 1)])


def test_information_of_the_top_level_is_that_of_its_draws_alone(model):
    with eagerly():
        found = information.posterior_draws(model, levels(), global_batch_size=16, latent="top")
        whole = information.model_information(model, levels(), global_batch_size=16, latent="top")
    output = model(levels().astype(np.float32) / np.float32(255))
    np.testing.assert_allclose(found.z, output.z[:, :LATENT_SIZE], FLOAT32, FLOAT32)
    np.testing.assert_allclose(
        found.scale, output.posterior.stddev()[:, :LATENT_SIZE], FLOAT32, FLOAT32
    )
    rate = np.mean(output.rate_groups[:, 0])
    assert whole.rate.value == pytest.approx(rate, rel=1e-4)
    assert whole.protocol["latent"] == "top"
    assert whole.protocol["conventions"] == information.TOP_CONVENTIONS


def test_whole_hierarchy_is_refused_with_the_reason(model):
    message = "hierarchy of 2 levels is no Gaussian of each image: .* latent='top' asks of the top"
    with pytest.raises(NotMeasurableError, match=message):
        information.model_information(model, levels())


def test_top_level_that_depends_on_draws_is_refused():
    model = hierarchy(stochastic_bottom_up=True)
    with pytest.raises(NotMeasurableError, match="stochastic_bottom_up=False"):
        information.model_information(model, levels(), latent="top")
    with pytest.raises(NotMeasurableError, match="stochastic_bottom_up=False"):
        require_measurable(model)


def test_one_level_is_the_whole_latent(one_level):
    with eagerly():
        whole, top = (
            information.posterior_draws(one_level, levels(), latent=latent)
            for latent in ("whole", "top")
        )
    np.testing.assert_array_equal(whole.z, top.z)
    assert whole.z.shape == (NUM_EXAMPLES, LATENT_SIZE)


def test_latent_of_another_name_is_refused():
    with pytest.raises(ValueError, match="latent must be one of whole, top, got 'all'"):
        information.posterior_draws(tiny_vae(image_shape=IMAGE_SHAPE), levels(), latent="all")


def test_what_can_be_measured_is_the_top_of_several_levels_and_all_of_one(model, one_level):
    for given, latent in ((model, "top"), (one_level, "whole")):
        require_measurable(given)
        assert measurable_latent(given) == latent
    assert measurable_latent(tiny_vae(image_shape=IMAGE_SHAPE)) == "whole"
