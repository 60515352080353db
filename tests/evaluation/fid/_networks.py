"""Small stand-ins for the networks that features come from."""

import keras
import numpy as np

from tf_sigma_vae.evaluation.fid.extractors import Extractor
from tf_sigma_vae.evaluation.fid.protocol import Extraction

IMAGE_SHAPE = (4, 6, 3)


class Averages(Extractor):
    """Means over rows and columns, times a factor; counts the images that it was given."""

    def __init__(self, factor=1.0, extractor="averages"):
        self.factor, self.num_images = factor, 0
        self.extraction = Extraction(extractor, f"{factor:064.0f}", "none", None, (0.0, 255.0))

    def extract(self, levels):
        self.num_images += len(levels)
        parts = [levels.mean(axis=1), levels.mean(axis=2)]
        flat = np.concatenate([part.reshape(len(levels), -1) for part in parts], axis=1)
        return self.factor * flat


def levels(num_images, shape=IMAGE_SHAPE, seed=0, brightest=256):
    rng = np.random.default_rng(seed)
    return rng.integers(0, brightest, size=(num_images, *shape), dtype=np.uint8)


def dense_network(shape=IMAGE_SHAPE, num_outputs=1):
    """A Keras model `[B, H, W, C] -> [B, 5]` of fixed or unknown height and width."""
    keras.utils.set_random_seed(0)
    images = keras.Input(shape)
    # A maximum, not an average: it is exact however many pixels there are.
    pooled = keras.layers.GlobalMaxPooling2D()(images)
    outputs = [keras.layers.Dense(5)(pooled) for _ in range(num_outputs)]
    return keras.Model(images, outputs if num_outputs > 1 else outputs[0])
