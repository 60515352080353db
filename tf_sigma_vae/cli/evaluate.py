"""Evaluates finished runs: a table on the screen, and evaluation.json in each workdir.

  sigma-vae-evaluate --workdir=runs/a
  sigma-vae-evaluate --workdir=runs/a --workdir=runs/b --num_samples=16
  sigma-vae-evaluate --workdir=runs/video --num_rollouts=100 --rollout_clips=256

Figures use the scale stored with the model; evaluating twice gives the same digits.
Another split or number of images overwrites evaluation.json; its protocol says which it was.
Of runs on videos predictions are measured too, step by step: rollouts.json and rollouts.png.
"""

import functools
import os
import sys

import numpy as np
import tensorflow as tf
from absl import flags, logging
from tqdm import tqdm

from tf_sigma_vae import data
from tf_sigma_vae.cli import _command
from tf_sigma_vae.evaluation import measures, record, rollout_plot, runs
from tf_sigma_vae.evaluation.evaluate import Evaluation, check_numbers
from tf_sigma_vae.evaluation.rollouts import table as rollout_table
from tf_sigma_vae.evaluation.table import table
from tf_sigma_vae.likelihoods import NotCalibratedError
from tf_sigma_vae.training import ClusterError, Preempted, agreement, start
from tf_sigma_vae.training.preemption import preempted_by_lost_workers
from tf_sigma_vae.workdir import WorkdirError, atomic_file

PROGRAM = "sigma-vae-evaluate"
EXPECTED_ERRORS = (
    ValueError,
    OSError,
    ImportError,
    WorkdirError,
    ClusterError,
    NotCalibratedError,
    FloatingPointError,
)
# On a TPU only one shape of batches would do, and the last batch has another.
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
ROLLOUTS = measures.Options()
"""Their defaults."""
ROLLOUT_PICTURE = "rollouts.png"


def define_flags() -> None:
    """Defines this command's flags; called once, where the command starts."""
    flags.DEFINE_multi_string(
        "workdir",
        None,
        "Folder of a finished run. Several (repeated, or with commas) are compared in one table.",
        required=True,
    )
    flags.DEFINE_enum("split", "test", runs.SPLITS, "Images, or videos, to evaluate on.")
    flags.DEFINE_integer(
        "num_samples",
        None,
        "Samples K of the IWAE bound; 0 leaves it out. By default 64, and 8 of videos.",
    )
    flags.DEFINE_integer(
        "global_batch_size",
        None,
        "Images, or clips, a batch. By default 128, of clips as many as fit into 512 frames.",
    )
    flags.DEFINE_integer("num_examples", 0, "How many of the first images, or videos; 0 for all.")
    flags.DEFINE_integer(
        "num_rollouts",
        None,
        f"Of videos: rollouts N of each clip, {ROLLOUTS.num_rollouts} by default; 0 for none.",
    )
    flags.DEFINE_integer(
        "rollout_clips",
        None,
        f"Of videos: how many clips they go on from, {ROLLOUTS.rollout_clips} by default.",
    )
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
    num_samples: int | None = None,
    global_batch_size: int | None = None,
    num_examples: int = 0,
    data_dir: str | None = None,
    download: bool = False,
    strategy_name: str = "one_device",
    cluster_timeout: float = start.CLUSTER_TIMEOUT,
    num_rollouts: int | None = None,
    rollout_clips: int | None = None,
) -> str:
    """Evaluates runs and writes `evaluation.json` in each; of videos also the rollouts.

    Args:
      workdirs: Folders of finished runs.
      split: `"test"`, `"validation"` or `"train"`.
      num_samples: K of the importance-weighted bound; 0 leaves it out.
      global_batch_size: Images, or clips, a batch.
      num_examples: How many of the first images, or videos; 0 for all.
      data_dir: Where the data are; None for what each run was trained with.
      download: Whether missing data may be downloaded.
      strategy_name: Where to evaluate. Several workers are all called with the same arguments; the
        chief writes.
      cluster_timeout: Seconds to wait for all workers.
      num_rollouts: Of videos: rollouts of each clip, made on one device; 0 for none, 100 if None.
      rollout_clips: Of videos: how many clips these go on from, 256 if None.

    Returns:
      The table; of videos also a short one of the rollouts.

    Raises:
      FileNotFoundError: If a run is missing or not finished, or its data are.
      ValueError: On an impossible or unknown value, or runs that do not go together.
      WorkdirError: If a configuration is corrupt.
      ClusterError: If the workers do not come together.
      Preempted: When another worker is lost.
      PermissionError: If a workdir cannot be written to.
      NotCalibratedError: If an analytic likelihood holds no scale.
      FloatingPointError: If a figure is not finite.
    """
    opened, options = _checked(
        workdirs, split, num_samples, global_batch_size, num_examples, num_rollouts, rollout_clips
    )
    _require_one_device(strategy_name, options)
    asked: dict[str, object] = {
        "workdirs": workdirs,
        "split": split,
        "num_samples": num_samples,
        "global_batch_size": global_batch_size,
        "num_examples": num_examples,
    }
    say = functools.partial(print, file=sys.stderr)
    strategy = start.connect(strategy_name, asked, cluster_timeout, say)
    wanted = (split, num_examples, data_dir, download)
    return _evaluate_all(opened, wanted, (num_samples, global_batch_size), options, strategy)


def _checked(
    workdirs: list[str],
    split: str,
    num_samples: int | None,
    global_batch_size: int | None,
    num_examples: int,
    num_rollouts: int | None,
    rollout_clips: int | None,
) -> tuple[dict[str, runs.FinishedRun], measures.Options | None]:
    """The runs by short names, and how rollouts are made if they are; see `evaluate`."""
    runs.check_images_wanted(split, num_examples)
    check_numbers(num_samples, global_batch_size)
    options = _rollout_options(split, num_examples, num_rollouts, rollout_clips)
    opened = _opened(workdirs)
    if _all_of_videos(opened):
        return opened, options
    given = {"num_rollouts": num_rollouts, "rollout_clips": rollout_clips}
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name}={value} is of videos, and these runs are of images")
    return opened, None


def _evaluate_all(
    opened: dict[str, runs.FinishedRun],
    wanted: tuple[str, int, str | None, bool],
    numbers: tuple[int | None, int | None],
    options: measures.Options | None,
    strategy: tf.distribute.Strategy,
) -> str:
    """See `evaluate`; `wanted` is what `FinishedRun.images` takes."""
    writes, evaluations, rollouts = agreement.is_chief(strategy), {}, {}
    with preempted_by_lost_workers(strategy):
        for name, run in opened.items():
            images = run.images(*wanted)
            evaluations[name] = _evaluated(name, run, images, wanted[0], numbers, strategy, writes)
            if options is not None and isinstance(images, data.VideoSource):
                rollouts[name] = _rolled_out(name, run, images, options, *wanted[2:])
        # The chief's process serves the others: none may leave before the rest is done.
        agreement.wait_for_all(strategy)
    if not writes:
        return ""
    return "\n\n".join([table(evaluations), *([rollout_table(rollouts)] if rollouts else [])])


def _evaluated(
    name: str,
    run: runs.FinishedRun,
    images: np.ndarray | data.VideoSource,
    split: str,
    numbers: tuple[int | None, int | None],
    strategy: tf.distribute.Strategy,
    writes: bool,
) -> Evaluation:
    """The evaluation of a run, written by the chief."""
    with _bar(name, *_amount(run, images), not writes) as bar:
        found = record.evaluate_run(run, images, split, *numbers, bar.update, strategy)
    if writes:
        record.write(found, run.workdir.evaluation_file)
    return found


def _rollout_options(
    split: str, num_examples: int, num_rollouts: int | None, rollout_clips: int | None
) -> measures.Options | None:
    """How rollouts are made; None for none.

    Raises:
      ValueError: On an impossible number; the message names it.
    """
    num_rollouts = ROLLOUTS.num_rollouts if num_rollouts is None else num_rollouts
    rollout_clips = ROLLOUTS.rollout_clips if rollout_clips is None else rollout_clips
    if num_rollouts < 0:
        raise ValueError(f"num_rollouts must not be negative (0 for none), got {num_rollouts}")
    options = measures.Options(
        split=split,
        num_examples=num_examples,
        num_rollouts=num_rollouts or ROLLOUTS.num_rollouts,
        rollout_clips=rollout_clips,
    )
    options.check()
    return options if num_rollouts else None


def _all_of_videos(opened: dict[str, runs.FinishedRun]) -> bool:
    """Whether the runs are of videos.

    Raises:
      ValueError: If some are and some are not; the message names them.
    """
    of_videos = [name for name, run in opened.items() if run.of_videos]
    of_images = [name for name in opened if name not in of_videos]
    if of_videos and of_images:
        raise ValueError(
            f"runs of videos ({', '.join(of_videos)}) and of images ({', '.join(of_images)}) have "
            "no figures in common: evaluate them one kind at a time"
        )
    return bool(of_videos)


def _require_one_device(strategy_name: str, options: measures.Options | None) -> None:
    """Checks that rollouts are not asked for on several devices."""
    if options is not None and start.chosen(strategy_name)[0].kind != "one_device":
        raise ValueError(
            f"rollouts are made on one device: --num_rollouts=0 leaves them out under "
            f"--strategy={strategy_name}"
        )


def _amount(run: runs.FinishedRun, images: np.ndarray | data.VideoSource) -> tuple[int, str]:
    """What there is to do of a run, and its unit."""
    if isinstance(images, data.VideoSource):
        return data.num_evaluation_clips(images, run.clip_length(images)), "clip"
    return len(images), "image"


def _bar(name: str, total: int, unit: str, disable: bool = False) -> tqdm:
    return tqdm(total=total, desc=name, unit=unit, disable=disable)


def _rolled_out(
    name: str,
    run: runs.FinishedRun,
    source: data.VideoSource,
    options: measures.Options,
    data_dir: str | None,
    download: bool,
) -> dict:
    """The record of a run's rollouts, made now as the evaluation is, with its picture."""
    total = min(options.rollout_clips, _amount(run, source)[0])
    with _bar(f"{name}: rollouts", total, "clip") as bar:
        found = measures.obtain(
            run,
            "rollouts",
            options,
            data_dir=data_dir,
            download=download,
            progress=bar.update,
            anew=True,
        )
    with atomic_file(os.path.join(run.workdir.path, ROLLOUT_PICTURE)) as file:
        file.write(rollout_plot.curves({name: found}))
    return found


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
            num_rollouts=values.num_rollouts,
            rollout_clips=values.rollout_clips,
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
