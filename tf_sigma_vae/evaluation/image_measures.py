"""The measures of a run of images, as records, and whether a record was made by a protocol."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_sigma_vae.evaluation import calibration, fid, information, record
from tf_sigma_vae.evaluation._posteriors import measurable_latent
from tf_sigma_vae.evaluation.estimate import NotMeasurableError
from tf_sigma_vae.evaluation.evaluate import GLOBAL_BATCH_SIZE, NUM_SAMPLES
from tf_sigma_vae.evaluation.fid.distance import NUM_BLOCKS
from tf_sigma_vae.evaluation.fid.extractors import Extractor
from tf_sigma_vae.evaluation.measure_options import Options
from tf_sigma_vae.evaluation.runs import FinishedRun
from tf_sigma_vae.models import LatentVariableModel
from tf_sigma_vae.replicas import host_value

LEAST_SAMPLES = 2 * NUM_BLOCKS
"""Fewest samples, and images, that distances with their errors can be made of."""


def _step(model: LatentVariableModel) -> int | None:
    return None if model.optimizer is None else host_value(model.optimizer.iterations)


def _evaluation(
    run: FinishedRun, images: np.ndarray, options: Options, progress: Callable[[int], object] | None
) -> dict:
    found = record.evaluate_run(
        run,
        images[: options.num_examples],
        options.split,
        options.num_samples,
        GLOBAL_BATCH_SIZE,
        progress,
    )
    return json.loads(record.to_json(found))


def _information(
    run: FinishedRun, images: np.ndarray, options: Options, progress: Callable[[int], object] | None
) -> dict:
    model = run.model()
    chosen = images[: options.information_examples]
    latent = measurable_latent(model)
    found = information.model_information(
        model, chosen, GLOBAL_BATCH_SIZE, progress=progress, latent=latent
    )
    return with_step(information.to_dict(found), model)


def _calibration(
    run: FinishedRun, images: np.ndarray, options: Options, progress: Callable[[int], object] | None
) -> dict:
    model = run.model()
    chosen = images[: options.calibration_examples]
    found = calibration.model_calibration(
        model, chosen, GLOBAL_BATCH_SIZE, options.seed, progress=progress
    )
    return with_step(calibration.to_dict(found), model)


def _distances(
    run: FinishedRun,
    images: np.ndarray,
    options: Options,
    progress: Callable[[int], object] | None,
    extractor: Extractor,
) -> dict:
    # Before any of them goes through the network.
    if options.distance_samples < LEAST_SAMPLES:
        raise NotMeasurableError(
            f"distances need at least {LEAST_SAMPLES} samples and images, got "
            f"{options.distance_samples}"
        )
    model = run.model()
    chosen = images[: options.distance_samples]
    reference = fid.cached_features(
        fid.cache_folder(),
        extractor,
        fid.dataset_images(chosen, run.config.dataset, options.split),
        progress,
    )
    samples = fid.features(
        extractor,
        fid.prior_samples(model, options.distance_samples, options.draw, options.seed),
        progress=progress,
    )
    found = fid.compare(reference, samples, options.extrapolate)
    content = {
        "metrics": {name: value._asdict() for name, value in found.metrics.items()},
        "labels": {name: found.protocol.label(name) for name in found.metrics},
        "protocol": found.protocol.to_dict(),
    }
    return with_step(content, model)


def with_step(content: dict, model: LatentVariableModel) -> dict:
    """The record with the training step of its model in the protocol."""
    content["protocol"] = {**content["protocol"], "step": _step(model)}
    return content


def fits(name: str, options: Options, extraction: fid.Extraction | None, found: dict) -> bool:
    """Whether a record was made by this protocol; its model is looked at elsewhere."""
    protocol = found["protocol"]
    if protocol["split"] != options.split:
        return False
    is_of_top = protocol.get("latent") == "top"
    if name == "distances":
        return _fits_distances(options, extraction, found)
    wanted: dict[str, dict[str, Any]] = {
        "evaluation": {
            "num_examples": options.num_examples,
            "num_samples": NUM_SAMPLES if options.num_samples is None else options.num_samples,
            "global_batch_size": GLOBAL_BATCH_SIZE,
        },
        # What an older version of this package measured otherwise is measured anew.
        "information": {
            "num_examples": options.information_examples,
            "conventions": information.TOP_CONVENTIONS if is_of_top else information.CONVENTIONS,
        },
        "calibration": {
            "num_examples": options.calibration_examples,
            "seed": options.seed,
            "conventions": calibration.CONVENTIONS,
        },
    }
    return all(protocol[key] == value for key, value in wanted[name].items())


def _fits_distances(options: Options, extraction: fid.Extraction | None, found: dict) -> bool:
    made = fid.Protocol.from_dict(
        {key: found["protocol"][key] for key in ("extraction", "reference", "samples")}
    )
    wanted = (options.distance_samples, options.draw, options.seed)
    if (made.samples.num_images, made.samples.draw, made.samples.seed) != wanted:
        return False
    if extraction is not None and made.extraction != extraction:
        return False
    has_extrapolated = "frechet_extrapolated" in found["metrics"]
    return made.reference.num_images == options.distance_samples and (
        has_extrapolated or not options.extrapolate
    )


MEASURES = {
    "evaluation": _evaluation,
    "information": _information,
    "calibration": _calibration,
    "distances": _distances,
}
