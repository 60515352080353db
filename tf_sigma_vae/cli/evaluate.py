"""Evaluates finished runs: a table on the screen, and evaluation.json in each workdir.

  sigma-vae-evaluate --workdir=runs/a
  sigma-vae-evaluate --workdir=runs/a --workdir=runs/b --num_samples=16

Figures use the scale stored with the model; evaluating twice gives the same digits.
Another split or number of images overwrites evaluation.json; its protocol says which it was.
"""

import functools
import os
import sys

from absl import flags, logging
from tqdm import tqdm

from tf_sigma_vae.cli import _command
from tf_sigma_vae.evaluation import record, runs
from tf_sigma_vae.evaluation.evaluate import check_numbers
from tf_sigma_vae.evaluation.table import table
from tf_sigma_vae.likelihoods import NotCalibratedError
from tf_sigma_vae.training import ClusterError, Preempted, agreement, start
from tf_sigma_vae.training.preemption import preempted_by_lost_workers
from tf_sigma_vae.workdir import WorkdirError

PROGRAM = "sigma-vae-evaluate"
EXPECTED_ERRORS = (
    ValueError,
    OSError,
    WorkdirError,
    ClusterError,
    NotCalibratedError,
    FloatingPointError,
)
# On a TPU only one shape of batches would do, and the last batch has another.
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")


def define_flags() -> None:
    """Defines this command's flags; called once, where the command starts."""
    flags.DEFINE_multi_string(
        "workdir",
        None,
        "Folder of a finished run. Several (repeated, or with commas) are compared in one table.",
        required=True,
    )
    flags.DEFINE_enum("split", "test", runs.SPLITS, "Images to evaluate on.")
    flags.DEFINE_integer("num_samples", 64, "Samples K of the IWAE bound; 0 leaves it out.")
    flags.DEFINE_integer("global_batch_size", 128, "Images a batch.")
    flags.DEFINE_integer("num_examples", 0, "How many of the first images; 0 for all.")
    flags.DEFINE_string("data_dir", None, "Where the data are; as in training if not given.")
    flags.DEFINE_boolean("download", False, "Fetch missing data from the network.")
    flags.DEFINE_enum(
        "strategy", "one_device", STRATEGIES, "Where to evaluate, as in training; same figures."
    )
    flags.DEFINE_float(
        "cluster_timeout", start.CLUSTER_TIMEOUT, "Seconds to wait for all workers.", 1.0
    )


def evaluate(
    workdirs: list[str],
    split: str = "test",
    num_samples: int = 64,
    global_batch_size: int = 128,
    num_examples: int = 0,
    data_dir: str | None = None,
    download: bool = False,
    strategy_name: str = "one_device",
    cluster_timeout: float = start.CLUSTER_TIMEOUT,
) -> str:
    """Evaluates runs and writes `evaluation.json` in each.

    Args:
      workdirs: Folders of finished runs.
      split: `"test"`, `"validation"` or `"train"`.
      num_samples: K of the importance-weighted bound; 0 leaves it out.
      global_batch_size: Images a batch.
      num_examples: How many of the first images; 0 for all.
      data_dir: Where the data are; None for what each run was trained with.
      download: Whether missing data may be downloaded.
      strategy_name: Where to evaluate. Several workers are all called with the same arguments; the
        chief writes.
      cluster_timeout: Seconds to wait for all workers.

    Returns:
      The table.

    Raises:
      FileNotFoundError: If a run is missing or not finished, or its data are.
      ValueError: On an impossible number, an unknown split, or a run given twice.
      WorkdirError: If a configuration is corrupt.
      ClusterError: If the workers do not come together.
      Preempted: When another worker is lost.
      PermissionError: If a workdir cannot be written to.
      NotCalibratedError: If an analytic likelihood holds no scale.
      FloatingPointError: If a figure is not finite.
    """
    runs.check_images_wanted(split, num_examples)
    check_numbers(num_samples, global_batch_size)
    opened = _opened(workdirs)
    asked = {"workdirs": workdirs, "split": split, "num_samples": num_samples}
    asked |= {"global_batch_size": global_batch_size, "num_examples": num_examples}
    say = functools.partial(print, file=sys.stderr)
    strategy = start.connect(strategy_name, asked, cluster_timeout, say)
    writes, evaluations = agreement.is_chief(strategy), {}
    with preempted_by_lost_workers(strategy):
        for name, run in opened.items():
            images = run.images(split, num_examples, data_dir, download)
            with tqdm(total=len(images), desc=name, unit="image", disable=not writes) as bar:
                evaluations[name] = record.evaluate_run(
                    run, images, split, num_samples, global_batch_size, bar.update, strategy
                )
            if writes:
                record.write(evaluations[name], run.workdir.evaluation_file)
        # The chief's process serves the others: none may leave before the rest is done.
        agreement.wait_for_all(strategy)
    return table(evaluations) if writes else ""


def _opened(workdirs: list[str]) -> dict[str, runs.FinishedRun]:
    """The runs by short names, checked before any work."""
    opened = [runs.FinishedRun(path) for path in workdirs]
    if len({os.path.realpath(path) for path in workdirs}) < len(workdirs):
        raise ValueError(f"a workdir is given twice: {', '.join(workdirs)}")
    for run in opened:
        run.require_writable()
    return dict(zip(runs.column_names(workdirs), opened, strict=True))


def main() -> None:
    """Runs the command from the parsed flags."""
    logging.set_verbosity(logging.ERROR)
    values = flags.FLAGS
    workdirs = [path for given in values.workdir for path in given.split(",") if path]
    try:
        found = evaluate(
            workdirs,
            split=values.split,
            num_samples=values.num_samples,
            global_batch_size=values.global_batch_size,
            num_examples=values.num_examples,
            data_dir=values.data_dir,
            download=values.download,
            strategy_name=values.strategy,
            cluster_timeout=values.cluster_timeout,
        )
        if found:
            print(found)
    except Preempted as stop:
        print(stop.message, flush=True)
        raise
    except EXPECTED_ERRORS as error:
        sys.exit(f"{PROGRAM}: error: {error}")


def run() -> None:
    """The entry point."""
    _command.run(main, __doc__, define_flags)


if __name__ == "__main__":
    run()
