"""`inception_v3_keras`: Inception V3 of `keras.applications`, averaged before its last layer.

The same architecture as `inception_2015`, but trained anew: distances are similar in kind, not in
value, and are not FID. Images are resized to 299 x 299 (bilinear, half-pixel centers, antialiased)
and mapped to [-1, 1].
"""

import hashlib

import keras
import numpy as np
import tensorflow as tf

from tf_sigma_vae.evaluation.fid.extractors._base import RESIZE, Extractor, prepared
from tf_sigma_vae.evaluation.fid.protocol import Extraction

SIZE = (299, 299)
INPUT_RANGE = (-1.0, 1.0)
WEIGHTS_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"


class InceptionV3Keras(Extractor):
    """Inception V3 as Keras ships it; 2,048 features."""

    def __init__(self, path: str | None = None) -> None:
        """Builds the network and loads its weights.

        Args:
          path: A file of weights without the top layer; None to download those of ImageNet
            (88 MB, once, to the cache of Keras).

        Raises:
          ConnectionError: If they cannot be downloaded; the message says what to do.
          ValueError: If there is no such file, or it does not fit.
        """
        network = _network(path)
        self.extraction = Extraction(
            extractor=self.plugin_name(),
            content_hash=_hash_of_weights(network),
            resize=RESIZE,
            size=SIZE,
            input_range=INPUT_RANGE,
        )

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
        def extract(levels: tf.Tensor) -> tf.Tensor:
            return network(prepared(levels, SIZE, INPUT_RANGE), training=False)

        self._extract = extract

    def extract(self, levels: np.ndarray) -> tf.Tensor:
        """See `Extractor.extract`."""
        return self._extract(levels)


def _network(path: str | None) -> keras.Model:
    policy = keras.config.dtype_policy()
    # The layers take the global policy, which a model trained in reduced precision has changed.
    keras.config.set_dtype_policy("float32")
    try:
        return keras.applications.InceptionV3(
            include_top=False,
            weights="imagenet" if path is None else path,
            input_shape=(*SIZE, 3),
            pooling="avg",
        )
    except Exception as error:
        # Keras raises a bare Exception where the network fails.
        if path is not None:
            raise
        raise ConnectionError(
            f"cannot download the weights of Inception V3: {error}. Fetch {WEIGHTS_FILE} "
            "elsewhere and give its path."
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)


def _hash_of_weights(network: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in network.get_weights():
        digest.update(f"{weight.dtype.str} {weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()
