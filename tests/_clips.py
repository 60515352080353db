"""Small sequence models and clips that several test modules build on."""

import keras
import numpy as np

from tests._models import images
from tf_sigma_vae import models

FRAME_SHAPE = (16, 16, 1)
LATENT_SIZE = 3
CONTEXT = 2


def clips(num_clips, num_frames=5, frame_shape=FRAME_SHAPE, seed=0):
    """Clips `[N, T, H, W, C]` of the values `k / 255`, float32."""
    frames = images(num_clips * num_frames, frame_shape, seed)
    return frames.reshape(num_clips, num_frames, *frame_shape)


def tiny_sequence(likelihood="gaussian_fixed", frame_shape=FRAME_SHAPE, **kwargs):
    """An uncompiled model with small networks and repeatable initial weights."""
    keras.utils.set_random_seed(0)
    given = {
        "latent_size": LATENT_SIZE,
        "network": "dcgan64",
        "network_options": {"width": 4},
        "context_frames": CONTEXT,
        "feature_size": 8,
        "lstm_units": 6,
    }
    return models.SequenceVAE(frame_shape, likelihood=likelihood, **{**given, **kwargs})


def stirred(model, seed=0, scale=0.5):
    """The model with seeded noise on the weights of its recurrent parts, so that they matter."""
    rng = np.random.default_rng(seed)
    for layer in (model.posterior_lstm, model.prior_lstm, model.predictor):
        if layer is not None:
            noisy = [w + scale * rng.normal(size=w.shape) for w in layer.get_weights()]
            layer.set_weights(noisy)
    return model
