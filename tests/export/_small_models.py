"""SavedModels of a few operations, with the names and shapes of real ones, for tests of serving."""

import numpy as np
import tensorflow as tf

IMAGE_SHAPE = (4, 6, 3)
LATENT_SIZE = 2
PNG = b"\x89PNG\r\n\x1a\n"


class SmallModel(tf.Module):
    """Answers with numbers that tell the factor, hence the version, and the row.

    Args:
      factor: Of all outputs.
    """

    def __init__(self, factor: float):
        super().__init__()
        self.factor = tf.Variable(factor)

    @tf.function(input_signature=[tf.TensorSpec([None, *IMAGE_SHAPE], tf.float32, "images")])
    def encode(self, images):
        images = tf.ensure_shape(images, [None, *IMAGE_SHAPE])
        z_mean = self.factor * tf.reduce_sum(images, axis=[1, 2])[:, :LATENT_SIZE]
        return {"z_mean": z_mean, "z_scale": tf.ones_like(z_mean)}

    @tf.function(input_signature=[tf.TensorSpec([None, *IMAGE_SHAPE], tf.float32, "images")])
    def reconstruct(self, images):
        return {"mean": self.factor * tf.ensure_shape(images, [None, *IMAGE_SHAPE])}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, *IMAGE_SHAPE], tf.float32, "images"),
            tf.TensorSpec([None, 2], tf.int32, "seed"),
        ]
    )
    def elbo(self, images, seed):
        return {"elbo": tf.cast(seed[:, 0], tf.float32) + tf.reduce_sum(images, axis=[1, 2, 3])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def reconstruct_bytes(self, image_bytes):
        text = tf.fill(tf.shape(image_bytes), tf.as_string(self.factor, precision=1))
        return {"mean_bytes": image_bytes + "\0", "text": text}

    @tf.function(input_signature=[tf.TensorSpec([None, LATENT_SIZE], tf.float32, "z")])
    def decode(self, z):
        ones = tf.ones([tf.shape(z)[0], *IMAGE_SHAPE])
        return {"mean": ones * z[:, 0, None, None, None], "scale": self.factor + 0.0 * z[:, 0]}


def save(folder, factor: float):
    """Writes a `SmallModel`."""
    model = SmallModel(factor)
    names = ("encode", "reconstruct", "elbo", "reconstruct_bytes", "decode")
    signatures = {name: getattr(model, name) for name in names}
    signatures["serving_default"] = model.reconstruct
    tf.saved_model.save(model, str(folder), signatures=signatures)


def z_mean(images, factor: float) -> np.ndarray:
    """What `encode` answers."""
    return factor * images.sum(axis=(1, 2))[:, :LATENT_SIZE]
