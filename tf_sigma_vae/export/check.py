"""What keeps a wrong model from being published: its scale, its weights, and what it answers."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

TOLERANCE = 1e-6
"""Of a difference, relative to the largest value of an output. The same operations on the same
machine: only the order of sums may differ."""


class ExportError(RuntimeError):
    """A model that must not be served; the message says why."""


class Difference(NamedTuple):
    """How far an output of the reloaded model is from that of the Python model."""

    signature: str
    output: str
    difference: float
    """Largest absolute difference, relative to the largest value or 1. PNG files: 1 if they differ
    in any byte, else 0."""


def require_exportable(model: keras.Model) -> None:
    """Checks the stored scale and the weights.

    Args:
      model: A model with a likelihood.

    Raises:
      ExportError: If an analytic scale was never calibrated, or a weight is not finite.
    """
    likelihood = model.likelihood
    source = likelihood.provenance()["source"]
    if likelihood.needs_calibration and source != "calibrate":
        has = "a moving average of its last batches" if source == "moving_average" else "none"
        raise ExportError(
            f"the scale of {type(likelihood).__name__} was never calibrated (what it has: {has}). "
            "Train with --config.calibrate=True, or call model.calibrate(training_images) and save "
            "the model again"
        )
    for weight in model.weights:
        values = np.asarray(weight.value)
        bad = values.size - np.count_nonzero(np.isfinite(values))
        if bad:
            raise ExportError(
                f"{bad} of {values.size} values of the weight {weight.path} are not "
                "finite: the training has diverged"
            )


def requests(model: keras.Model, functions, images) -> dict[str, dict[str, np.ndarray]]:
    """A real request for each signature of a latent-variable model of images.

    Args:
      model: The model.
      functions: Signatures of the Python model, by name.
      images: float32 `[B, H, W, C]` in [0, 1].

    Returns:
      The inputs by name, for each signature, in the order of its arguments.
    """
    makers = {
        "images": lambda: np.asarray(images, np.float32),
        "z": lambda: model.encode(images).mean().numpy(),
        "seed": lambda: np.arange(2 * len(images), dtype=np.int32).reshape(-1, 2),
        "image_bytes": lambda: np.array([_png(image) for image in images], object),
    }
    return {
        name: {spec.name: makers[spec.name]() for spec in function.input_signature}
        for name, function in functions.items()
    }


def _png(image) -> bytes:
    return tf.io.encode_png(tf.cast(tf.round(255.0 * image), tf.uint8)).numpy()


def differences(functions, folder: str, inputs) -> list[Difference]:
    """Compares a SavedModel, loaded anew, with the model it was written from.

    Args:
      functions: Signatures of the Python model, by name.
      folder: Of the SavedModel.
      inputs: The inputs of each signature by name; see `requests`.

    Returns:
      A `Difference` for each output of each signature.

    Raises:
      ExportError: If one is above `TOLERANCE`, not finite, or missing.
    """
    loaded = tf.saved_model.load(folder).signatures
    found = []
    for name, function in functions.items():
        given = {key: tf.constant(value) for key, value in inputs[name].items()}
        expected = function(*given.values())
        answered = loaded[name](**given)
        if set(expected) != set(answered):
            raise ExportError(
                f"signature {name} answers {sorted(answered)} once reloaded, not {sorted(expected)}"
            )
        for output, value in expected.items():
            found.append(_difference(name, output, value.numpy(), answered[output].numpy()))
    for worst in found:
        # Not "above": NaN is no agreement either.
        if not worst.difference <= TOLERANCE:
            raise ExportError(
                f"the reloaded model differs from the Python model: {worst.output} of signature "
                f"{worst.signature} by {worst.difference:.2g} of its size; at most {TOLERANCE:g} "
                "is allowed"
            )
    return found


def _difference(signature: str, output: str, expected, answered) -> Difference:
    if expected.dtype == object:
        return Difference(signature, output, float(not np.array_equal(expected, answered)))
    if expected.shape != answered.shape or not np.all(np.isfinite(answered)):
        return Difference(signature, output, float("nan"))
    size = max(1.0, float(np.max(np.abs(expected))))
    return Difference(signature, output, float(np.max(np.abs(expected - answered))) / size)
