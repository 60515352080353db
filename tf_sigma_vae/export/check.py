"""What keeps a wrong model from being published: its scale, its weights, and what it answers."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import PolymorphicFunction

from tf_sigma_vae.models import LatentVariableModel
from tf_sigma_vae.models._signatures import Z_STREAM, row_ids

TOLERANCE = 1e-5
"""Of a difference, relative to the size of an output: its largest value, or 1; for nats at least
the number of dimensions, over which they are a sum. A graph sums float32 in another order than
Python does, and fuses multiplications; what comes out of it is 1e-6 at most, of any decoder."""

ROLLOUT_TOLERANCE = 1e-3
"""Of the outputs of `predict`: what a frame is off by goes into the frames after it."""

_NATS = ("elbo", "log_prob", "score", "elbo_per_frame", "score_per_frame")
_DRAWN = ("frames",)
"""Compared on average: a draw of grey levels may fall on the other side of a limit."""

_OF_MEANS = {"mean": "mean_rollout"}


class ExportError(RuntimeError):
    """A model that must not be served; the message says why."""


class Difference(NamedTuple):
    """How far an output of the reloaded model is from that of the Python model."""

    signature: str
    output: str
    difference: float
    """Largest absolute difference, relative to the size of the output; see `TOLERANCE`. PNG files:
    1 if they differ in any byte, else 0. Frames that are drawn: the mean absolute difference."""


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


def requests(
    model: LatentVariableModel, functions: Mapping[str, PolymorphicFunction], examples: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """A real request for each signature of a latent-variable model.

    Args:
      model: The model.
      functions: Signatures of the Python model, by name.
      examples: Images float32 `[B, H, W, C]` in [0, 1], or clips `[B, T, H, W, C]`.

    Returns:
      The inputs by name, for each signature, in the order of its arguments.
    """
    makers = {
        "images": lambda: np.asarray(examples, np.float32),
        "clips": lambda: np.asarray(examples, np.float32),
        "context": lambda: np.asarray(examples[:, : model.context_frames], np.float32),
        "z": lambda: model.encode(examples).mean().numpy(),
        "seed": lambda: np.arange(2 * len(examples), dtype=np.int32).reshape(-1, 2),
        "image_bytes": lambda: np.array([_png(image) for image in examples], object),
    }
    return {
        name: {spec.name: makers[spec.name]() for spec in function.input_signature}
        for name, function in functions.items()
    }


def _png(image: np.ndarray) -> bytes:
    return tf.io.encode_png(tf.cast(tf.round(255.0 * image), tf.uint8)).numpy()


def differences(
    model: LatentVariableModel,
    functions: Mapping[str, PolymorphicFunction],
    folder: str,
    inputs: Mapping[str, Mapping[str, np.ndarray]],
) -> list[Difference]:
    """Compares a SavedModel, loaded anew, with the model it was written from.

    What `model.encode`, `model.decode` and `model(x)` say, and of videos `model.priors`,
    `model.score` and `model.rollout`, is compared with what these Python methods give when they are
    called as a user calls them; the rest with the signatures before they were saved.

    Args:
      model: The Python model.
      functions: Its signatures by name.
      folder: Of the SavedModel.
      inputs: The inputs of each signature by name; see `requests`.

    Returns:
      A `Difference` for each output of each signature.

    Raises:
      ExportError: If one is above `TOLERANCE` (`ROLLOUT_TOLERANCE`), not finite, or missing.
    """
    loaded = tf.saved_model.load(folder).signatures
    if model.of_videos:
        # Fixed in the graph, and not said elsewhere.
        outputs = functions["predict"].get_concrete_function().structured_outputs
        in_python = _clips_in_python(model, inputs, num_frames=outputs["mean"].shape[1])
    else:
        in_python = _in_python(model, inputs)
    found, rollouts = [], ("predict", "serving_default") if model.of_videos else ()
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
            difference = _difference(output, value.numpy(), answered[output].numpy(), least)
            found.append(Difference(name, output, difference))
    for worst in found:
        tolerance = ROLLOUT_TOLERANCE if worst.signature in rollouts else TOLERANCE
        # Not "above": NaN is no agreement either.
        if not worst.difference <= tolerance:
            raise ExportError(
                f"the reloaded model differs from the Python model: {worst.output} of signature "
                f"{worst.signature} by {worst.difference:.2g} of its size; at most {tolerance:g} "
                "is allowed"
            )
    return found


def _in_python(
    model: LatentVariableModel, inputs: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, dict[str, tf.Tensor]]:
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


def _clips_in_python(
    model: LatentVariableModel, inputs: Mapping[str, Mapping[str, np.ndarray]], num_frames: int
) -> dict[str, dict[str, tf.Tensor]]:
    """As `_in_python`, of a model of videos."""
    x, seed = inputs["elbo"]["clips"], inputs["elbo"]["seed"]
    posterior, prior = model.encode(x), model.priors(x)
    ids = row_ids(tf.constant(seed), Z_STREAM)
    output, scored = model(x), model.score(x, ids)
    found = {
        "encode": {
            "z_mean": posterior.mean(),
            "z_scale": posterior.stddev(),
            "prior_mean": prior.mean(),
            "prior_scale": prior.stddev(),
        },
        "elbo": {
            "elbo": -(scored.distortion + scored.rate),
            "log_prob": -scored.distortion,
            "rate": scored.rate,
        },
        "anomaly": {
            "score": output.distortion + output.rate,
            "score_per_frame": model.frame_distortions(output, x) + output.rate_groups,
        },
        "predict": _rollouts_in_python(model, inputs["predict"]["context"], num_frames, ids),
    }
    return {"serving_default": found["predict"], **found}


def _rollouts_in_python(
    model: LatentVariableModel, context: np.ndarray, num_frames: int, ids: tf.Tensor
) -> dict[str, tf.Tensor]:
    """What can be said of `predict` by the rollouts themselves: all but the draws."""
    found = {}
    for temperature, names in ((1.0, {"mean": "mean", "scale": "scale"}), (0.0, _OF_MEANS)):
        params = model.rollout(context, num_frames, ids[:, tf.newaxis], temperature)[:, 0]
        frames = model.frame_distribution(tf.reshape(params, [-1, *params.shape[2:]]))
        for name, value in model.likelihood.parameters(frames).items():
            if name in names and (name == "mean" or model.likelihood.has_scale):
                found[names[name]] = tf.reshape(value, [-1, num_frames, *value.shape[1:]])
    return found


def _difference(output: str, expected: np.ndarray, answered: np.ndarray, least: float) -> float:
    if expected.dtype == object:
        return float(not np.array_equal(expected, answered))
    if expected.shape != answered.shape or not np.all(np.isfinite(answered)):
        return math.nan
    size = max(least, float(np.max(np.abs(expected))))
    reduced = np.mean if output in _DRAWN else np.max
    return float(reduced(np.abs(expected - answered))) / size
