"""sigma-VAE: variational autoencoders with calibrated decoders, on TensorFlow and Keras 3.

    import tf_sigma_vae as sv

    model = sv.models.VAE(image_shape=(28, 28, 1), likelihood="gaussian_optimal")
    model.compile("adam")
    model.fit(images, epochs=10)
    model.calibrate(images)

Reference: Rybkin, Daniilidis, Levine 2021, "Simple and Effective VAE Training with Calibrated
Decoders" (arXiv 2006.13202).
"""

import os as _os

_os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras as _keras

if _keras.backend.backend() != "tensorflow":
    raise ImportError(
        "tf_sigma_vae needs the TensorFlow backend of Keras, but Keras runs on "
        f"{_keras.backend.backend()!r}: set KERAS_BACKEND=tensorflow before importing keras"
    )
if _keras.config.image_data_format() != "channels_last":
    raise ImportError(
        "tf_sigma_vae needs images as channels_last, but Keras is set to "
        f"{_keras.config.image_data_format()!r}: call "
        "keras.config.set_image_data_format('channels_last')"
    )

from tf_sigma_vae import (
    data,
    distributions,
    evaluation,
    likelihoods,
    models,
    networks,
    objectives,
    testing,
    training,
)
from tf_sigma_vae.models import load
from tf_sigma_vae.version import __version__ as __version__

__all__ = [
    "data",
    "distributions",
    "evaluation",
    "likelihoods",
    "load",
    "models",
    "networks",
    "objectives",
    "testing",
    "training",
]
