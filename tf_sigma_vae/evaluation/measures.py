"""The measures of a finished run: each made once, kept in its workdir, and read from there again.

    evaluation    likelihoods and bounds       evaluation.json     `evaluate.evaluate_model`
    information   what the latent knows        information.json    `information.model_information`
    calibration   whether the scale is right   calibration.json    `calibration.model_calibration`
    distances     samples against images       distances.json      `fid.compare`
    rollouts      predictions, step by step    rollouts.json       `rollouts.model_rollouts`

Runs of images have the first four. Of videos there are the evaluation, the rollouts, which hold the
calibration at each step too, and the distances, which are between frames of rollouts and true ones.
A record is taken again if it was made of the same trained model (by the hash of its file) and by
the same protocol; else it is made anew and replaces the old one.
"""

import functools
import importlib.metadata
import json
import os
from collections.abc import Callable

from tf_sigma_vae.content_hash import sha256
from tf_sigma_vae.evaluation import fid, image_measures, video_measures
from tf_sigma_vae.evaluation.estimate import NotMeasurableError
from tf_sigma_vae.evaluation.fid.cache import CACHE_VARIABLE, DEFAULT_CACHE, cache_folder
from tf_sigma_vae.evaluation.fid.extractors import Extractor
from tf_sigma_vae.evaluation.measure_options import Options
from tf_sigma_vae.evaluation.runs import FinishedRun
from tf_sigma_vae.version import __version__
from tf_sigma_vae.workdir import write_atomically

__all__ = [
    "CACHE_VARIABLE",
    "DEFAULT_CACHE",
    "NAMES",
    "VIDEO_NAMES",
    "NotMeasurableError",
    "Options",
    "cache_folder",
    "clip_extractor",
    "extractor",
    "names_of",
    "obtain",
    "path_of",
    "stored",
]

NAMES = ("evaluation", "information", "calibration", "distances")
"""Every measure of runs of images."""

VIDEO_NAMES = ("evaluation", "rollouts", "distances")
"""Every measure of runs of videos."""

REASONS = {
    "rollouts": "rollouts are of a model of videos; this one is of images",
    "information": "I(x; z) of independent images is what the estimators of information measure; "
    "of a clip the latents depend on the frames given: see the rate, by step in rollouts.json",
    "calibration": "the calibration of a model of videos is in rollouts.json, by future step: "
    "coverage_90 and variance_ratio, after true frames and along rollouts",
}
"""Why the measures of one kind of run are not to be had of the other."""

_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")

_ALL_NAMES = (*NAMES, "rollouts")

Progress = Callable[[int], object]


def extractor(name_or_path: str, path: str | None = None) -> Extractor:
    """The network that distances are measured with.

    Args:
      name_or_path: Name of an extractor, or the path of a `.keras` file or SavedModel folder.
      path: Of the file of a named extractor, where it is not to be downloaded.

    Raises:
      ValueError: If it is neither a name nor a path; the message lists the names.
      FileNotFoundError: If there is no file at `path`.
      ConnectionError: If it cannot be downloaded.
    """
    if name_or_path in fid.extractors.names():
        return fid.extractors.find(name_or_path)(path=path)
    if not os.path.exists(name_or_path):
        raise ValueError(
            f"unknown extractor {name_or_path!r}: neither a file or folder, nor one of "
            f"{', '.join(fid.extractors.names())}"
        )
    if path is not None:
        raise ValueError(f"two paths of an extractor: {name_or_path!r} and {path!r}")
    return fid.extractors.find("saved_file")(path=name_or_path)


def clip_extractor(path: str) -> fid.ClipNetwork:
    """The network of whole clips that distances of videos are measured with, too.

    Args:
      path: Of a `.keras` file or SavedModel folder that takes `[B, T, H, W, C]`.

    Raises:
      FileNotFoundError: If there is nothing at the path.
      ValueError: If it is no such network.
    """
    return fid.ClipNetwork(path)


def names_of(run: FinishedRun) -> tuple[str, ...]:
    """The measures that a run has."""
    return VIDEO_NAMES if run.of_videos else NAMES


def path_of(run: FinishedRun, name: str) -> str:
    """The file of a measure.

    Raises:
      ValueError: If there is no such measure; the message lists them.
    """
    if name not in _ALL_NAMES:
        raise ValueError(f"unknown measure {name!r}; known: {', '.join(_ALL_NAMES)}")
    return os.path.join(run.workdir.path, f"{name}.json")


def stored(
    run: FinishedRun,
    name: str,
    options: Options,
    extraction: fid.Extraction | None = None,
    clip_extraction: fid.Extraction | None = None,
) -> dict | None:
    """The record of a measure, if it is there, of this model and by this protocol.

    Args:
      run: A finished run.
      name: A measure.
      options: How to measure.
      extraction: Of the extractor of the distances; None for whichever they were made with.
      clip_extraction: Of their network of clips; None for any, or none.

    Returns:
      The content of its file; None if there is none that fits.
    """
    try:
        with open(path_of(run, name), encoding="utf-8") as file:
            found = json.load(file)
        protocol = found["protocol"]
        if protocol["model_sha256"] != sha256(run.workdir.model_file):
            return None
        options = options.resolved(protocol["split_size"], run.of_videos)
        if run.of_videos:
            extractions = (extraction, clip_extraction)
            fits = video_measures.fits(run, name, options, extractions, found)
        else:
            fits = image_measures.fits(name, options, extraction, found)
        return found if fits else None
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def obtain(
    run: FinishedRun,
    name: str,
    options: Options,
    extractor: Extractor | None = None,
    data_dir: str | None = None,
    download: bool = False,
    progress: Progress | None = None,
    clip_extractor: fid.ClipNetwork | None = None,
    anew: bool = False,
) -> dict:
    """The record of a measure: the stored one if it fits, else made now and written.

    Args:
      run: A finished run.
      name: A measure.
      options: How to measure.
      extractor: Of the distances, for which it is needed.
      data_dir: Where the data are; what the run was trained with if None.
      download: Whether missing data may be downloaded.
      progress: Called with the number of images, or clips, whenever so many are done.
      clip_extractor: Of distances of videos also between whole clips; none if None.
      anew: Whether to make it in any case: a stored one does not know whether the data are others.

    Raises:
      NotMeasurableError: If the run has no such measure, or the split too few images for it.
      ValueError: On an unknown measure, an impossible option, or distances without an extractor.
      FileNotFoundError: If the data are missing.
      NotCalibratedError: If an analytic likelihood holds no scale.
      FloatingPointError: If a figure is not finite.
      OSError: If the record cannot be written; an old one is intact then.
      PermissionError: If the workdir cannot be written to.
    """
    path = path_of(run, name)
    options.check()
    run.require_writable()
    if name not in names_of(run):
        raise NotMeasurableError(REASONS[name])
    if name == "distances" and extractor is None:
        raise ValueError(
            f"distances need an extractor: {', '.join(fid.extractors.names())}, or a path"
        )
    if clip_extractor is not None and (name, run.of_videos) != ("distances", True):
        raise ValueError("a clip_extractor is of the distances of a model of videos")
    networks = (extractor, clip_extractor)
    extractions = [None if network is None else network.extraction for network in networks]
    found = None if anew else stored(run, name, options, *extractions)
    if found is not None:
        return found
    examples = run.images(options.split, 0, data_dir, download)
    options = options.resolved(len(examples), run.of_videos)
    kind = video_measures if run.of_videos else image_measures
    measure = functools.partial(kind.MEASURES[name], run, examples, options, progress)
    given = networks if run.of_videos else networks[:1]
    found = measure(*given) if name == "distances" else measure()
    found["protocol"] = {**_protocol(run, options.split), **found["protocol"]}
    write_atomically(path, json.dumps(found, indent=2, allow_nan=False) + "\n")
    return found


def _protocol(run: FinishedRun, split: str) -> dict[str, object]:
    """What every record says of its run."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "dataset": run.config.dataset,
        "split": split,
        "split_size": run.split_size(split),
        "variant": run.config.likelihood,
        "model_sha256": sha256(run.workdir.model_file),
        "versions": {"tf-sigma-vae": __version__, **versions},
    }
