"""Gathers what a page shows: opens the runs, obtains their measures, draws their pictures."""

import os
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tf_sigma_vae import plugins
from tf_sigma_vae.evaluation import measures
from tf_sigma_vae.evaluation.fid.extractors import Extractor
from tf_sigma_vae.evaluation.runs import FinishedRun, column_names
from tf_sigma_vae.report import pictures, sweeps
from tf_sigma_vae.report.content import MAX_RUNS, Content, Run, short_names
from tf_sigma_vae.sweep.runs import FOLDER
from tf_sigma_vae.training import metrics_log
from tf_sigma_vae.workdir import WorkdirError

PICTURES = "pictures"
"""Beside the measures: what a model whose values are not finite does not have either."""

NOT_ASKED = "it was not asked for (--measures)"
OTHER_IMAGES = (
    "{names}: the {split} images are not those of {first}. The figures are of different images, "
    "and differ for that alone."
)
SEVERAL_SEEDS = "Of each row of the sweep {name}, the run with the smallest seed is shown."

Step = Callable[[str, int], Callable[[int], object]]
"""Begins a piece of work of so many images; returns what is called with the images done."""


class Asked(NamedTuple):
    """What the page is to be made of."""

    measure_names: Sequence[str] = measures.NAMES
    """Names of `measures.NAMES`; distances need an extractor."""
    options: measures.Options = measures.Options()
    """How they are made."""
    extractor: Extractor | None = None
    """Of the distances."""
    data_dir: str | None = None
    """Where the data are; what each run was trained with if None."""
    download: bool = False
    """Whether missing data may be downloaded."""


class Chosen(NamedTuple):
    """Finished runs, and what a reader must know of the choice."""

    runs: list[FinishedRun]
    sweep_folder: str | None
    notices: list[str]


def choose(workdir: str, compare: Sequence[str] = ()) -> Chosen:
    """The runs of a page, checked before any work.

    Args:
      workdir: Folder of a finished run, or of a sweep: then of each row the run with the smallest
        seed.
      compare: Folders of the other runs.

    Raises:
      FileNotFoundError: If a run is missing or not finished.
      WorkdirError: If a configuration is corrupt.
      ValueError: If a run is given twice, there are too many, or they are not of one dataset.
    """
    notices: list[str] = []
    paths, folder = [workdir], sweeps.folder_of(workdir)
    if is_sweep(workdir):
        folder = workdir
        paths, notices = _of_sweep(workdir)
    paths = [*paths, *compare]
    for path in compare:
        if is_sweep(path):
            raise ValueError(
                f"{path!r} is a sweep: compare with a run of it, such as {_of_sweep(path)[0][0]!r}"
            )
    real = [os.path.realpath(path) for path in paths]
    if len(set(real)) < len(real):
        raise ValueError(f"a run is given twice: {', '.join(paths)}")
    if len(paths) > MAX_RUNS:
        raise ValueError(f"a page shows at most {MAX_RUNS} runs, got {len(paths)}")
    opened = [FinishedRun(path) for path in paths]
    for path, run in zip(paths, opened, strict=True):
        if run.config.dataset != opened[0].config.dataset:
            raise ValueError(
                f"{path!r} is of the dataset {run.config.dataset}, {paths[0]!r} of "
                f"{opened[0].config.dataset}: their figures cannot be compared"
            )
    return Chosen(opened, folder, notices)


def is_sweep(path: str) -> bool:
    """Whether a folder is that of a sweep, with runs below it."""
    return os.path.isdir(os.path.join(path, FOLDER)) and not os.path.exists(
        os.path.join(path, "config.json")
    )


def _of_sweep(folder: str) -> tuple[list[str], list[str]]:
    """The finished run with the smallest seed of each row, and notices."""
    seeds: dict[str, list[int]] = {}
    for name in os.listdir(os.path.join(folder, FOLDER)):
        found = re.fullmatch(r"(.+)-seed(\d+)", name)
        if found:
            seeds.setdefault(found.group(1), []).append(int(found.group(2)))
    chosen, unfinished = [], []
    for row in sorted(seeds, key=_order):
        for seed in sorted(seeds[row]):
            path = os.path.join(folder, FOLDER, f"{row}-seed{seed}")
            try:
                FinishedRun(path)
            except (FileNotFoundError, WorkdirError):
                continue
            chosen.append(path)
            break
        else:
            unfinished.append(row)
    if not chosen:
        raise FileNotFoundError(f"the sweep {folder!r} has no finished run in {FOLDER}/")
    notices = [SEVERAL_SEEDS.format(name=os.path.basename(os.path.normpath(folder)))]
    if unfinished:
        notices.append(f"Not finished, and left out: {', '.join(unfinished)}.")
    return chosen, notices


def _order(row: str) -> tuple:
    """The grid first, by beta; then the decoders by name."""
    found = re.fullmatch(r"beta=([-+.\de]+)", row)
    return (0, float(found.group(1)), row) if found else (1, 0.0, row)


def gather(chosen: Chosen, asked: Asked, step: Step | None = None) -> Content:
    """The content of a page; measures that are missing are made and kept in the workdirs.

    A measure that a model does not have, and one that is not finite, is `absent` from its run; the
    latter is also `failed`. Any other error stops here, with what was measured before on disk.

    Args:
      chosen: The runs.
      asked: What to show of them.
      step: Tells of progress.

    Raises:
      FileNotFoundError: If the data are missing.
      ValueError: If there is no such split, or images of different shapes.
      NotCalibratedError: If an analytic likelihood holds no scale.
      OSError: If a record cannot be written.
    """
    step = step or (lambda title, total: lambda count: None)
    paths = [run.workdir.path for run in chosen.runs]
    names = short_names(column_names(paths))
    split, data = asked.options.split, (asked.data_dir, asked.download)
    images = [run.images(split, 0, *data) for run in chosen.runs]
    notices = [*chosen.notices, *_different_images(names, images, split)]
    # Before the work: a number that the split does not have stops here.
    asked.options.resolved(len(images[0]))
    found = []
    for name, run, own_images in zip(names, chosen.runs, images, strict=True):
        records, absent, failed = _measured(name, run, asked, len(own_images), step)
        try:
            drawn = pictures.draw(run.model(), own_images, asked.options.seed)
        except FloatingPointError as error:
            drawn, absent[PICTURES] = {}, str(error)
            failed.append(PICTURES)
        measure = plugins.find("likelihoods", run.config.likelihood).measure
        history = metrics_log.read(run.workdir.metrics_file)
        config = run.config.to_dict()
        parts = (name, run.workdir.path, config, measure, history, records, absent, drawn)
        found.append(Run(*parts, failed=tuple(failed)))
    num_train = len(chosen.runs[0].images("train", 0, *data))
    sweep = sweeps.read(chosen.sweep_folder) if chosen.sweep_folder else None
    return Content(found, split, num_train, sweep, notices)


def _different_images(names, images: Sequence[np.ndarray], split: str) -> list[str]:
    """A notice if not all runs are measured on the same images."""
    first = images[0]
    for name, own in zip(names, images, strict=True):
        if own.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"{name} is of images of shape {own.shape[1:]}, {names[0]} of {first.shape[1:]}: "
                "their figures cannot be compared"
            )
    others = [n for n, own in zip(names, images, strict=True) if not np.array_equal(own, first)]
    if not others:
        return []
    return [OTHER_IMAGES.format(names=", ".join(others), split=split, first=names[0])]


def _measured(
    name: str, run: FinishedRun, asked: Asked, num_images: int, step: Step
) -> tuple[dict[str, dict], dict[str, str], list[str]]:
    """The measures of a run, the reasons for those that it does not have, and those that failed."""
    options = asked.options.resolved(num_images)
    totals = {
        "evaluation": options.num_examples,
        "information": options.information_examples,
        "calibration": options.calibration_examples,
        "distances": 2 * options.distance_samples,
    }
    records, absent, failed = {}, {}, []
    for measure in measures.NAMES:
        if measure not in asked.measure_names:
            absent[measure] = NOT_ASKED
            continue
        if measure == "distances" and asked.extractor is None:
            continue
        # A bar only for what takes time.
        extraction = asked.extractor.extraction if measure == "distances" else None
        found = measures.stored(run, measure, options, extraction)
        try:
            records[measure] = found or measures.obtain(
                run,
                measure,
                options,
                extractor=asked.extractor,
                data_dir=asked.data_dir,
                download=asked.download,
                progress=step(f"{name}: {measure}", totals[measure]),
            )
        except measures.NotMeasurableError as error:
            absent[measure] = str(error)
        except FloatingPointError as error:
            absent[measure] = str(error)
            failed.append(measure)
    return records, absent, failed
