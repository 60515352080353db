"""Trains, evaluates and measures all runs of one of the paper's studies, and writes its table.

  sigma-vae-sweep --config=configs/digits_vae.py --sweep=beta --workdir=runs/digits_beta

beta      beta-VAEs of a grid and the calibrated decoders (Table 1, and a rate-distortion plot)
decoders  every decoding distribution (Table 2, SVHN; decoders_cifar and decoders_celeba beside
          the paper's figures of its hierarchical VAE)
table3    the decoders that the paper compares on MNIST (Table 3)
figure4   information in the latent over a finer grid of beta (Fig. 4)
figure9   the scale over the steps of training (Fig. 9)

Every run has the same configuration and budget; only decoder and seed differ. A sweep that was
killed goes on by the same command; runs that are done are kept, so seeds and betas can be added:

  sigma-vae-sweep --config=mnist_vae --sweep=table3 --workdir=runs/table3 --dry_run
  sigma-vae-sweep --config=mnist_vae --sweep=table3 --workdir=runs/table3
  sigma-vae-sweep --config=mnist_vae --sweep=table3 --workdir=runs/table3 --seeds=3,4

Some rows only, and no grid; any field of the configuration can be set as in sigma-vae-train:

  sigma-vae-sweep --sweep=decoders --variants=bernoulli,gaussian_optimal --betas= --workdir=runs/two
  sigma-vae-sweep --sweep=beta --betas=0.003,0.006 --config.num_epochs=3 --workdir=runs/fine

Measures beside the likelihood: distances of samples to images by a network (FID by inception_2015
alone), and the information in the latent. The budget says how much is spent, where no flag does:

  sigma-vae-sweep --sweep=beta --measures=information,distances --extractor=network.keras
      --budget=smoke --workdir=runs/measured

Written after each run: results.csv (a line for each run), table.csv, table.md with the paper's
figures and whether its orderings hold, pictures, and runs/<row>-seed<k>, a workdir for
sigma-vae-evaluate and sigma-vae-sample. The table is printed at the end.
The sweep itself sets --config.likelihood, .likelihood_options and .seed, and keeps .beta at 1.
SIGTERM and Ctrl-C stop it with code 42; a run that diverges is left out, and the code is 1.
"""

import os
import sys
from typing import TypeVar

from absl import flags, logging

from tf_sigma_vae import sweep
from tf_sigma_vae.cli import _config_flag
from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation import fid, measures, runs
from tf_sigma_vae.likelihoods import NotCalibratedError
from tf_sigma_vae.sweep import artefacts, budgets, checks, measuring, studies
from tf_sigma_vae.training import CheckpointError, Preempted
from tf_sigma_vae.workdir import WorkdirError

PROGRAM = "sigma-vae-sweep"
EXPECTED_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    WorkdirError,
    CheckpointError,
    NotCalibratedError,
)
ENOUGH_SEEDS = 3
DEFAULT_BUDGET = "paper"
FIELDS_OF_THE_SWEEP = ("likelihood", "likelihood_options", "seed")


def define_flags() -> None:
    """Defines this command's flags; called once, where the command starts."""
    _config_flag.define_flags(choices=("dataset",))
    flags.DEFINE_string("sweep", None, f"The study: {', '.join(sweep.STUDIES)}.")
    flags.DEFINE_string("workdir", None, "Folder of the sweep; one with runs in it goes on.")
    flags.DEFINE_string(
        "budget",
        DEFAULT_BUDGET,
        "Defaults of what a sweep costs: paper (the configuration's epochs, three seeds, all "
        "images), short (2 epochs, two seeds, 5,000 samples) or smoke (20 steps, two seeds, 256 "
        "images: whether all works). Flags go before it.",
    )
    flags.DEFINE_list("seeds", None, "A run of every row for each seed; those of the budget.")
    flags.DEFINE_list(
        "betas",
        None,
        "The grid, of `squared error + beta * rate`; empty for no grid, the study's if not given.",
    )
    flags.DEFINE_list(
        "variants", None, "The rows beside the grid; all of the study if not given, empty for none."
    )
    flags.DEFINE_enum("split", "test", runs.SPLITS, "Images to evaluate and measure on.")
    flags.DEFINE_integer(
        "num_examples", None, "How many of the first images; 0 for all; that of the budget."
    )
    flags.DEFINE_integer("num_samples", 0, "Samples K of the IWAE bound; 0 leaves it out.")
    _define_measuring_flags()
    flags.DEFINE_string(
        "data_dir", None, "Folder of TensorFlow Datasets; its default if not given."
    )
    flags.DEFINE_boolean("download", False, "Download the dataset if it is not there.")
    flags.DEFINE_string("strategy", "auto", f"One of {', '.join(checks.STRATEGIES)}.")
    flags.DEFINE_boolean("dry_run", False, "Show the runs, what is done and what is left; stop.")


def _define_measuring_flags() -> None:
    flags.DEFINE_list(
        "measures",
        None,
        f"Measured beside the evaluation, of {', '.join(measuring.NAMES)}; by default what the "
        "study is about: information for figure4, else nothing.",
    )
    flags.DEFINE_string(
        "extractor",
        None,
        f"Network of the distances: {', '.join(fid.extractors.names())}, or the path of a .keras "
        "file or SavedModel folder, whose distances then bear its name.",
    )
    flags.DEFINE_string(
        "extractor_path", None, "File of a named extractor, which is downloaded if not given."
    )
    flags.DEFINE_integer(
        "distance_samples", None, "Samples, and as many images; that of the budget (10,000)."
    )
    flags.DEFINE_enum(
        "draw", "mean", ("mean", "noisy"), "Samples without or with the decoder's noise."
    )


def asked_config(study: studies.Study, budget: budgets.Budget) -> Config:
    """The configuration of the flags, with the defaults of a study and a budget.

    Raises:
      ValueError: On an unknown key, a bad value, or a field that the sweep sets itself.
      TypeError: On a value of the wrong type.
    """
    given = _config_flag.overridden_fields()
    for field in sorted(given):
        if field.split(".")[0] in FIELDS_OF_THE_SWEEP:
            raise ValueError(
                f"--config.{field} is set by the sweep itself: choose by --variants and --seeds"
            )
    return budgets.applied(_config_flag.resolved_config(), given, study.config, budget.config)


def asked_measuring(study: studies.Study, budget: budgets.Budget) -> measuring.Measuring:
    """The measures of the flags; a dry run loads no extractor.

    Raises:
      ValueError: On an unknown measure, a bad option, or distances without an extractor.
    """
    values = flags.FLAGS
    names = study.measures if values.measures is None else [n for n in values.measures if n]
    options = measures.Options(
        split=values.split,
        information_examples=budget.information_examples,
        distance_samples=_or_default(values.distance_samples, budget.distance_samples),
        draw=values.draw,
    )
    needs_extractor = "distances" in names
    if needs_extractor:
        _require_extractor()
    load = _loaded_extractor if needs_extractor and not values.dry_run else None
    return measuring.Measuring(tuple(names), options, load)


def _require_extractor() -> None:
    """Checks what the flags say of the extractor, without loading it.

    Raises:
      ValueError: If it is not given, or neither a name nor a path.
    """
    name, known = flags.FLAGS.extractor, ", ".join(fid.extractors.names())
    if not name:
        raise ValueError(f"--measures=distances needs an --extractor: {known}, or a path")
    if name not in fid.extractors.names() and not os.path.exists(_expanded(name)):
        raise ValueError(f"--extractor={name} is neither a file or folder, nor one of {known}")


def _loaded_extractor() -> fid.extractors.Extractor:
    """The extractor of the flags.

    Raises:
      ValueError: If it is not one, or its file is given twice.
      FileNotFoundError: If there is no file.
      ConnectionError: If it cannot be downloaded; the message says what to do.
    """
    name, path = flags.FLAGS.extractor, flags.FLAGS.extractor_path
    if name not in fid.extractors.names():
        name = _expanded(name)
    try:
        return measures.extractor(name, path and _expanded(path))
    except ConnectionError as error:
        raise ConnectionError(
            f"{error} By flags: --extractor_path=FILE, or --extractor=PATH for another network, a "
            ".keras file or SavedModel folder, whose distances bear its name and are not FID"
        ) from error


def _expanded(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


_T = TypeVar("_T")


def _or_default(value: _T | None, default: _T) -> _T:
    return default if value is None else value


def asked_sweep() -> sweep.Sweep:
    """The sweep of the flags, checked.

    Raises:
      ValueError: On what makes no sense.
      TypeError: On a value of the wrong type.
      FileNotFoundError: If the data are missing.
      WorkdirError: If the workdir cannot be used.
    """
    values = flags.FLAGS
    if not values.sweep:
        raise ValueError(f"--sweep is needed: one of {', '.join(sweep.STUDIES)}")
    if not values.workdir:
        raise ValueError("--workdir is needed: the folder of the sweep, such as runs/sweep")
    study, budget = studies.study(values.sweep), budgets.budget(values.budget)
    seeds = None if values.seeds is None else _numbers("seeds", values.seeds, int)
    protocol = sweep.Protocol(values.split, values.num_examples or 0, values.num_samples)
    return sweep.Sweep(
        values.sweep,
        asked_config(study, budget),
        values.workdir,
        seeds=_or_default(seeds, budget.seeds),
        betas=None if values.betas is None else _numbers("betas", values.betas, float),
        variants=None if values.variants is None else [name for name in values.variants if name],
        protocol=protocol,
        most_examples=budget.num_examples if values.num_examples is None else 0,
        measuring=asked_measuring(study, budget),
        data_dir=values.data_dir and _expanded(values.data_dir),
        download=values.download,
        strategy_name=values.strategy,
    )


def _numbers(flag: str, texts: list[str], kind: type) -> list:
    try:
        return [kind(text) for text in texts if text]
    except ValueError as error:
        raise ValueError(f"--{flag} must be numbers with commas between: {error}") from None


def main() -> None:
    """Runs the command from the parsed flags."""
    logging.set_verbosity(logging.ERROR)
    try:
        asked = asked_sweep()
        if len(asked.seeds()) < ENOUGH_SEEDS:
            print(
                f"warning: with fewer than {ENOUGH_SEEDS} seeds there is no standard error worth "
                "the name",
                file=sys.stderr,
            )
        if flags.FLAGS.dry_run:
            print(asked.plan())
            return
        failures = asked.run()
    except Preempted as stop:
        print(stop.message, flush=True)
        raise
    except EXPECTED_ERRORS as error:
        sys.exit(f"{PROGRAM}: error: {error}")
    for path in asked.written:
        if os.path.basename(path) == artefacts.TABLE:
            with open(path, encoding="utf-8") as file:
                print(f"\n{file.read()}")
    for path in asked.written:
        print(f"wrote {path}")
    if failures:
        sys.exit(f"{PROGRAM}: error: {len(failures)} run(s) failed: {'; '.join(failures)}")


def run() -> None:
    """The entry point."""
    _config_flag.run(PROGRAM, main, __doc__, define_flags)


if __name__ == "__main__":
    run()
