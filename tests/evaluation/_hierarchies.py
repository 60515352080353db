"""Small hierarchies, and runs of them that are finished without training."""

import numpy as np

from tests._models import set_weights, tiny_vae
from tests.cli._finished_run import finished_run

OPTIONS = {"channels": 4, "latents": [(4, 1), (1, 1)], "latent_channels": 2, "num_blocks": 1}
IMAGE_SHAPE = (4, 6, 3)


def hierarchy(image_shape=IMAGE_SHAPE, likelihood="gaussian_fixed", **options):
    """A hierarchy of two levels, unless asked for others, that draws nothing on the way up."""
    given = {**OPTIONS, "stochastic_bottom_up": False, **options}
    return set_weights(tiny_vae(likelihood, image_shape, "ladder32", network_options=given))


def finished_hierarchy(path, **options):
    """A finished run of one on the digits; its path."""
    given = {**OPTIONS, "stochastic_bottom_up": False, **options}
    return finished_run(path, model="hierarchical_vae", network="ladder32", network_options=given)


def levels(num_examples, image_shape=IMAGE_SHAPE, seed=0):
    """Images, uint8."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(num_examples, *image_shape), dtype=np.uint8)


def unit_interval(images):
    """The same as floats in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)
