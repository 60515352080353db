"""Writes a report of finished runs: one HTML page with everything in it, to open from disk.

  sigma-vae-report --workdir=runs/a
  sigma-vae-report --workdir=runs/a --compare=runs/b --compare=runs/c
  sigma-vae-report --workdir=runs/a --compare=runs/b --extractor=inception_2015
  sigma-vae-report --workdir=runs/sweep

The page shows the figures of all runs with their standard errors, training curves, how the scale
converged, samples, reconstructions, the calibration of the decoder, the information in the latent,
distances of samples, the sweep that a run lies in, protocols and configurations. Of a sweep it
shows one run of each row. It needs no network, and can be printed.

A measure that a run does not have yet is made and kept in its workdir (evaluation.json,
information.json, calibration.json, distances.json); a report that was killed goes on from there.
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
from tf_sigma_vae.evaluation import measures, runs
from tf_sigma_vae.likelihoods import NotCalibratedError
from tf_sigma_vae.workdir import WorkdirError, write_atomically

PROGRAM = "sigma-vae-report"
OUTPUT = "report.html"
EXPECTED_ERRORS = (ValueError, OSError, WorkdirError, NotCalibratedError, FloatingPointError)


def define_flags() -> None:
    """Defines this command's flags; called once, where the command starts."""
    defaults = measures.Options()
    flags.DEFINE_string("workdir", None, "Folder of a finished run, or of a sweep.", required=True)
    flags.DEFINE_multi_string(
        "compare", [], "Folder of a run to compare with; repeated, or with commas."
    )
    flags.DEFINE_string("output", None, f"The page; WORKDIR/{OUTPUT} if not given.")
    flags.DEFINE_list(
        "measures", list(measures.NAMES), f"What to show of: {', '.join(measures.NAMES)}."
    )
    flags.DEFINE_enum("split", defaults.split, runs.SPLITS, "Images to measure on.")
    flags.DEFINE_integer(
        "num_examples",
        defaults.num_examples,
        "How many of the first images the likelihoods are of; 0 for all.",
    )
    flags.DEFINE_integer(
        "num_samples", defaults.num_samples, "Samples K of the IWAE bound; 0 leaves it out."
    )
    flags.DEFINE_integer(
        "information_examples",
        defaults.information_examples,
        "Images S of the information; the time grows with S^2, and log S is its ceiling.",
    )
    flags.DEFINE_integer(
        "calibration_examples", defaults.calibration_examples, "Images of the calibration."
    )
    flags.DEFINE_string(
        "extractor", None, "Network of the distances: a name, or the path of a file or folder."
    )
    flags.DEFINE_string("extractor_path", None, "File of a named extractor that is here already.")
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
    flags.DEFINE_string("data_dir", None, "Where the data are; as in training if not given.")
    flags.DEFINE_boolean("download", False, "Fetch missing data from the network.")


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
    measure_names: Sequence[str] = measures.NAMES,
    options: measures.Options | None = None,
    extractor: str | None = None,
    extractor_path: str | None = None,
    data_dir: str | None = None,
    download: bool = False,
) -> Written:
    """Writes a report; everything that can be checked is checked before any work.

    Args:
      workdir: Folder of a finished run, or of a sweep.
      compare: Folders of the runs to compare it with.
      output: The page; None for report.html in `workdir`.
      measure_names: Which of `measures.NAMES` to show.
      options: How they are made; the defaults if None.
      extractor: Network of the distances, name or path; None for no distances.
      extractor_path: File of a named extractor that need not be downloaded.
      data_dir: Where the data are; None for what each run was trained with.
      download: Whether missing data may be downloaded.

    Returns:
      The page, and what is not on it because figures are not finite.

    Raises:
      FileNotFoundError: If a run is missing or not finished, or its data or the extractor are.
      ValueError: On an impossible number, an unknown measure, split or extractor, a run given
        twice, or runs of different datasets.
      WorkdirError: If a configuration is corrupt.
      PermissionError: If the page or a record cannot be written.
      NotCalibratedError: If an analytic likelihood holds no scale.
    """
    options = measures.Options() if options is None else options
    options.check()
    unknown = [name for name in measure_names if name not in measures.NAMES]
    if unknown:
        raise ValueError(f"unknown measure {unknown[0]!r}; known: {', '.join(measures.NAMES)}")
    chosen = pages.choose(workdir, compare)
    output = output or os.path.join(workdir, OUTPUT)
    _require_writable(output, chosen.runs)
    network = _extractor(extractor, extractor_path, measure_names)
    asked = pages.Asked(measure_names, options, network, data_dir, download)
    with contextlib.closing(_Progress()) as progress:
        content = pages.gather(chosen, asked, progress.begin)
    for run in content.runs:
        for name, reason in run.absent.items():
            if name in measure_names or name in run.failed:
                print(f"no {name} of {run.name}: {reason}", file=sys.stderr)
    os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
    write_atomically(output, pages.render(content))
    failed = [f"{name} of {run.name}" for run in content.runs for name in run.failed]
    return Written(output, failed)


class _Progress:
    """A bar for each piece of work; one ends where the next begins."""

    def __init__(self):
        """Without a bar yet."""
        self._bar = None

    def begin(self, title: str, total: int) -> Callable[[int], object]:
        """Begins a piece of so many images; returns what is told of those that are done."""
        self.close()
        self._bar = tqdm(desc=title, total=total, unit="image")
        return self._bar.update

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


def _extractor(name: str | None, path: str | None, measure_names: Sequence[str]):
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
    options = measures.Options(**{name: values[name].value for name in measures.Options._fields})
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
