"""`saved_file`: any network in a `.keras` file or a SavedModel folder.

It must map images `[B, H, W, C]` to features `[B, D]`. One whose height and width are fixed gets
images of that size (bilinear, half-pixel centers, antialiased); one that takes any size gets them
as they are, and resizes them itself or not at all.
"""

import os
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tf_sigma_vae.content_hash import sha256
from tf_sigma_vae.evaluation.fid.extractors._base import (
    MAX_LEVEL,
    RESIZE,
    Extractor,
    prepared,
)
from tf_sigma_vae.evaluation.fid.protocol import Extraction

SIGNATURE = "serving_default"
LEFT_TO_NETWORK = "none before the network"


class SavedFile(Extractor):
    """A network given by its path."""

    def __init__(
        self, path: str | None = None, input_range: tuple[float, float] = (0.0, MAX_LEVEL)
    ) -> None:
        """Loads the network.

        Args:
          path: A `.keras` file, or the folder of a SavedModel with the signature
            `serving_default`.
          input_range: What the network wants grey levels 0 and 255 to be, for example `(-1, 1)`.

        Raises:
          ValueError: If no path is given, or the network has not one input of images and one
            output.
          FileNotFoundError: If there is nothing at the path.
        """
        if path is None:
            raise ValueError("saved_file needs the path of a .keras file or a SavedModel folder")
        if not os.path.exists(path):
            raise FileNotFoundError(f"there is no network at {path!r}")
        network, shape = load_network(path)
        height, width, channels = shape[1:]
        self.channels = channels or type(self).channels
        size = (height, width) if height and width else None
        self.extraction = Extraction(
            extractor=self.plugin_name(),
            content_hash=sha256(path),
            resize=RESIZE if size else LEFT_TO_NETWORK,
            size=size,
            input_range=input_range,
        )

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, self.channels])])
        def extract(levels: tf.Tensor) -> tf.Tensor:
            return network(prepared(levels, size, input_range))

        self._extract = extract

    def extract(self, levels: np.ndarray) -> tf.Tensor:
        """See `Extractor.extract`."""
        return self._extract(levels)


def load_network(
    path: str, axes: str = "H, W, C"
) -> tuple[Callable[[tf.Tensor], tf.Tensor], tuple[int | None, ...]]:
    """A network of images, or of other examples with the axes that are named.

    Args:
      path: A `.keras` file, or the folder of a SavedModel.
      axes: Of an example: "H, W, C" of images, "T, H, W, C" of clips.

    Returns:
      A function of float examples, the batch first, and the shape, `(None, ...)`, that it takes.

    Raises:
      ValueError: If it has not one input of such examples and one output.
    """
    load = _load_saved_model if os.path.isdir(path) else _load_keras
    return load(path, axes)


def _load_keras(
    path: str, axes: str
) -> tuple[Callable[[tf.Tensor], tf.Tensor], tuple[int | None, ...]]:
    """See `load_network`."""
    model = keras.saving.load_model(path, compile=False)
    inputs = getattr(model, "inputs", None) or []
    _require_one(path, "input", [(each.name, each.shape) for each in inputs])
    outputs = [(each.name, each.shape) for each in model.outputs]
    _require_one(path, "output", outputs)
    return lambda x: model(x, training=False), _input_shape(path, inputs[0], axes)


def _load_saved_model(
    path: str, axes: str
) -> tuple[Callable[[tf.Tensor], tf.Tensor], tuple[int | None, ...]]:
    """See `load_network`."""
    loaded = tf.saved_model.load(path)
    if SIGNATURE not in loaded.signatures:
        raise ValueError(
            f"{path!r} has no signature {SIGNATURE!r}; it has {sorted(loaded.signatures)}"
        )
    signature = loaded.signatures[SIGNATURE]
    inputs = signature.structured_input_signature[1]
    _require_one(path, "input", [(name, spec.shape) for name, spec in inputs.items()])
    outputs = signature.structured_outputs
    _require_one(path, "output", [(name, spec.shape) for name, spec in outputs.items()])
    ((name, spec),) = inputs.items()
    (output,) = outputs

    def call(images: tf.Tensor) -> tf.Tensor:
        # Through `loaded`: a signature alone does not keep its variables.
        return loaded.signatures[SIGNATURE](**{name: images})[output]

    return call, _input_shape(path, spec, axes)


def _require_one(path: str, what: str, found: list) -> None:
    if len(found) != 1:
        shapes = sorted(f"{name} {tuple(shape)}" for name, shape in found)
        raise ValueError(f"the network in {path!r} must have one {what}, it has {shapes}")


def _input_shape(
    path: str, spec: tf.TensorSpec | keras.KerasTensor, axes: str
) -> tuple[int | None, ...]:
    shape = tuple(spec.shape)
    if len(shape) != 1 + len(axes.split(",")) or not tf.as_dtype(spec.dtype).is_floating:
        what = "images" if axes == "H, W, C" else "examples"
        raise ValueError(
            f"the network in {path!r} must take float {what} [B, {axes}], it takes "
            f"{tf.as_dtype(spec.dtype).name} {shape}"
        )
    return shape
