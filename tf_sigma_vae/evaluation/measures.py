"""The measures of a finished run: each made once, kept in its workdir, and read from there again.

    evaluation    likelihoods and bounds       evaluation.json     `evaluate.evaluate_model`
    information   what the latent knows        information.json    `information.model_information`
    calibration   whether the scale is right   calibration.json    `calibration.model_calibration`
    distances     samples against images       distances.json      `fid.compare`

A record is taken again if it was made of the same trained model (by the hash of its file) and by
the same protocol; else it is made anew and replaces the old one.
"""

import functools
import importlib.metadata
import json
import os
from collections.abc import Callable
from typing import NamedTuple

from tf_sigma_vae.content_hash import sha256
from tf_sigma_vae.evaluation import calibration, fid, information, record
from tf_sigma_vae.evaluation._posteriors import measurable_latent
from tf_sigma_vae.evaluation.estimate import NotMeasurableError
from tf_sigma_vae.evaluation.evaluate import check_numbers
from tf_sigma_vae.evaluation.fid.distance import NUM_BLOCKS
from tf_sigma_vae.evaluation.fid.extractors import Extractor
from tf_sigma_vae.evaluation.runs import FinishedRun, check_images_wanted
from tf_sigma_vae.replicas import host_value
from tf_sigma_vae.version import __version__
from tf_sigma_vae.workdir import write_atomically

__all__ = ["NAMES", "NotMeasurableError", "Options", "extractor", "obtain", "path_of", "stored"]

NAMES = ("evaluation", "information", "calibration", "distances")
"""Every measure."""

GLOBAL_BATCH_SIZE = 128
CACHE_VARIABLE = "TF_SIGMA_VAE_CACHE"
DEFAULT_CACHE = "~/.cache/tf_sigma_vae"
"""Folder of the features of reference images, unless the variable names another."""

_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")

_COUNTS = ("information_examples", "calibration_examples", "distance_samples")
_LEAST_SAMPLES = 2 * NUM_BLOCKS

Progress = Callable[[int], object]


class Options(NamedTuple):
    """How measures are made. Numbers of examples above those of the split mean all of it."""

    split: str = "test"
    """Of the images."""
    num_examples: int = 0
    """Of the evaluation: how many of the first images, 0 for all."""
    num_samples: int = 64
    """Of the evaluation: K of the importance-weighted bound, 0 for none."""
    information_examples: int = 10_000
    """Examples S whose posteriors are held against one another."""
    calibration_examples: int = 2_000
    """Images that the decoder's distribution is checked on."""
    distance_samples: int = 10_000
    """Samples of the model, and as many of the first images, that distances are between."""
    draw: str = "mean"
    """Samples without ("mean") or with ("noisy") the decoder's noise."""
    seed: int = 0
    """Of samples, and of the randomization of the calibration."""
    extrapolate: bool = False
    """Whether to add the Frechet distance extrapolated to infinitely many images."""

    def check(self) -> None:
        """Checks what can be told without data.

        Raises:
          ValueError: If an option makes no sense; the message names it.
        """
        check_images_wanted(self.split, self.num_examples)
        check_numbers(self.num_samples, GLOBAL_BATCH_SIZE)
        for name in _COUNTS:
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, got {getattr(self, name)}")
        if self.draw not in ("mean", "noisy"):
            raise ValueError(f"draw must be 'mean' or 'noisy', got {self.draw!r}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    def resolved(self, num_images: int) -> "Options":
        """The options with the numbers that a split of so many images amounts to.

        Raises:
          ValueError: If the evaluation is to be of more images than there are.
        """
        if self.num_examples > num_images:
            raise ValueError(
                f"num_examples is {self.num_examples}, but the {self.split} split has "
                f"{num_images} images"
            )
        cut = {name: min(getattr(self, name), num_images) for name in _COUNTS}
        return self._replace(num_examples=self.num_examples or num_images, **cut)


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


def path_of(run: FinishedRun, name: str) -> str:
    """The file of a measure.

    Raises:
      ValueError: If there is no such measure; the message lists them.
    """
    if name not in NAMES:
        raise ValueError(f"unknown measure {name!r}; known: {', '.join(NAMES)}")
    return os.path.join(run.workdir.path, f"{name}.json")


def stored(
    run: FinishedRun, name: str, options: Options, extraction: fid.Extraction | None = None
) -> dict | None:
    """The record of a measure, if it is there, of this model and by this protocol.

    Args:
      run: A finished run.
      name: One of `NAMES`.
      options: How to measure.
      extraction: Of the extractor of the distances; None for whichever they were made with.

    Returns:
      The content of its file; None if there is none that fits.
    """
    try:
        with open(path_of(run, name), encoding="utf-8") as file:
            found = json.load(file)
        protocol = found["protocol"]
        if protocol["model_sha256"] != sha256(run.workdir.model_file):
            return None
        options = options.resolved(protocol["split_size"])
        return found if _fits(name, options, extraction, found) else None
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
) -> dict:
    """The record of a measure: the stored one if it fits, else made now and written.

    Args:
      run: A finished run.
      name: One of `NAMES`.
      options: How to measure.
      extractor: Of the distances, for which it is needed.
      data_dir: Where the data are; what the run was trained with if None.
      download: Whether missing data may be downloaded.
      progress: Called with the number of images, whenever so many are done.

    Raises:
      NotMeasurableError: If the model has no such measure, or the split too few images for it.
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
    if name == "distances" and extractor is None:
        raise ValueError(
            f"distances need an extractor: {', '.join(fid.extractors.names())}, or a path"
        )
    found = stored(run, name, options, None if extractor is None else extractor.extraction)
    if found is not None:
        return found
    images = run.images(options.split, 0, data_dir, download)
    options = options.resolved(len(images))
    measure = functools.partial(_MEASURES[name], run, images, options, progress)
    found = measure(extractor) if name == "distances" else measure()
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


def _step(model) -> int | None:
    return None if model.optimizer is None else host_value(model.optimizer.iterations)


def _evaluation(run, images, options, progress) -> dict:
    found = record.evaluate_run(
        run,
        images[: options.num_examples],
        options.split,
        options.num_samples,
        GLOBAL_BATCH_SIZE,
        progress,
    )
    return json.loads(record.to_json(found))


def _information(run, images, options, progress) -> dict:
    model = run.model()
    chosen = images[: options.information_examples]
    latent = measurable_latent(model)
    found = information.model_information(
        model, chosen, GLOBAL_BATCH_SIZE, progress=progress, latent=latent
    )
    return _with_step(information.to_dict(found), model)


def _calibration(run, images, options, progress) -> dict:
    model = run.model()
    chosen = images[: options.calibration_examples]
    found = calibration.model_calibration(
        model, chosen, GLOBAL_BATCH_SIZE, options.seed, progress=progress
    )
    return _with_step(calibration.to_dict(found), model)


def _distances(run, images, options, progress, extractor) -> dict:
    # Before any of them goes through the network.
    if options.distance_samples < _LEAST_SAMPLES:
        raise NotMeasurableError(
            f"distances need at least {_LEAST_SAMPLES} samples and images, got "
            f"{options.distance_samples}"
        )
    model = run.model()
    chosen = images[: options.distance_samples]
    reference = fid.cached_features(
        cache_folder(),
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
    return _with_step(content, model)


def cache_folder() -> str:
    """Where the features of reference images are kept."""
    folder = os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE
    return os.path.join(os.path.expanduser(folder), "features")


def _with_step(content: dict, model) -> dict:
    content["protocol"] = {**content["protocol"], "step": _step(model)}
    return content


def _fits(name: str, options: Options, extraction, found: dict) -> bool:
    """Whether a record was made by this protocol; its model is looked at elsewhere."""
    protocol = found["protocol"]
    if protocol["split"] != options.split:
        return False
    is_of_top = protocol.get("latent") == "top"
    if name == "distances":
        return _fits_distances(options, extraction, found)
    wanted = {
        "evaluation": {
            "num_examples": options.num_examples,
            "num_samples": options.num_samples,
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
    }[name]
    return all(protocol[key] == value for key, value in wanted.items())


def _fits_distances(options: Options, extraction, found: dict) -> bool:
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


_MEASURES = {
    "evaluation": _evaluation,
    "information": _information,
    "calibration": _calibration,
    "distances": _distances,
}
