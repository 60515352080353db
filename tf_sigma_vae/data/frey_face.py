"""Frey Face, the frames of a short film of one face."""

import types

from tf_sigma_vae.data import _tfds


class FreyFace(_tfds.TfdsImages):
    """Frey Face: 1,965 frames of one face, 28x20x1, split in blocks of the film.

    Training is on frames 0 to 1,364, validation on 1,365 to 1,564, testing on the last 400. A
    random split would put each test frame between two training frames that look the same: the
    root mean squared distance from a test frame to the nearest training frame (median, in [0, 1]
    units) is 0.045 under a random split of these sizes and 0.076 under this one.
    The validation block stands between the other two, so that no training frame neighbors a test
    frame.

    Source: B. Frey and S. Roweis, through the TensorFlow Datasets builder in this package, which
    keeps the order of the film.
    """

    tfds_name = "frey_face"
    splits = types.MappingProxyType(
        {"train": "train[:1365]", "validation": "train[1365:1565]", "test": "train[1565:]"}
    )
