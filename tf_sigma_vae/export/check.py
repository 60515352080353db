"""What keeps a wrong model from being published: its scale, its weights, and what it answers."""

import math
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

TOLERANCE = 1e-5
"""Of a difference, relative to the size of an output: its largest value, or 1; for nats at least
the number of dimensions, over which they are a sum. A graph sums float32 in another order than
Python does, and fuses multiplications; what comes out of it is 1e-6 at most, of any decoder."""

_NATS = ("elbo", "log_prob", "score")


class ExportError(RuntimeError):
    """A model that must not be served; the message says why."""


class Difference(NamedTuple):
    """How far an output of the reloaded model is from that of the Python model."""

    signature: str
    output: str
    difference: float
    """Largest absolute difference, relative to the size of the output; see `TOLERANCE`. PNG files:
    1 if they differ in any byte, else 0."""


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


def differences(model, functions, folder: str, inputs) -> list[Difference]:
    """Compares a SavedModel, loaded anew, with the model it was written from.

    What `model.encode`, `model.decode` and `model(x)` say is compared with what these Python
    methods give when they are called as a user calls them; the rest with the signatures before
    they were saved.

    Args:
      model: The Python model.
      functions: Its signatures by name.
      folder: Of the SavedModel.
      inputs: The inputs of each signature by name; see `requests`.

    Returns:
      A `Difference` for each output of each signature.

    Raises:
      ExportError: If one is above `TOLERANCE`, not finite, or missing.
    """
    loaded = tf.saved_model.load(folder).signatures
    in_python = _in_python(model, inputs)
    found = []
    for name, function in functions.items():
        given = {key: tf.constant(value) for key, value in inputs[name].items()}
        expected = {**function(*given.values()), **in_python.get(name, {})}
        answered = loaded[name](**given)
        if set(expected) != set(answered):
            raise ExportError(
                f"signature {name} answers {sorted(answered)} once reloaded, not {sorted(expected)}"
            )
        for output, value in expected.items():
            least = math.prod(model.image_shape) if output in _NATS else 1
            difference = _difference(value.numpy(), answered[output].numpy(), least)
            found.append(Difference(name, output, difference))
    for worst in found:
        # Not "above": NaN is no agreement either.
        if not worst.difference <= TOLERANCE:
            raise ExportError(
                f"the reloaded model differs from the Python model: {worst.output} of signature "
                f"{worst.signature} by {worst.difference:.2g} of its size; at most {TOLERANCE:g} "
                "is allowed"
            )
    return found


def _in_python(model, inputs) -> dict[str, dict[str, tf.Tensor]]:
    """What the methods of the model give for the same inputs, without any graph."""
    x, z = inputs["encode"]["images"], inputs["decode"]["z"]
    posterior, output = model.encode(x), model(x)
    parameters = model.likelihood.parameters
    reconstruction = parameters(model.decode(posterior.mean()))
    likelihood = output.likelihood
    found = {
        "encode": {"z_mean": posterior.mean(), "z_scale": posterior.stddev()},
        "decode": parameters(model.decode(z)),
        "reconstruct": {k: v for k, v in reconstruction.items() if k in ("mean", "scale")},
        "anomaly": {
            "score": output.rate - likelihood.log_prob(x),
            "z_score": (x - likelihood.mean()) / likelihood.stddev(),
        },
    }
    return {"serving_default": found["reconstruct"], **found}


def _difference(expected, answered, least: float) -> float:
    if expected.dtype == object:
        return float(not np.array_equal(expected, answered))
    if expected.shape != answered.shape or not np.all(np.isfinite(answered)):
        return math.nan
    size = max(least, float(np.max(np.abs(expected))))
    return float(np.max(np.abs(expected - answered))) / size
