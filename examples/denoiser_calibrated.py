"""A small U-Net that takes the noise off digits, trained with a likelihood."""

import argparse

import keras
import numpy as np

import tf_sigma_vae as sv
from tf_sigma_vae.data.digits import Digits

NOISE = 0.2


def unet() -> keras.Model:
    """Noisy images `[B, 8, 8, 1]` to clean ones: down to 4x4 and back, with a skip connection."""
    options = {"padding": "same", "activation": "relu"}
    inputs = keras.Input((8, 8, 1))
    fine = keras.layers.Conv2D(16, 3, **options)(inputs)
    coarse = keras.layers.Conv2D(32, 3, strides=2, **options)(fine)
    coarse = keras.layers.Conv2D(32, 3, **options)(coarse)
    up = keras.layers.Conv2DTranspose(16, 4, strides=2, **options)(coarse)
    merged = keras.layers.Concatenate()([fine, up])
    outputs = keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(merged)
    return keras.Model(inputs, outputs)


def noisy_pairs(split: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy and clean images of the digits that come with scikit-learn, in [0, 1]."""
    clean = Digits().load()[split].astype(np.float32) / 255
    noise = np.random.default_rng(seed).normal(0, NOISE, clean.shape)
    return clean + noise.astype(np.float32), clean


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=25)
args = parser.parse_args()

keras.utils.set_random_seed(0)
noisy, clean = noisy_pairs("train", seed=0)
noisy_test, clean_test = noisy_pairs("test", seed=1)

model = unet()
head = sv.likelihoods.GaussianShared(initial_scale="data", loc_activation="linear")
model = sv.models.WithLikelihood(model, head)
model.compile(keras.optimizers.Adam(3e-3))
model.fit(noisy, clean, batch_size=64, epochs=args.epochs, verbose=0)

error = clean_test - model.predict(noisy_test, verbose=0)
print(f"held-out RMS error {np.sqrt(np.mean(error**2)):.3f}")
scale = model(noisy_test).stddev().numpy()
print(f"stored scale {scale.mean():.3f}, 90 % coverage {np.mean(abs(error) < 1.645 * scale):.2f}")
