"""What the information can be asked of where the latent is a hierarchy."""

import numpy as np
import pytest

from tests._models import IMAGE_SHAPE, LATENT_SIZE, set_weights, tiny_vae
from tf_sigma_vae.evaluation import information

SHAPE = (*IMAGE_SHAPE[:2], 3)
NUM_EXAMPLES = 40
FLOAT32 = 1e-5
OPTIONS = {"channels": 4, "latents": [(4, 1), (1, 1)], "latent_channels": 2, "num_blocks": 1}


def hierarchy(**options):
    given = {**OPTIONS, **options}
    return set_weights(tiny_vae("gaussian_fixed", SHAPE, "ladder32", network_options=given))


def levels():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(NUM_EXAMPLES, *SHAPE), dtype=np.uint8)


def test_information_of_the_top_level_is_that_of_its_draws_alone():
    model = hierarchy(stochastic_bottom_up=False)
    found = information.posterior_draws(model, levels(), global_batch_size=16, latent="top")
    output = model(levels().astype(np.float32) / np.float32(255))
    np.testing.assert_allclose(found.z, output.z[:, :LATENT_SIZE], FLOAT32, FLOAT32)
    np.testing.assert_allclose(
        found.scale, output.posterior.stddev()[:, :LATENT_SIZE], FLOAT32, FLOAT32
    )
    whole = information.model_information(model, levels(), global_batch_size=16, latent="top")
    rate = np.mean(output.rate_groups[:, 0])
    assert whole.rate.value == pytest.approx(rate, rel=1e-4)


def test_whole_hierarchy_is_refused_with_the_reason():
    message = "hierarchy of 2 levels is no Gaussian of each image: .* latent='top' asks of the top"
    with pytest.raises(ValueError, match=message):
        information.model_information(hierarchy(), levels())


def test_top_level_that_depends_on_draws_is_refused():
    with pytest.raises(ValueError, match="stochastic_bottom_up=False"):
        information.model_information(hierarchy(), levels(), latent="top")


def test_one_level_is_the_whole_latent():
    model = hierarchy(latents=[(1, 1)])
    whole, top = (
        information.posterior_draws(model, levels(), latent=latent) for latent in ("whole", "top")
    )
    np.testing.assert_array_equal(whole.z, top.z)
    assert whole.z.shape == (NUM_EXAMPLES, LATENT_SIZE)


def test_latent_of_another_name_is_refused():
    with pytest.raises(ValueError, match="latent must be one of whole, top, got 'all'"):
        information.posterior_draws(tiny_vae(image_shape=SHAPE), levels(), latent="all")
