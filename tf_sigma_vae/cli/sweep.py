"""Trains and evaluates all runs of one of the paper's studies, and writes its table.

  sigma-vae-sweep --config=configs/digits_vae.py --sweep=beta --workdir=runs/digits_beta

beta      beta-VAEs of a grid and the calibrated decoders (Table 1, and a rate-distortion plot)
decoders  every decoding distribution (Table 2)
table3    the decoders that the paper compares on MNIST (Table 3)

Every run has the same configuration and budget; only decoder and seed differ. A sweep that was
killed goes on by the same command; runs that are done are kept, so seeds and betas can be added:

  sigma-vae-sweep --config=mnist_vae --sweep=table3 --workdir=runs/table3 --dry_run
  sigma-vae-sweep --config=mnist_vae --sweep=table3 --workdir=runs/table3
  sigma-vae-sweep --config=mnist_vae --sweep=table3 --workdir=runs/table3 --seeds=3,4

Some rows only, and no grid; any field of the configuration can be set as in sigma-vae-train:

  sigma-vae-sweep --sweep=decoders --variants=bernoulli,gaussian_optimal --betas= --workdir=runs/two
  sigma-vae-sweep --sweep=beta --betas=0.003,0.006 --config.num_epochs=3 --workdir=runs/fine

Written after each run: results.csv (a line for each run), table.csv, table.md,
rate_distortion.png, and runs/<row>-seed<k>, a workdir for sigma-vae-evaluate and sigma-vae-sample.
The sweep itself sets --config.likelihood, .likelihood_options and .seed, and keeps .beta at 1.
SIGTERM and Ctrl-C stop it with code 42; a run that diverges is left out, and the code is 1.
"""

import os
import sys

from absl import flags, logging

from tf_sigma_vae import sweep
from tf_sigma_vae.cli import _config_flag
from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation import runs
from tf_sigma_vae.likelihoods import NotCalibratedError
from tf_sigma_vae.sweep import runner
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
FIELDS_OF_THE_SWEEP = ("likelihood", "likelihood_options", "seed")


def define_flags() -> None:
    """Defines this command's flags; called once, where the command starts."""
    _config_flag.define_flags(choices=("dataset",))
    betas = [f"{beta:g}" for beta in sweep.PAPER_BETAS]
    flags.DEFINE_string("sweep", None, f"The study: {', '.join(sweep.STUDIES)}.")
    flags.DEFINE_string("workdir", None, "Folder of the sweep; one with runs in it goes on.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "A run of every row for each seed.")
    flags.DEFINE_list(
        "betas", betas, "The grid, of `squared error + beta * rate`; empty for no grid."
    )
    flags.DEFINE_list(
        "variants", None, "The rows beside the grid; all of the study if not given, empty for none."
    )
    flags.DEFINE_enum("split", "test", runs.SPLITS, "Images to evaluate on.")
    flags.DEFINE_integer("num_examples", 0, "How many of the first images; 0 for all.")
    flags.DEFINE_integer("num_samples", 0, "Samples K of the IWAE bound; 0 leaves it out.")
    flags.DEFINE_string(
        "data_dir", None, "Folder of TensorFlow Datasets; its default if not given."
    )
    flags.DEFINE_boolean("download", False, "Download the dataset if it is not there.")
    flags.DEFINE_string("strategy", "auto", f"One of {', '.join(runner.STRATEGIES)}.")
    flags.DEFINE_boolean("dry_run", False, "Show the runs, what is done and what is left; stop.")


def asked_config() -> Config:
    """The configuration of the flags.

    Raises:
      ValueError: On an unknown key, a bad value, or a field that the sweep sets itself.
      TypeError: On a value of the wrong type.
    """
    for field in sorted(_config_flag.overridden_fields()):
        if field.split(".")[0] in FIELDS_OF_THE_SWEEP:
            raise ValueError(
                f"--config.{field} is set by the sweep itself: choose by --variants and --seeds"
            )
    return _config_flag.resolved_config()


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
    return sweep.Sweep(
        values.sweep,
        asked_config(),
        values.workdir,
        seeds=_numbers("seeds", values.seeds, int),
        betas=_numbers("betas", values.betas, float),
        variants=None if values.variants is None else [name for name in values.variants if name],
        protocol=sweep.Protocol(values.split, values.num_examples, values.num_samples),
        data_dir=values.data_dir and os.path.abspath(os.path.expanduser(values.data_dir)),
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
    table = os.path.join(flags.FLAGS.workdir, "table.md")
    if os.path.exists(table):
        print(f"wrote {table} and what is beside it")
    if failures:
        sys.exit(f"{PROGRAM}: error: {len(failures)} run(s) failed: {'; '.join(failures)}")


def run() -> None:
    """The entry point."""
    _config_flag.run(PROGRAM, main, __doc__, define_flags)


if __name__ == "__main__":
    run()
