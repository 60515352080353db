"""Writes a report of finished runs: one HTML page with everything in it, to open from disk.

  sigma-vae-report --workdir=runs/a
  sigma-vae-report --workdir=runs/a --compare=runs/b --compare=runs/c
  sigma-vae-report --workdir=runs/a --compare=runs/b --extractor=inception_2015
  sigma-vae-report --workdir=runs/sweep

The page shows the figures of all runs with their standard errors, training curves, how the scale
converged, samples, reconstructions, the calibration of the decoder, the information in the latent,
distances of samples, the sweep that a run lies in, protocols and configurations. Of a sweep it
shows one run of each row. It needs no network, and can be printed.

Of models of videos it shows a film of rollouts, strips of their frames, and how good they are over
the future step; the film stands still where the reader's system asks for reduced motion.

A measure that a run does not have yet is made and kept in its workdir (evaluation.json,
information.json, calibration.json, distances.json; of videos evaluation.json, rollouts.json,
distances.json); a report that was killed goes on from there.
Distances take a network: inception_2015 (that of FID) or inception_v3_keras, which are fetched from
the network once, or the path of a Keras file or a SavedModel, whose distances bear its name.
Without one there are none.

Where a figure is not finite, the page says so, and the command ends with an error.

  sigma-vae-report --workdir=runs/a --measures=evaluation,calibration --num_samples=0   # quick
"""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from absl import flags, logging
from tqdm import tqdm

from tf_sigma_vae import report as pages
from tf_sigma_vae.cli import _command
from tf_sigma_vae.evaluation import fid, measures, runs
from tf_sigma_vae.evaluation.fid.extractors import Extractor
from tf_sigma_vae.likelihoods import NotCalibratedError
from tf_sigma_vae.workdir import WorkdirError, write_atomically

PROGRAM = "sigma-vae-report"
OUTPUT = "report.html"
EXPECTED_ERRORS = (
    ValueError,
    OSError,
    ImportError,
    WorkdirError,
    NotCalibratedError,
    FloatingPointError,
)


def define_flags() -> None:
    """Defines this command's flags; called once, where the command starts."""
    flags.DEFINE_string("workdir", None, "Folder of a finished run, or of a sweep.", required=True)
    flags.DEFINE_multi_string(
        "compare", [], "Folder of a run to compare with; repeated, or with commas."
    )
    flags.DEFINE_string("output", None, f"The page; WORKDIR/{OUTPUT} if not given.")
    flags.DEFINE_list(
        "measures",
        None,
        f"What to show of: {', '.join(measures.NAMES)}; of videos: "
        f"{', '.join(measures.VIDEO_NAMES)}. All if not given.",
    )
    flags.DEFINE_string(
        "extractor", None, "Network of the distances: a name, or the path of a file or folder."
    )
    flags.DEFINE_string(
        "clip_extractor",
        None,
        "Network of the distances of whole clips, of models of videos: the path of a file or "
        "folder; beside --extractor.",
    )
    flags.DEFINE_string("extractor_path", None, "File of a named extractor that is here already.")
    flags.DEFINE_string("data_dir", None, "Where the data are; as in training if not given.")
    flags.DEFINE_boolean("download", False, "Fetch missing data from the network.")
    _define_options(measures.Options())


def _define_options(defaults: measures.Options) -> None:
    """Defines the flags of how measures are made, one for each of the options."""
    flags.DEFINE_enum("split", defaults.split, runs.SPLITS, "Images or videos to measure on.")
    flags.DEFINE_integer(
        "num_examples",
        defaults.num_examples,
        "How many of the first images or videos the likelihoods are of; 0 for all.",
    )
    flags.DEFINE_integer(
        "num_samples",
        defaults.num_samples,
        "Samples K of the IWAE bound, as of sigma-vae-evaluate if not given; 0 leaves it out.",
    )
    flags.DEFINE_integer(
        "num_rollouts", defaults.num_rollouts, "Rollouts N of each clip, of the best of N."
    )
    flags.DEFINE_integer(
        "rollout_clips", defaults.rollout_clips, "Clips, of videos, that the rollouts are of."
    )
    flags.DEFINE_integer(
        "information_examples",
        defaults.information_examples,
        "Images S of the information; the time grows with S^2, and log S is its ceiling.",
    )
    flags.DEFINE_integer(
        "calibration_examples", defaults.calibration_examples, "Images of the calibration."
    )
    flags.DEFINE_integer(
        "distance_samples",
        defaults.distance_samples,
        "Samples, and as many images, that the distances are between.",
    )
    flags.DEFINE_enum(
        "draw",
        defaults.draw,
        ("mean", "noisy"),
        "Distances of mean images, or of images with the decoder's noise.",
    )
    flags.DEFINE_boolean(
        "extrapolate", False, "Add the Frechet distance extrapolated to infinitely many images."
    )
    flags.DEFINE_integer("seed", defaults.seed, "Of all samples, and of the choice of images.")


class Written(NamedTuple):
    """A report on disk."""

    path: str
    """Of the page."""
    failed: Sequence[str]
    """Measures and pictures, with their runs, that have values that are not finite."""


def report(
    workdir: str,
    compare: Sequence[str] = (),
    output: str | None = None,
    measure_names: Sequence[str] | None = None,
    options: measures.Options | None = None,
    extractor: str | None = None,
    extractor_path: str | None = None,
    data_dir: str | None = None,
    download: bool = False,
    clip_extractor: str | None = None,
) -> Written:
    """Writes a report; everything that can be checked is checked before any work.

    Args:
      workdir: Folder of a finished run, or of a sweep.
      compare: Folders of the runs to compare it with.
      output: The page; None for report.html in `workdir`.
      measure_names: Which of `measures.NAMES`, or `measures.VIDEO_NAMES`, to show; None for all.
      options: How they are made; the defaults if None.
      extractor: Network of the distances, name or path; None for no distances.
      extractor_path: File of a named extractor that need not be downloaded.
      data_dir: Where the data are; None for what each run was trained with.
      download: Whether missing data may be downloaded.
      clip_extractor: Path of the network of the distances of clips, of models of videos.

    Returns:
      The page, and what is not on it because figures are not finite.

    Raises:
      FileNotFoundError: If a run is missing or not finished, or its data or the extractor are.
      ValueError: On an impossible number, an unknown measure, split or extractor, a run given
        twice, or runs of different datasets, or of images and of videos.
      WorkdirError: If a configuration is corrupt.
      PermissionError: If the page or a record cannot be written.
      NotCalibratedError: If an analytic likelihood holds no scale.
    """
    options = measures.Options() if options is None else options
    options.check()
    _check_names(measure_names)
    chosen = pages.choose(workdir, compare)
    names = _names(measure_names, chosen.runs[0])
    output = output or os.path.join(workdir, OUTPUT)
    _require_writable(output, chosen.runs)
    network = _extractor(extractor, extractor_path, names)
    clip_network = _clip_extractor(clip_extractor, network, chosen.runs[0])
    asked = pages.Asked(names, options, network, clip_network, data_dir, download)
    # Of videos clips are counted by some measures, frames by others.
    unit = "" if chosen.runs[0].of_videos else "image"
    with contextlib.closing(_Progress(unit)) as progress:
        content = pages.gather(chosen, asked, progress.begin)
    for run in content.runs:
        for name, reason in run.absent.items():
            if name in names or name in run.failed:
                print(f"no {name} of {run.name}: {reason}", file=sys.stderr)
    os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
    write_atomically(output, pages.render(content))
    failed = [f"{name} of {run.name}" for run in content.runs for name in run.failed]
    return Written(output, failed)


class _Progress:
    """A bar for each piece of work; one ends where the next begins."""

    def __init__(self, unit: str) -> None:
        """Without a bar yet.

        Args:
          unit: What is counted.
        """
        self._bar: tqdm | None = None
        self._unit = unit

    def begin(self, title: str, total: int | None) -> Callable[[int], object]:
        """Begins a piece of so many images; returns what is told of those that are done."""
        self.close()
        bar = tqdm(desc=title, total=total, unit=self._unit)
        self._bar = bar
        return bar.update

    def close(self) -> None:
        """Ends the last bar."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None


def _require_writable(output: str, chosen: Sequence[runs.FinishedRun]) -> None:
    """Checks that the page and the records can be written."""
    if os.path.isdir(output):
        raise ValueError(f"--output={output!r} is a folder; give the name of a file in it")
    runs.require_writable(os.path.dirname(os.path.abspath(output)))
    for run in chosen:
        run.require_writable()


def _check_names(given: Sequence[str] | None) -> None:
    """Checks that all names are those of measures."""
    known = list(dict.fromkeys([*measures.NAMES, *measures.VIDEO_NAMES]))
    for name in given or ():
        if name not in known:
            raise ValueError(f"unknown measure {name!r}; known: {', '.join(known)}")


def _names(given: Sequence[str] | None, run: runs.FinishedRun) -> Sequence[str]:
    """The measures to show, all of which the runs have, as far as their kind tells."""
    fitting = measures.names_of(run)
    for name in given or ():
        if name not in fitting:
            raise ValueError(
                f"the run in {run.workdir.path!r} is of {run.examples_name} and has no {name}, but "
                f"{', '.join(fitting)}: {measures.REASONS[name]}"
            )
    return fitting if given is None else given


def _clip_extractor(
    path: str | None, network: Extractor | None, run: runs.FinishedRun
) -> fid.ClipNetwork | None:
    """The network of the distances of clips; None where it is not asked for."""
    if path is None:
        return None
    if not run.of_videos:
        raise ValueError("--clip_extractor is of models of videos")
    if network is None:
        raise ValueError("--clip_extractor needs --extractor, the network of single frames")
    return measures.clip_extractor(path)


def _extractor(
    name: str | None, path: str | None, measure_names: Sequence[str]
) -> Extractor | None:
    """The network of the distances; None where none is asked for."""
    if name is None:
        if path is not None:
            raise ValueError("--extractor_path needs --extractor, the name of the network")
        return None
    if "distances" not in measure_names:
        raise ValueError("--extractor is of the distances, which --measures leaves out")
    return measures.extractor(name, path)


def main() -> None:
    """Runs the command from the parsed flags."""
    logging.set_verbosity(logging.ERROR)
    values = flags.FLAGS
    options = measures.Options._make(values[name].value for name in measures.Options._fields)
    try:
        written = report(
            values.workdir,
            compare=[path for given in values.compare for path in given.split(",") if path],
            output=values.output,
            measure_names=values.measures,
            options=options,
            extractor=values.extractor,
            extractor_path=values.extractor_path,
            data_dir=values.data_dir,
            download=values.download,
            clip_extractor=values.clip_extractor,
        )
    except EXPECTED_ERRORS as error:
        sys.exit(f"{PROGRAM}: error: {error}")
    print(written.path)
    if written.failed:
        sys.exit(f"{PROGRAM}: error: not finite: {', '.join(written.failed)}")


def run() -> None:
    """The entry point."""
    _command.run(main, __doc__, define_flags)


if __name__ == "__main__":
    run()
