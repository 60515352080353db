"""What an exported model is: `model_card.json` for programs, `MODEL_CARD.md` for people."""

import datetime
import importlib.metadata
import json
import os

import numpy as np
import tensorflow as tf

from tf_sigma_vae.content_hash import sha256
from tf_sigma_vae.evaluation import record
from tf_sigma_vae.evaluation.levels import shape_text
from tf_sigma_vae.evaluation.runs import FinishedRun
from tf_sigma_vae.version import __version__
from tf_sigma_vae.workdir import write_atomically

JSON_FILE, TEXT_FILE = "model_card.json", "MODEL_CARD.md"
_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")
_QUANTILES = (0.05, 0.5, 0.95)


def card(
    run: FinishedRun,
    model,
    saved_model: str,
    name: str,
    split: str,
    scores: np.ndarray,
    differences: dict[str, float],
) -> dict[str, object]:
    """What is known of an exported model, fit for JSON.

    Args:
      run: The run that it comes from.
      model: The trained model.
      saved_model: Folder of the SavedModel.
      name: Name by which it is served.
      split: Where the images of `scores` come from.
      scores: `[n]`, the anomaly scores stored in the model, nats.
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
        "num_weights": int(model.count_params()),
        "precision": {"served": model.compute_dtype, "trained": config.precision},
        "data": {"dataset": config.dataset, "options": dict(config.dataset_options)},
        "data_unit": "[0, 1], x = k / 255 for the 8-bit grey level k",
        "scale": scale(model),
        "bits_per_dim": _bits_per_dim_convention(likelihood.measure),
        "anomaly": _anomaly(split, scores),
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


def write(folder: str, content: dict[str, object]) -> None:
    """Writes both files into a folder."""
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(os.path.join(folder, JSON_FILE), text)
    write_atomically(os.path.join(folder, TEXT_FILE), to_text(content))


def signature_table(saved_model: str) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
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


def scale(model) -> dict[str, object]:
    """Where the standard deviation comes from, and what it is unless it is another for each z."""
    likelihood = model.likelihood
    found = {"provenance": likelihood.provenance(), "per": None, "value": None}
    if likelihood.has_scale:
        found["per"] = likelihood.scale_per
        if likelihood.scale_per != "element":
            z = np.zeros([1, model.latent_size], np.float32)
            found["value"] = likelihood.parameters(model.decode(z))["scale"][0].numpy().tolist()
    return found


def _anomaly(split: str, scores: np.ndarray) -> dict[str, object]:
    return {
        "score": "negative elbo, nats",
        "p_value": f"split-conformal, against {scores.size} images of the {split} split",
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


def _evaluation(evaluation) -> dict[str, object]:
    metrics = {name: metric._asdict() for name, metric in evaluation.metrics.items()}
    return {"metrics": metrics, "protocol": evaluation.protocol}


def to_text(content: dict[str, object]) -> str:
    """The card as Markdown."""
    shape = "x".join(str(size) for size in content["image_shape"])
    options = content["variant_options"]
    latent = latent_sentence(content["latent_size"], content["level_shapes"])
    lines = [
        f"# {content['name']}",
        "",
        f"A sigma-VAE (`{content['model']}`) of {shape} images with the decoder "
        f"`{content['variant']}`" + (f" {options}" if options else "") + ".",
        "",
        f"* Data: `{content['data']['dataset']}`, in the unit {content['data_unit']}.",
        f"* Latent: {latent}; {content['num_weights']:,} weights, "
        "computed in {served}, trained in {trained}.".format(**content["precision"]),
        f"* Scale: {scale_sentence(content['scale'])}",
        f"* `bits_per_dim` of the signature `elbo`: {content['bits_per_dim']}.",
        f"* `p_value` of the signature `anomaly`: {content['anomaly']['p_value']}; the smallest "
        f"is {content['anomaly']['smallest_p_value']:.2g}.",
        f"* Written {content['created']}. What was written, loaded anew, differs from the Python "
        f"model by at most {max(content['differences'].values()):.2g} of the size of an output.",
        "",
        "## Signatures",
        "",
        "The first dimension is the batch. Rows do not influence one another.",
        "",
        "| signature | inputs | outputs |",
        "|---|---|---|",
    ]
    for name, sides in sorted(content["signatures"].items()):
        lines.append(f"| `{name}` | {_tensors(sides['inputs'])} | {_tensors(sides['outputs'])} |")
    lines += ["", "## Evaluation", "", *_evaluation_lines(content["evaluation"])]
    lines += ["", "## Versions and hashes", ""]
    for kind in ("versions", "sha256"):
        lines += [f"* {name}: `{value}`" for name, value in content[kind].items()]
    return "\n".join(lines) + "\n"


def latent_sentence(latent_size: int, level_shapes: list | None) -> str:
    """The latent in words: what `z` of the signatures is made up of."""
    if level_shapes is None:
        return f"{latent_size} dimensions"
    levels = ", ".join(map(shape_text, level_shapes))
    return (
        f"{len(level_shapes)} levels, {levels}, of which `z` holds all {latent_size:,} numbers, "
        "flattened, top first; `encode` gives them along the means of the levels above"
    )


def _tensors(tensors: dict[str, dict[str, object]]) -> str:
    def shape(spec):
        return ", ".join("B" if size is None else str(size) for size in spec["shape"])

    return ", ".join(f"`{name}` {s['dtype']} [{shape(s)}]" for name, s in tensors.items())


def scale_sentence(scale: dict[str, object]) -> str:
    """What `scale` found, in words."""
    facts = dict(scale["provenance"])
    source = facts.pop("source")
    known = ", ".join(f"{name} {value}" for name, value in facts.items())
    origin = f"source: {source}" + (f" ({known})" if known else "")
    if scale["per"] is None:
        return f"none, a likelihood of the values themselves; {origin}."
    what = {
        "image": "one standard deviation for all elements",
        "channel": "one standard deviation for each channel",
        "element": "a standard deviation for each element, a function of z",
    }[scale["per"]]
    values = np.ravel([] if scale["value"] is None else scale["value"])
    return ", ".join([what, *(f"{value:.6g}" for value in values)]) + f"; {origin}."


def _evaluation_lines(evaluation: dict[str, object] | None) -> list[str]:
    if evaluation is None:
        return ["Not evaluated before the export: run `sigma-vae-evaluate`, then export again."]
    protocol = evaluation["protocol"]
    lines = [
        f"{protocol['num_examples']} images of the {protocol['split']} split; mean and standard "
        "error over images.",
        "",
        "| metric | value | standard error | unit |",
        "|---|---|---|---|",
    ]
    for name, metric in evaluation["metrics"].items():
        lines.append(
            f"| {name} | {metric['value']:.6g} | {metric['standard_error']:.2g} | "
            f"{metric['unit']} |"
        )
    return lines
