"""Trains a sigma-VAE, or resumes a run that was killed.

  sigma-vae-train --config=configs/digits_vae.py --variant=gaussian_optimal --workdir=runs/digits

The config file says what to train; --dataset and --variant choose within it, and any field can be
set by --config.<field>=value. --dry_run shows what would be done. The same command resumes a run
that was killed, bit for bit. SIGTERM and Ctrl-C write a checkpoint and exit with code 42.

Several workers: the same command in each, with one --workdir that all share and TF_CONFIG (or the
variables of Slurm or of an indexed Kubernetes Job) set; launch/ has scripts. A worker that loses
another exits with code 42 too: start all again. What is computed does not depend on --strategy.
"""

import json
import math
import os
import sys

import tensorflow as tf
from absl import flags, logging

from tf_sigma_vae import build, data
from tf_sigma_vae.cli import _config_flag
from tf_sigma_vae.config import Config
from tf_sigma_vae.training import (
    CheckpointError,
    ClusterError,
    NonFiniteError,
    Preempted,
    batches,
    loop,
    start,
    strategy,
)
from tf_sigma_vae.workdir import WorkdirError

PROGRAM = "sigma-vae-train"
EXPECTED_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
    WorkdirError,
    ClusterError,
    CheckpointError,
    NonFiniteError,
)


def define_flags() -> None:
    """Defines this command's flags; called once, where the command starts."""
    _config_flag.define_flags()
    flags.DEFINE_string("workdir", None, "Folder of the run; one with a run in it is resumed.")
    flags.DEFINE_string(
        "data_dir", None, "Folder of TensorFlow Datasets; its default if not given."
    )
    flags.DEFINE_boolean("download", False, "Download the dataset if it is not there.")
    kinds = "; ".join(f"{name}: {text}" for name, text in strategy.DESCRIPTIONS.items())
    flags.DEFINE_string("strategy", "auto", f"Where to train. {kinds}.")
    flags.DEFINE_float(
        "cluster_timeout",
        start.CLUSTER_TIMEOUT,
        "Seconds that a worker waits for the others to come up.",
        lower_bound=1.0,
    )
    flags.DEFINE_boolean("dry_run", False, "Show the config, model and first batch, then stop.")


def dry_run(config: Config, data_dir: str | None, download: bool) -> None:
    """Prints the resolved configuration, the model and the shapes of the first batch."""
    build.check(config)
    show_strategy(config)
    print(json.dumps(config.to_dict(), indent=2))
    splits = build.load_splits(config, data_dir, download)
    num_steps = build.num_train_steps(config, len(splits.train))
    model = loop.compiled_model(config, build.image_shape(splits), num_steps)
    model.summary()
    for name, images in splits._asdict().items():
        if isinstance(images, data.VideoSource):
            print(f"{name}: {len(images)} videos {images.video_shape} uint8")
        elif images is not None:
            print(f"{name}: {len(images)} images {images.shape[1:]} {images.dtype}")
    parameters = sum(math.prod(v.shape) for v in model.trainable_variables)
    print(f"trainable parameters: {parameters:,}; training steps: {num_steps:,}")
    x = next(iter(batches.shuffled(config, splits.train)))
    low, high = float(tf.reduce_min(x)), float(tf.reduce_max(x))
    print(f"first batch: {x.dtype.name} {tuple(x.shape)} in [{low:.3f}, {high:.3f}]")
    if model.of_videos:
        given, predicted = model.context_frames, config.train_frames - model.context_frames
        print(
            f"clips of {config.train_frames} frames, of which {given} are given and {predicted} "
            "predicted"
        )


def show_strategy(config: Config) -> None:
    """Prints what --strategy comes to, and checks it, without waiting for other workers."""
    choice, found = start.chosen(flags.FLAGS.strategy)
    if choice.kind == "multi_worker":
        assert found is not None, "strategy.choose gives multi_worker only where there is a cluster"
        print(f"strategy: {choice.kind} ({choice.reason}); worker {found.index} of:")
        print("\n".join(f"  {address}" for address in found.addresses))
        strategy.check_workers(found, config)
        return
    strategy.check(strategy.build(choice.kind), config)
    print(f"strategy: {choice.kind} ({choice.reason})")


def main() -> None:
    """Runs the command from the parsed flags."""
    logging.set_verbosity(logging.WARNING)
    values = flags.FLAGS
    try:
        config = _config_flag.resolved_config()
        if values.dry_run:
            dry_run(config, values.data_dir, values.download)
            return
        if not values.workdir:
            raise ValueError("--workdir is needed: the folder of the run, such as runs/digits")
        data_dir = values.data_dir and os.path.abspath(os.path.expanduser(values.data_dir))
        loop.train(
            config,
            values.workdir,
            data_dir=data_dir,
            download=values.download,
            strategy_name=values.strategy,
            cluster_timeout=values.cluster_timeout,
        )
    except Preempted as stop:
        print(stop.message, flush=True)
        raise
    except EXPECTED_ERRORS as error:
        sys.exit(f"{PROGRAM}: error: {error}")


def run() -> None:
    """The entry point."""
    _config_flag.run(PROGRAM, main, __doc__, define_flags)


if __name__ == "__main__":
    run()
