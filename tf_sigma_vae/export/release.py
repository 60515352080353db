"""From a finished run to a version that a server finds."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from tf_sigma_vae import data
from tf_sigma_vae.evaluation.runs import FinishedRun, check_images_wanted
from tf_sigma_vae.export import check, conformal, convert, model_card, publish, server_files, warmup
from tf_sigma_vae.export.precision import in_float32
from tf_sigma_vae.models import LatentVariableModel

NUM_PROBES = 4
"""Examples by which the reloaded model is compared with the Python model."""


class Release(NamedTuple):
    """What was published."""

    path: str
    """`export_dir/<version>`."""
    removed: list[int]
    """Older versions that were pruned."""
    kept_files: list[str]
    """Server files that were left as they are, because they are not what would be written."""


def release(
    workdir: str,
    export_dir: str,
    version: int | None = None,
    keep: int | None = None,
    name: str | None = None,
    split: str = "auto",
    num_examples: int = 0,
    formats: tuple[str, ...] = (),
    num_frames: int | None = None,
    data_dir: str | None = None,
    download: bool = False,
) -> Release:
    """Exports a run as `export_dir/<version>`, complete or not at all.

    Args:
      workdir: Folder of a finished run.
      export_dir: Folder of the versions of one served model.
      version: Above all that are there; the next one if None.
      keep: How many of the newest versions to keep; all if None.
      name: Name of the served model; that in `models.config`, or the last folder of `export_dir`,
        if None.
      split: What p-values of `anomaly` compare with; see `conformal.held_out_examples`.
      num_examples: How many of its first images, or videos; 0 for all.
      formats: Of `convert.FORMATS`: what else to write `encode` and `decode` as.
      num_frames: Of videos: of `predict`, beyond the context; as in an evaluation if None.
      data_dir: Where the data are; None for what the run was trained with.
      download: Whether missing data may be downloaded.

    Returns:
      A `Release`.

    Raises:
      FileNotFoundError: If the run is missing or not finished, or its data are.
      FileExistsError: If the version is there.
      ValueError: On an impossible version, number, name, split or format.
      WorkdirError: If the run's configuration is corrupt.
      ExportError: If the model must not be served.
      OSError: If `export_dir` cannot be written to.
    """
    _check(export_dir, version, keep, num_examples, formats)
    name = server_files.chosen_name(export_dir, name)
    run = FinishedRun(workdir)
    _check_frames(run, num_frames, formats)
    examples, split = conformal.held_out_examples(run, split, num_examples, data_dir, download)
    model = in_float32(run.model())
    check.require_exportable(model)
    signatures, probes = _from_held_out(run, model, examples, num_frames)

    def write(folder: str) -> None:
        differences = _write_saved_model(model, folder, signatures, probes, name)
        differences |= convert.convert(model, folder, formats) if formats else {}
        card = model_card.card(run, model, folder, name, split, signatures, differences)
        model_card.write(folder, card)

    path = publish.publish(export_dir, write, version)
    kept_files = server_files.write(export_dir, name, run.of_videos)
    removed = [] if keep is None else publish.prune(export_dir, keep)
    return Release(path, removed, kept_files)


def _check(
    export_dir: str,
    version: int | None,
    keep: int | None,
    num_examples: int,
    formats: Sequence[str],
) -> None:
    """All that can be known before anything is read."""
    if keep is not None and keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    convert.check_formats(formats)
    check_images_wanted("test", num_examples)
    publish.check_target(export_dir, version)


def _check_frames(run: FinishedRun, num_frames: int | None, formats: Sequence[str]) -> None:
    """What depends on whether the run is of videos."""
    if not run.of_videos:
        if num_frames is not None:
            raise ValueError(
                f"num_frames is {num_frames}, but the model {run.config.model!r} is of images: "
                "it is the length of a prediction of video"
            )
        return
    if num_frames is not None and num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}")
    if formats:
        raise ValueError(
            f"{', '.join(formats)}: a model of videos ({run.config.model!r}) is not converted, for "
            "its signatures are loops over frames; they stay with TensorFlow"
        )


def _from_held_out(
    run: FinishedRun,
    model: LatentVariableModel,
    examples: np.ndarray | data.VideoSource,
    num_frames: int | None,
) -> tuple[dict[str, Any], np.ndarray]:
    """What `model.signatures` is given, the scores of the examples with it, and the probes."""
    clip_frames = run.clip_length(examples) if isinstance(examples, data.VideoSource) else None
    unit = "clip" if run.of_videos else "image"
    with tqdm(total=len(examples), desc="scores", unit=unit, file=sys.stderr) as bar:
        scores = conformal.scores(model, examples, clip_frames, bar.update)
    options: dict[str, Any] = {"validation_scores": scores}
    if clip_frames is not None:
        options["num_frames"] = num_frames or clip_frames - model.context_frames
        options["validation_frames"] = clip_frames
    return options, _probes(examples, clip_frames)


def _probes(examples: np.ndarray | data.VideoSource, clip_frames: int | None) -> np.ndarray:
    """The first examples, float32 in [0, 1]."""
    first = (
        examples.first(NUM_PROBES)
        if isinstance(examples, data.VideoSource)
        else examples[:NUM_PROBES]
    )
    return np.asarray(next(iter(conformal.batches(first, clip_frames))))


def _write_saved_model(
    model: LatentVariableModel,
    folder: str,
    signatures: dict[str, Any],
    probes: np.ndarray,
    name: str,
) -> dict[str, float]:
    """The SavedModel, compared with the model, and its warm-up requests; the differences."""
    functions = model.signatures(**signatures)
    model.export(folder, functions=functions)
    requests = check.requests(model, functions, probes)
    differences = check.differences(model, functions, folder, requests)
    warmup.write_requests(folder, check.requests(model, functions, probes[:1]), name)
    return {f"{d.signature}/{d.output}": d.difference for d in differences}
