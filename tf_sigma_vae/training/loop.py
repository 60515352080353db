"""The training loop: Keras `fit`, wrapped so that a killed run resumes bit for bit.

Config to checkpoint: `build` -> `models` -> `likelihoods` -> this file -> `training.checkpoints`.
"""

import os
import sys
import time

import keras
import tensorflow as tf

from tf_sigma_vae import build, data
from tf_sigma_vae.config import Config
from tf_sigma_vae.models import LatentVariableModel
from tf_sigma_vae.replicas import num_workers
from tf_sigma_vae.training import agreement, batches, metrics_log, optimizer, start, strategy
from tf_sigma_vae.training import callbacks as callbacks_lib
from tf_sigma_vae.training.checkpoints import Checkpoints, NonFiniteError, listed_step
from tf_sigma_vae.training.finish import finish
from tf_sigma_vae.training.preemption import StopRequest, preempted_by_lost_workers
from tf_sigma_vae.training.step_counter import StepCounter
from tf_sigma_vae.workdir import Workdir, WorkdirError

FILE_SYSTEM_SECONDS = 40.0
"""Longest that a shared file system shows a worker an old listing (NFS: 30 s by default)."""


def compiled_model(
    config: Config, image_shape: tuple[int, int, int], num_steps: int
) -> LatentVariableModel:
    """The model of a configuration, compiled; call it in the scope of the strategy.

    Args:
      config: The configuration.
      image_shape: `(H, W, C)`.
      num_steps: Steps of the whole training.

    Returns:
      A model ready for `fit`, its optimizer's variables created.

    Raises:
      ValueError: If the parts do not fit one another.
    """
    model = build.model(config, image_shape)
    model.compile(
        optimizer.build(config, num_steps),
        jit_compile=config.jit_compile,
        steps_per_execution=config.steps_per_execution,
    )
    assert model.optimizer is not None  # Compiled just now.
    model.optimizer.build(model.trainable_variables)
    return model


def train(
    config: Config,
    workdir: str,
    *,
    data_dir: str | None = None,
    download: bool = False,
    strategy_name: str = "auto",
    cluster_timeout: float = start.CLUSTER_TIMEOUT,
    verbose: int | None = None,
) -> LatentVariableModel:
    """Trains, or resumes a killed run, and writes `model.keras`.

    With several workers all call this, with the same arguments; the chief writes.

    Args:
      config: The configuration.
      workdir: Folder of the run; one that all workers share.
      data_dir: Where TFDS keeps its datasets.
      download: Whether a missing dataset may be downloaded.
      strategy_name: Name of the distribution strategy.
      cluster_timeout: Seconds to wait for all workers to come up.
      verbose: Keras's: 0 silent, 1 progress bar, 2 a line an epoch; by default 1 on a terminal.

    Returns:
      The trained, calibrated model.

    Raises:
      ValueError: On an impossible configuration.
      FileNotFoundError: If the data are missing.
      WorkdirError: If the workdir cannot be used.
      ClusterError: If the workers do not come together, or differ in what they are to do.
      CheckpointError: If a checkpoint cannot be written or read.
      NonFiniteError: If training meets a value that is not finite.
      Preempted: After SIGTERM or Ctrl-C, the checkpoint written, and when another worker is lost.
    """
    build.check(config)
    with StopRequest() as stop_request:
        distribution = start.connect(strategy_name, {"config": config.to_dict()}, cluster_timeout)
        strategy.check(distribution, config)
        with preempted_by_lost_workers(distribution):
            return _train(
                config, Workdir(workdir), distribution, data_dir, download, verbose, stop_request
            )


def _train(
    config: Config,
    files: Workdir,
    distribution: tf.distribute.Strategy,
    data_dir: str | None,
    download: bool,
    verbose: int | None,
    stop_request: StopRequest,
) -> LatentVariableModel:
    splits = build.load_splits(config, data_dir, download)
    if config.deterministic_ops:
        tf.config.experimental.enable_op_determinism()
    num_steps = build.num_train_steps(config, len(splits.train))
    with distribution.scope():
        model = compiled_model(config, build.image_shape(splits), num_steps)
    sizes = {"train": len(splits.train)}
    if splits.validation is not None:
        sizes["validation"] = batches.num_in_order(config, splits.validation)
    strategy.check_shares(distribution, config, model, sizes)
    is_chief = agreement.is_chief(distribution)
    # Only now: what cannot be built must not leave a workdir that refuses the corrected config.
    checkpoints = _opened(files, config, data_dir, model, num_steps)
    step = checkpoints.restore()
    _require_same_start(distribution, splits, files, step)
    if is_chief:
        checkpoints.require_space()
        metrics_log.rewind(files.metrics_file, step)
        if step:
            print(f"resuming from step {step} of {num_steps}")
    if not is_chief:
        verbose = 0
    elif verbose is None:
        verbose = 1 if sys.stdout.isatty() else 2
    fit(config, model, splits, checkpoints, files, num_steps, verbose, stop_request)
    finish(config, model, splits, checkpoints, files)
    return model


def _opened(
    files: Workdir, config: Config, data_dir: str | None, model: LatentVariableModel, num_steps: int
) -> Checkpoints:
    """The state kept in the workdir; the chief makes the folder and mends what a kill left."""
    distribution = model.distribute_strategy
    if agreement.is_chief(distribution):
        _require_steps_left(files, num_steps)
        files.prepare(config, data_dir)
    else:
        agreement.wait_for_all(distribution)
        _look_for(files.config_file)
    # Not in the scope: the counters of the state are the process's, not one for each replica.
    checkpoints = Checkpoints(files.checkpoints, model, config.keep_checkpoints)
    if checkpoints.writes:
        agreement.wait_for_all(distribution)
    return checkpoints


def _look_for(path: str) -> None:
    """Waits until a file that the chief has written is seen, or for what a file system may take."""
    deadline = time.monotonic() + FILE_SYSTEM_SECONDS
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.2)


def _require_same_start(
    distribution: tf.distribute.Strategy,
    splits: data.Splits | data.VideoSplits,
    files: Workdir,
    step: int,
) -> None:
    """Checks that all workers have the same images and workdir, and read the same checkpoint.

    Raises:
      ClusterError: If not.
    """
    images = {
        f"their {name} images (checksums)": agreement.fingerprint(batches.to_compare(images))
        for name, images in splits._asdict().items()
        if images is not None and num_workers(distribution) > 1
    }
    agreement.require_equal(distribution, images, "Give all the same data, and the same --data_dir")
    agreement.require_equal(
        distribution,
        {
            # The chief has just written it.
            "whether their workdir holds config.json": int(os.path.isfile(files.config_file)),
            "the step that they resume from": step,
        },
        "--workdir must be one folder that all workers share",
    )


def _require_steps_left(files: Workdir, num_steps: int) -> None:
    """Refuses a training shorter than what the workdir holds.

    Raises:
      WorkdirError: If there is a checkpoint past the last step.
    """
    step = listed_step(files.checkpoints)
    if step is not None and step > num_steps:
        raise WorkdirError(
            f"the workdir {files.path!r} holds a run of {step} steps, and this training "
            f"would end at step {num_steps}. Take another --workdir, or train on"
        )


def fit(
    config: Config,
    model: LatentVariableModel,
    splits: data.Splits | data.VideoSplits,
    checkpoints: Checkpoints,
    files: Workdir,
    num_steps: int,
    verbose: int,
    stop_request: StopRequest,
) -> None:
    """Runs the steps that are left, in one `fit` an uninterrupted stretch of equal epochs.

    Args:
      config: The configuration.
      model: Compiled model, restored.
      splits: The data.
      checkpoints: The state, restored.
      files: The workdir.
      num_steps: Steps of the whole training.
      verbose: Keras's.
      stop_request: Notes the signals.

    Raises:
      NonFiniteError: If a loss is not finite.
      Preempted: When asked to stop.
    """
    steps, distribution = (
        build.steps_per_epoch(config, len(splits.train)),
        model.distribute_strategy,
    )
    validation = None
    if splits.validation is not None:
        validation = batches.validation(distribution, config, splits.validation)
    callbacks = _callbacks(config, model, splits, checkpoints, files, stop_request)
    best = next((c for c in callbacks if isinstance(c, callbacks_lib.BestEpoch)), None)
    step, stop_request.in_steps = int(checkpoints.step), True
    while step < num_steps and not (best and best.exhausted):
        epoch, done = divmod(step, steps)
        whole = (num_steps - step) // steps if done == 0 else 0
        length = steps if whole else min(steps - done, num_steps - step)
        # The last call of an epoch that is no multiple of them must stop at its end.
        cut = length % config.steps_per_execution != 0
        last_epoch = epoch + (1 if cut else max(whole, 1))
        for callback in callbacks:
            callback.first_step, callback.steps_per_epoch = step, steps
            callback.last_step = num_steps
        try:
            model.fit(
                batches.training(distribution, config, splits.train, step, length if cut else None),
                initial_epoch=epoch,
                epochs=last_epoch,
                steps_per_epoch=length,
                shuffle=False,
                validation_data=validation,
                callbacks=callbacks,
                verbose=verbose,
            )
        except tf.errors.InvalidArgumentError as error:
            raise _explained(error, config, callbacks[-1], checkpoints) from error
        step = int(checkpoints.step)
    stop_request.in_steps = False


def _callbacks(
    config: Config,
    model: LatentVariableModel,
    splits: data.Splits | data.VideoSplits,
    checkpoints: Checkpoints,
    files: Workdir,
    stop_request: StopRequest,
) -> list[keras.callbacks.Callback]:
    """The callbacks of `fit`, in the order in which they act."""
    summaries = files.tensorboard if config.tensorboard and checkpoints.writes else None
    if summaries is not None and not metrics_log.has_tensorboard():
        print(
            "TensorBoard is not installed: no event files (pip install tf-sigma-vae[tensorboard])"
        )
        summaries = None
    callbacks = []
    if config.ema_momentum > 0:
        callbacks.append(
            callbacks_lib.AverageInValidation(optimizer.innermost(model.optimizer).swap_average)
        )
    callbacks.append(
        metrics_log.MetricsLog(files.metrics_file, checkpoints, config.log_every_steps, summaries)
    )
    if summaries is not None:
        shown = splits.test if splits.validation is None else splits.validation
        shown = batches.first(config, shown, callbacks_lib.PICTURES)
        callbacks.append(callbacks_lib.Pictures(summaries, shown, config.seed))
    if splits.validation is not None:
        callbacks.append(
            callbacks_lib.BestEpoch(
                checkpoints, config.early_stopping_patience, config.select == "best"
            )
        )
    callbacks.append(
        callbacks_lib.WriteCheckpoints(checkpoints, config.checkpoint_every_steps, stop_request)
    )
    return callbacks


def _explained(
    error: tf.errors.InvalidArgumentError,
    config: Config,
    counter: StepCounter,
    checkpoints: Checkpoints,
) -> Exception:
    """The failed check of a step, said with the step and the term that broke."""
    message = str(error)
    # Not the optimizer's count: its update may or may not have run beside the failed check.
    first = counter.step + 1
    last = min(counter.step + config.steps_per_execution, counter.end)
    step = f"step {first}" if last <= first else f"one of the steps {first} to {last}"
    if message.startswith("non-finite"):
        # "non-finite loss : Tensor had NaN values"
        what = message.split(" : ")[0]
        return NonFiniteError(
            f"training stopped at {step}: {what}. {checkpoints.last_good}. "
            "Try a lower learning_rate, clip_norm, skip_norm, or a longer warm-up"
        )
    return error
