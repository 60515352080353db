"""What an exported model is: `model_card.json` for programs, `MODEL_CARD.md` for people."""

import datetime
import importlib.metadata
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.content_hash import sha256
from tf_sigma_vae.evaluation import record
from tf_sigma_vae.evaluation.evaluate import Evaluation
from tf_sigma_vae.evaluation.runs import FinishedRun
from tf_sigma_vae.export import _card_text
from tf_sigma_vae.models import LatentVariableModel
from tf_sigma_vae.version import __version__
from tf_sigma_vae.workdir import write_atomically

JSON_FILE, TEXT_FILE = "model_card.json", "MODEL_CARD.md"
_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")
_QUANTILES = (0.05, 0.5, 0.95)


def card(
    run: FinishedRun,
    model: LatentVariableModel,
    saved_model: str,
    name: str,
    split: str,
    signatures: Mapping[str, Any],
    differences: dict[str, float],
) -> dict[str, Any]:
    """What is known of an exported model, fit for JSON.

    Args:
      run: The run that it comes from.
      model: The trained model.
      saved_model: Folder of the SavedModel.
      name: Name by which it is served.
      split: Where the examples of the scores come from.
      signatures: What the signatures were made with: `validation_scores` `[n]`, the anomaly scores
        stored in the model, nats; of videos also `num_frames` and `validation_frames`.
      differences: Of the reloaded model from the Python model, by `signature/output`, and of
        converted files; relative to the largest value.

    Returns:
      A dictionary.
    """
    likelihood, config = model.likelihood, run.config
    evaluation = record.read(run.workdir.evaluation_file)
    return {
        "name": name,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "variant": config.likelihood,
        "variant_options": dict(config.likelihood_options),
        "model": config.model,
        "image_shape": list(model.image_shape),
        "latent_size": model.latent_size,
        "level_shapes": [list(s) for s in model.level_shapes] if model.num_levels > 1 else None,
        "video": _video(model, signatures) if model.of_videos else None,
        "num_weights": int(model.count_params()),
        "precision": {"served": model.compute_dtype, "trained": config.precision},
        "data": {"dataset": config.dataset, "options": dict(config.dataset_options)},
        "data_unit": "[0, 1], x = k / 255 for the 8-bit grey level k",
        "scale": scale(model),
        "bits_per_dim": _bits_per_dim_convention(likelihood.measure),
        "anomaly": _anomaly(split, signatures),
        "evaluation": None if evaluation is None else _evaluation(evaluation),
        "differences": differences,
        "signatures": signature_table(saved_model),
        "versions": _versions(),
        "sha256": {
            "model.keras": sha256(run.workdir.model_file),
            "all files but the cards": sha256(saved_model, leave_out=(JSON_FILE, TEXT_FILE)),
        },
        "config": config.to_dict(),
    }


def write(folder: str, content: dict[str, Any]) -> None:
    """Writes both files into a folder."""
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(os.path.join(folder, JSON_FILE), text)
    write_atomically(os.path.join(folder, TEXT_FILE), _card_text.to_text(content))


def signature_table(saved_model: str) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """`{signature: {"inputs" or "outputs": {name: {"dtype", "shape"}}}}`; None is the batch."""
    signatures = tf.saved_model.load(saved_model).signatures
    table = {}
    for name, function in signatures.items():
        _, inputs = function.structured_input_signature
        sides = {"inputs": inputs, "outputs": function.structured_outputs}
        table[name] = {
            side: {
                key: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
                for key, spec in sorted(specs.items())
            }
            for side, specs in sides.items()
        }
    return table


def scale(model: LatentVariableModel) -> dict[str, Any]:
    """Where the standard deviation comes from, and what it is unless it is another for each z."""
    likelihood = model.likelihood
    found: dict[str, Any] = {
        "provenance": likelihood.provenance(),
        "per": None,
        "value": None,
    }
    if likelihood.has_scale:
        found["per"] = likelihood.scale_per
        if likelihood.scale_per != "element":
            values = likelihood.parameters(_any_likelihood(model))["scale"][0]
            found["value"] = values.numpy().tolist()
    return found


def _any_likelihood(model: LatentVariableModel) -> tfd.Distribution:
    """p(x|z) of one image or frame, whichever."""
    if model.of_videos:
        *sizes, channels = model.image_shape
        params = np.zeros([1, *sizes, model.likelihood.params_channels(channels)], np.float32)
        return model.frame_distribution(params)
    return model.decode(np.zeros([1, model.latent_size], np.float32))


def _video(model: LatentVariableModel, signatures: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of frames."""
    return {
        "context_frames": model.context_frames,
        "num_frames": signatures["num_frames"],
        "validation_frames": signatures["validation_frames"],
    }


def _anomaly(split: str, signatures: Mapping[str, Any]) -> dict[str, Any]:
    scores, frames = signatures["validation_scores"], signatures.get("validation_frames")
    what = "images" if frames is None else f"clips of {frames} frames, the first of each video,"
    return {
        "score": "negative elbo, nats",
        "p_value": f"split-conformal, against {scores.size} {what} of the {split} split",
        "split": split,
        "num_scores": int(scores.size),
        "smallest_p_value": 1.0 / (1 + scores.size),
        "score_quantiles": {f"{q:g}": float(np.quantile(scores, q)) for q in _QUANTILES},
    }


def _versions() -> dict[str, str]:
    packages = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"tf-sigma-vae": __version__, **packages}


def _bits_per_dim_convention(measure: str | None) -> str:
    if measure == "density":
        return "density: (-elbo + D log 256) / (D log 2)"
    if measure == "mass":
        return "mass: -elbo / (D log 2)"
    return "mass: of the likelihood normalised over the 256 grey levels"


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    metrics = {name: metric._asdict() for name, metric in evaluation.metrics.items()}
    return {"metrics": metrics, "protocol": evaluation.protocol}
