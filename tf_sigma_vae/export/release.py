"""From a finished run to a version that a server finds."""

import sys
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from tf_sigma_vae.evaluation.runs import FinishedRun, check_images_wanted
from tf_sigma_vae.export import check, conformal, convert, model_card, publish, server_files, warmup
from tf_sigma_vae.export.precision import in_float32

NUM_PROBES = 4
"""Images by which the reloaded model is compared with the Python model."""


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
      split: Images that the p-values of `anomaly` compare with; see `conformal.held_out_images`.
      num_examples: How many of its first images; 0 for all.
      formats: Of `convert.FORMATS`: what else to write `encode` and `decode` as.
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
    images, split = conformal.held_out_images(run, split, num_examples, data_dir, download)
    model = in_float32(run.model())
    check.require_exportable(model)
    with tqdm(total=len(images), desc="scores", unit="image", file=sys.stderr) as bar:
        scores = conformal.scores(model, images, bar.update)
    probes = images[:NUM_PROBES].astype(np.float32) / np.float32(255.0)

    def write(folder: str) -> None:
        differences = _write_saved_model(model, folder, scores, probes, name)
        differences |= convert.convert(model, folder, formats)
        card = model_card.card(run, model, folder, name, split, scores, differences)
        model_card.write(folder, card)

    path = publish.publish(export_dir, write, version)
    kept_files = server_files.write(export_dir, name)
    removed = [] if keep is None else publish.prune(export_dir, keep)
    return Release(path, removed, kept_files)


def _check(export_dir, version, keep, num_examples: int, formats) -> None:
    """All that can be known before anything is read."""
    if keep is not None and keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    convert.check_formats(formats)
    check_images_wanted("test", num_examples)
    publish.check_target(export_dir, version)


def _write_saved_model(model, folder: str, scores, probes, name: str) -> dict[str, float]:
    """The SavedModel, compared with the model, and its warm-up requests; the differences."""
    functions = model.signatures(validation_scores=scores)
    model.export(folder, functions=functions)
    requests = check.requests(model, functions, probes)
    differences = check.differences(model, functions, folder, requests)
    warmup.write_requests(folder, check.requests(model, functions, probes[:1]), name)
    return {f"{d.signature}/{d.output}": d.difference for d in differences}
