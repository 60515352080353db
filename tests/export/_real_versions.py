"""Two versions of one real model, and what Python answers to the requests of a test."""

import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tests._models import LATENT_SIZE, images, set_weights, tiny_vae
from tests.export._requests import INPUTS
from tests.export._small_models import IMAGE_SHAPE
from tf_sigma_vae.export import check, server_files
from tf_sigma_vae.models import _serving

VERSIONS = (1, 2)
NUM_ROWS = server_files.MAX_BATCH_SIZE + 6
"""More than one request may have."""
# Between the scores of the images, far from each of them.
_SCORES = (40.0, 60.0, 80.0, 100.0)


class RealVersion(NamedTuple):
    """A SavedModel.

    Attributes:
      folder: Where it lies.
      requests: A request of one row for each signature.
      expected: What Python answers to `inputs`, by signature and output.
      log_prob: Of the images given the latents `z`, by the Python model, `[NUM_ROWS]`.
    """

    folder: str
    requests: dict[str, dict[str, np.ndarray]]
    expected: dict[str, dict[str, np.ndarray]]
    log_prob: np.ndarray


def inputs() -> dict[str, np.ndarray]:
    """`NUM_ROWS` rows of each input by name; files of both kinds."""
    rng = np.random.default_rng(3)
    x = images(NUM_ROWS, IMAGE_SHAPE, seed=1)
    files = np.empty(NUM_ROWS, object)
    for row, image in enumerate((x * 255).round().astype(np.uint8)):
        files[row] = (tf.io.encode_jpeg if row % 2 else tf.io.encode_png)(image).numpy()
    return {
        "images": x,
        "z": rng.normal(size=(NUM_ROWS, LATENT_SIZE)).astype(np.float32),
        "seed": rng.integers(-(2**31), 2**31, size=(NUM_ROWS, 2)).astype(np.int32),
        "image_bytes": files,
    }


def build(root) -> dict[int, RealVersion]:
    """Writes both versions below a folder: one model with two sets of weights, traced once."""
    given, found = inputs(), {}
    model = tiny_vae("gaussian_optimal", IMAGE_SHAPE)
    model.calibrate(images(20, IMAGE_SHAPE, seed=5))
    functions = model.signatures(validation_scores=np.float32(_SCORES))
    for version in VERSIONS:
        set_weights(model, seed=version)
        folder = os.path.join(root, str(version))
        # What model.export does, with functions that exist already.
        _serving.write(model, folder, functions)
        found[version] = RealVersion(
            folder,
            check.requests(model, functions, given["images"][:1]),
            {name: _answer(functions[name], given, names) for name, names in INPUTS.items()},
            model.decode(given["z"]).log_prob(given["images"]).numpy(),
        )
    return found


def _answer(function, given, names):
    return {key: value.numpy() for key, value in function(*(given[n] for n in names)).items()}
