"""Small models and images that several test modules build on."""

import keras
import numpy as np

from tf_sigma_vae import models, networks, plugins

IMAGE_SHAPE = (4, 6, 2)
LATENT_SIZE = 3
TINY_OPTIONS = {
    "dense": {"hidden_sizes": (5,)},
    "conv28": {"width": 4},
    "dcgan64": {"width": 4},
    "ladder32": {"channels": 4, "latents": [(4, 1), (1, 1)], "latent_channels": 2, "num_blocks": 1},
    "resnet64": {"width": 4, "num_blocks": 1},
    "vgg64": {"width": 4},
}
"""Options that make a network small; a network without an entry keeps its own defaults."""


def images(num_examples, image_shape=IMAGE_SHAPE, seed=0):
    """Images `[N, H, W, C]` of the values `k / 255`, float32."""
    levels = np.random.default_rng(seed).integers(0, 256, size=(num_examples, *image_shape))
    return (levels / 255.0).astype(np.float32)


def image_networks():
    """Names of the networks for models of images: all but those for frames of videos."""
    names = plugins.names("networks")
    return [name for name in names if networks.latent_of(name) != "sequence"]


def model_class(latent):
    """The class of the models of a kind of latent, of `networks.LATENTS`."""
    classes = [plugins.find("models", name) for name in plugins.names("models")]
    return next(cls for cls in classes if cls.LATENT == latent)


def tiny_vae(likelihood="gaussian_fixed", image_shape=IMAGE_SHAPE, network="dense", **kwargs):
    """An uncompiled model with a small network and repeatable initial weights.

    The network says which model it is for; layers of one's own are for a flat latent.
    """
    keras.utils.set_random_seed(0)
    cls, options = models.VAE, {}
    if isinstance(network, str):
        cls, options = model_class(networks.latent_of(network)), TINY_OPTIONS.get(network, {})
    given = {"latent_size": LATENT_SIZE, "network_options": options, **kwargs}
    return cls(image_shape, likelihood=likelihood, network=network, **given)


def set_weights(model, seed=0, scale=0.3):
    """Replaces the networks' weights by seeded normal numbers, biases included."""
    rng = np.random.default_rng(seed)
    for layer in model.networks:
        layer.set_weights([scale * rng.normal(size=w.shape) for w in layer.get_weights()])
    return model


def weights_of(model):
    """Copies of all the model's weights, as arrays."""
    return [np.array(w.numpy()) for w in model.weights]
