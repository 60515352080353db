"""Gathers what a page shows: opens the runs, obtains their measures, draws their pictures."""

import os
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tf_sigma_vae import data, plugins
from tf_sigma_vae.evaluation import measures
from tf_sigma_vae.evaluation.fid import ClipNetwork
from tf_sigma_vae.evaluation.fid.extractors import Extractor
from tf_sigma_vae.evaluation.runs import FinishedRun, column_names, first
from tf_sigma_vae.report import pictures, rollouts, sweeps
from tf_sigma_vae.report.content import MAX_RUNS, Content, Run, short_names
from tf_sigma_vae.sweep.runs import FOLDER
from tf_sigma_vae.training import metrics_log
from tf_sigma_vae.workdir import WorkdirError

PICTURES = "pictures"
"""Beside the measures: what a model whose values are not finite does not have either."""

NOT_ASKED = "it was not asked for (--measures)"
OTHER_EXAMPLES = (
    "{names}: the {split} {kind} are not those of {first}. The figures are of different {kind}, "
    "and differ for that alone."
)
COMPARED_VIDEOS = 8
"""Of the first videos of a split, which tell whether two are the same: all frames of them."""
SEVERAL_SEEDS = "Of each row of the sweep {name}, the run with the smallest seed is shown."

Step = Callable[[str, int | None], Callable[[int], object]]
"""Begins a piece of work of so many images; returns what is called with the images done."""


class Asked(NamedTuple):
    """What the page is to be made of."""

    measure_names: Sequence[str] | None = None
    """Names of `measures.names_of`, all of them if None; distances need an extractor."""
    options: measures.Options = measures.Options()
    """How they are made."""
    extractor: Extractor | None = None
    """Of the distances."""
    clip_extractor: ClipNetwork | None = None
    """Of the distances of clips, which videos have."""
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
      ValueError: If a run is given twice, there are too many, or they are not of one dataset,
        or some of images and some of videos.
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
    kinds = {False: "images", True: "videos"}
    for path, run in zip(paths, opened, strict=True):
        if run.of_videos != opened[0].of_videos:
            raise ValueError(
                f"{path!r} is of {kinds[run.of_videos]}, {paths[0]!r} of "
                f"{kinds[opened[0].of_videos]}: their figures cannot be compared"
            )
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
    split, where = asked.options.split, (asked.data_dir, asked.download)
    images = [run.images(split, 0, *where) for run in chosen.runs]
    notices = [*chosen.notices, *_different_examples(names, images, split)]
    # Before the work: a number that the split does not have stops here.
    asked.options.resolved(len(images[0]), chosen.runs[0].of_videos)
    film_bytes = min(rollouts.MOST_BYTES, rollouts.MOST_PAGE_BYTES // len(names))
    found = []
    for name, run, own_images in zip(names, chosen.runs, images, strict=True):
        records, absent, failed = _measured(name, run, asked, own_images, step)
        film = None
        try:
            if isinstance(own_images, data.VideoSource):
                wanted = (run.clip_length(own_images), asked.options.seed, film_bytes)
                drawn, film = rollouts.draw(run.model(), own_images, *wanted)
            else:
                drawn = pictures.draw(run.model(), own_images, asked.options.seed)
        except FloatingPointError as error:
            drawn, absent[PICTURES] = {}, str(error)
            failed.append(PICTURES)
        measure = plugins.find("likelihoods", run.config.likelihood).measure
        history = metrics_log.read(run.workdir.metrics_file)
        found.append(
            Run(
                name=name,
                workdir=run.workdir.path,
                config=run.config.to_dict(),
                measure=measure,
                history=history,
                measures=records,
                absent=absent,
                pictures=drawn,
                failed=tuple(failed),
                film=film,
                of_videos=run.of_videos,
            )
        )
    num_train = len(chosen.runs[0].images("train", 0, *where))
    sweep = sweeps.read(chosen.sweep_folder) if chosen.sweep_folder else None
    return Content(found, split, num_train, sweep, notices)


def _different_examples(
    names: Sequence[str], found: Sequence[np.ndarray | data.VideoSource], split: str
) -> list[str]:
    """A notice if not all runs are measured on the same images or videos."""
    first = found[0]
    kind = "images" if isinstance(first, np.ndarray) else "videos"
    for name, own in zip(names, found, strict=True):
        shapes = [_shape(each) for each in (own, first)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{name} is of {kind} of shape {shapes[0]}, {names[0]} of {shapes[1]}: "
                "their figures cannot be compared"
            )
    others = [n for n, own in zip(names, found, strict=True) if not _are_same(own, first)]
    if not others:
        return []
    listed = ", ".join(others)
    return [OTHER_EXAMPLES.format(names=listed, split=split, kind=kind, first=names[0])]


def _shape(examples: np.ndarray | data.VideoSource) -> tuple[int, ...]:
    """Of one image or video."""
    if isinstance(examples, np.ndarray):
        return examples.shape[1:]
    return tuple(examples.video_shape)


def _are_same(own: np.ndarray | data.VideoSource, first: np.ndarray | data.VideoSource) -> bool:
    """Whether two splits hold the same images, or as many videos with the same first ones."""
    if isinstance(own, np.ndarray) and isinstance(first, np.ndarray):
        return np.array_equal(own, first)
    assert isinstance(own, data.VideoSource) and isinstance(first, data.VideoSource), "of one kind"
    if len(own) != len(first):
        return False
    numbers = np.arange(min(len(own), COMPARED_VIDEOS))
    start, length = np.zeros_like(numbers), own.video_shape[0]
    return np.array_equal(own.clips(numbers, start, length), first.clips(numbers, start, length))


def _measured(
    name: str, run: FinishedRun, asked: Asked, examples: np.ndarray | data.VideoSource, step: Step
) -> tuple[dict[str, dict], dict[str, str], list[str]]:
    """The measures of a run, the reasons for those that it does not have, and those that failed."""
    options = asked.options.resolved(len(examples), run.of_videos)
    known = measures.names_of(run)
    names = known if asked.measure_names is None else asked.measure_names
    records, absent, failed = {}, {}, []
    for measure in known:
        if measure not in names:
            absent[measure] = NOT_ASKED
            continue
        if measure == "distances" and asked.extractor is None:
            continue
        total = _total(measure, run, options, examples)
        try:
            records[measure] = _record(
                run, measure, options, asked, f"{name}: {measure}", total, step
            )
        except measures.NotMeasurableError as error:
            absent[measure] = str(error)
        except FloatingPointError as error:
            absent[measure] = str(error)
            failed.append(measure)
    return records, absent, failed


def _record(
    run: FinishedRun,
    measure: str,
    options: measures.Options,
    asked: Asked,
    title: str,
    total: int | None,
    step: Step,
) -> dict:
    """The stored record of a measure, or a new one; a bar only for what takes time."""
    extractor, clip_extractor = None, None
    if measure == "distances":
        extractor, clip_extractor = asked.extractor, asked.clip_extractor
    found = measures.stored(
        run,
        measure,
        options,
        None if extractor is None else extractor.extraction,
        None if clip_extractor is None else clip_extractor.extraction,
    )
    return found or measures.obtain(
        run,
        measure,
        options,
        extractor=extractor,
        data_dir=asked.data_dir,
        download=asked.download,
        progress=step(title, total),
        clip_extractor=clip_extractor,
    )


def _total(
    measure: str,
    run: FinishedRun,
    options: measures.Options,
    examples: np.ndarray | data.VideoSource,
) -> int | None:
    """Of how many examples, or clips, the progress of a measure tells; None if it is not known."""
    if isinstance(examples, data.VideoSource):
        shown = first(examples, options.num_examples)
        num_clips = data.num_evaluation_clips(shown, run.clip_length(examples))
        totals = {"evaluation": num_clips, "rollouts": min(num_clips, options.rollout_clips)}
        return totals.get(measure)
    return {
        "evaluation": options.num_examples,
        "information": options.information_examples,
        "calibration": options.calibration_examples,
        "distances": 2 * options.distance_samples,
    }[measure]
