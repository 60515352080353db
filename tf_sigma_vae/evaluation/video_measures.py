"""The measures of a run of videos, as records, and whether a record was made by a protocol."""

import json
from collections.abc import Callable
from typing import Any

from tf_sigma_vae import build, data
from tf_sigma_vae.evaluation import clips, fid, record, rollouts, runs
from tf_sigma_vae.evaluation.estimate import NotMeasurableError
from tf_sigma_vae.evaluation.fid.clip_network import FVD_NOTE
from tf_sigma_vae.evaluation.fid.extractors import Extractor
from tf_sigma_vae.evaluation.image_measures import LEAST_SAMPLES, with_step
from tf_sigma_vae.evaluation.measure_options import Options
from tf_sigma_vae.evaluation.runs import FinishedRun
from tf_sigma_vae.models import LatentVariableModel

CLIP_PREFIX = "clip_"
"""Of the names of the distances between whole clips."""

CONVENTIONS = {
    "frames": "those after the context, of one rollout of each clip and of the clips themselves: "
    "as many whole clips as distance_samples frames have room for, the first one of each video, "
    "then the second ones",
    "standard_error": "takes frames for independent; those of a clip are not, so that it is too "
    "small",
    "clips": f"with their true context; {FVD_NOTE}",
}


def fits(
    run: FinishedRun,
    name: str,
    options: Options,
    extractions: tuple[fid.Extraction | None, fid.Extraction | None],
    found: dict,
) -> bool:
    """Whether a record was made by this protocol; its model is looked at elsewhere.

    Args:
      run: A run of videos.
      name: Of the measure.
      options: Resolved.
      extractions: Of the network of images and that of clips, each None for any.
      found: The record.
    """
    protocol = found["protocol"]
    if protocol["split"] != options.split:
        return False
    if name == "distances":
        return _fits_distances(options, extractions, found)
    if name == "evaluation":
        wanted = {
            "num_examples": options.num_examples,
            "num_samples": _num_samples(options),
            "global_batch_size": _batch_size(run, protocol),
            "conventions": clips.CONVENTIONS,
        }
    elif name == "rollouts":
        available = protocol["clips_per_video"] * options.num_examples
        wanted = {
            "num_clips": min(options.rollout_clips, available),
            "num_rollouts": options.num_rollouts,
            "seed": options.seed,
            "conventions": rollouts.CONVENTIONS,
        }
    else:
        return False
    return all(protocol[key] == value for key, value in wanted.items())


def _num_samples(options: Options) -> int:
    return clips.NUM_SAMPLES if options.num_samples is None else options.num_samples


def _batch_size(run: FinishedRun, protocol: dict) -> int:
    image_shape = protocol["image_shape"]
    channels = build.likelihood(run.config).params_channels(image_shape[-1])
    return clips.batch_size(image_shape, channels, protocol["clip_length"])


def _fits_distances(
    options: Options, extractions: tuple[fid.Extraction | None, fid.Extraction | None], found: dict
) -> bool:
    protocol, (extraction, clip_extraction) = found["protocol"], extractions
    made = _protocol_of(protocol)
    wanted = (options.distance_samples, options.draw, options.seed)
    if (protocol["distance_samples"], made.samples.draw, made.samples.seed) != wanted:
        return False
    if extraction is not None and made.extraction != extraction:
        return False
    if clip_extraction is not None:
        of_clips = protocol["clips"]
        if of_clips is None or _protocol_of(of_clips).extraction != clip_extraction:
            return False
    return "frechet_extrapolated" in found["metrics"] or not options.extrapolate


def _protocol_of(found: dict) -> fid.Protocol:
    parts = ("extraction", "reference", "samples")
    return fid.Protocol.from_dict({key: found[key] for key in parts})


def _evaluation(
    run: FinishedRun,
    source: data.VideoSource,
    options: Options,
    progress: Callable[[int], object] | None,
) -> dict:
    found = record.evaluate_run(
        run,
        runs.first(source, options.num_examples),
        options.split,
        options.num_samples,
        progress=progress,
    )
    return json.loads(record.to_json(found))


def _rollouts(
    run: FinishedRun,
    source: data.VideoSource,
    options: Options,
    progress: Callable[[int], object] | None,
) -> dict:
    model = run.model()
    found = rollouts.model_rollouts(
        model,
        runs.first(source, options.num_examples),
        options.num_rollouts,
        options.rollout_clips,
        run.clip_length(source),
        options.seed,
        progress,
    )
    return with_step(found, model)


def _distances(
    run: FinishedRun,
    source: data.VideoSource,
    options: Options,
    progress: Callable[[int], object] | None,
    extractor: Extractor,
    clip_extractor: fid.ClipNetwork | None,
) -> dict:
    model, clip_length = run.model(), run.clip_length(source)
    clips.check(model, source, clip_length)
    horizon = clip_length - model.context_frames
    available = data.num_evaluation_clips(source, clip_length)
    num_clips = min(max(1, options.distance_samples // horizon), available)
    _require_enough(model, num_clips, horizon, clip_length, clip_extractor)
    of_clips = (model, source, clip_length, num_clips)

    def compared(network: Extractor | fid.ClipNetwork, whole: bool) -> fid.Distances:
        true = fid.future_frames(*of_clips, run.config.dataset, options.split, whole)
        reference = fid.cached_features(fid.cache_folder(), network, true, progress)
        made = fid.rollout_frames(*of_clips, options.draw, options.seed, whole)
        samples = fid.features(network, made, progress=progress)
        return fid.compare(reference, samples, options.extrapolate)

    found = {"": compared(extractor, whole=False)}
    if clip_extractor is not None:
        found[CLIP_PREFIX] = compared(clip_extractor, whole=True)
    content: dict[str, dict[str, Any]] = {"metrics": {}, "labels": {}}
    for prefix, distances in found.items():
        for name, value in distances.metrics.items():
            content["metrics"][prefix + name] = value._asdict()
            content["labels"][prefix + name] = distances.protocol.label(name)
    content["protocol"] = {
        **found[""].protocol.to_dict(),
        "clips": found[CLIP_PREFIX].protocol.to_dict() if CLIP_PREFIX in found else None,
        "distance_samples": options.distance_samples,
        **clips.protocol(model, source, clip_length),
        "num_clips": num_clips,
        "conventions": CONVENTIONS,
    }
    return with_step(content, model)


def _require_enough(
    model: LatentVariableModel,
    num_clips: int,
    horizon: int,
    clip_length: int,
    clip_extractor: fid.ClipNetwork | None,
) -> None:
    """Checks, before anything goes through a network, that there is enough to measure."""
    if num_clips * horizon < LEAST_SAMPLES:
        raise NotMeasurableError(
            f"distances need at least {LEAST_SAMPLES} frames, got {num_clips} clips of {horizon} "
            "predicted frames"
        )
    if clip_extractor is not None:
        clip_extractor.check(clip_length, model.image_shape[-1])
        if num_clips < LEAST_SAMPLES:
            raise NotMeasurableError(
                f"distances of clips need at least {LEAST_SAMPLES} of them, got {num_clips}: "
                f"distance_samples must be {LEAST_SAMPLES * horizon} frames or more, and the split "
                "as long"
            )


MEASURES = {
    "evaluation": _evaluation,
    "rollouts": _rollouts,
    "distances": _distances,
}
