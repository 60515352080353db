"""Checkpoints of the whole training state, so that a killed run resumes bit for bit.

The state is every variable that the next step reads: weights, the stored scale, optimizer slots,
moving averages, the running metrics and the callbacks' counters. The data order and the noise need
none: they are pure functions of (seed, step).
"""

import os
import shutil

import numpy as np
import tensorflow as tf

from tf_sigma_vae.workdir import write_atomically

# Keys of the list of checkpoints, a text-format protocol buffer of TensorFlow.
_LISTED = ("model_checkpoint_path", "all_model_checkpoint_paths")


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written or read; the message says which, and what is left."""


class NonFiniteError(RuntimeError):
    """Training met a value that is not finite; the message names the step and the tensor."""


def listed_step(folder: str) -> int | None:
    """Step of the latest checkpoint listed in a folder, without reading it; None if there is none.

    A corrupt list counts as none here; `Checkpoints` refuses it.
    """
    try:
        state = tf.train.get_checkpoint_state(folder)
    except ValueError:
        return None
    step = "" if state is None else state.model_checkpoint_path.rpartition("-")[2]
    return int(step) if step.isdecimal() else None


class Checkpoints:
    """Reads and writes the training state under `workdir/checkpoints`.

    Attributes:
      step: Batches consumed so far, a variable of the state.
      best_elbo: Best val_elbo so far, a variable of the state.
      epochs_since_best: Epochs without a better one, a variable of the state.
      window_start: Totals of the metrics where the current line of metrics.jsonl began.
    """

    def __init__(self, folder: str, model, keep: int):
        """Collects the variables of the state.

        Args:
          folder: Where checkpoints are written.
          model: Compiled model whose optimizer is built.
          keep: Number of checkpoints to keep.

        Raises:
          CheckpointError: If there are checkpoints whose list is corrupt.
        """
        self.folder, self.keep = folder, keep
        metric_variables = [v.value for metric in model.metrics for v in metric.variables]
        self.step = tf.Variable(0, dtype=tf.int64, name="step")
        self.best_elbo = tf.Variable(-np.inf, dtype=tf.float64, name="best_elbo")
        self.epochs_since_best = tf.Variable(0, dtype=tf.int64, name="epochs_since_best")
        self.window_start = tf.Variable(tf.zeros([len(metric_variables)], tf.float64))
        self.metric_variables = metric_variables
        weights = [v.value for v in model.variables]
        optimizer = [v.value for v in model.optimizer.variables]
        counters = [self.step, self.best_elbo, self.epochs_since_best, self.window_start]
        self._weights, self._optimizer = weights, optimizer
        state = tf.train.Checkpoint(
            weights=weights, optimizer=optimizer, metrics=metric_variables, counters=counters
        )
        self._require_index()
        self._state = tf.train.CheckpointManager(state, folder, keep, checkpoint_name="step")
        best = tf.train.Checkpoint(weights=weights, optimizer=optimizer)
        best_folder = os.path.join(folder, "best")
        self._best = tf.train.CheckpointManager(best, best_folder, 1, checkpoint_name="step")
        self.running_metrics: list[np.ndarray] | None = None

    def require_space(self) -> None:
        """Checks that the disk holds the checkpoints to come.

        Raises:
          CheckpointError: If it does not.
        """
        variables = self._weights + self._optimizer
        size = sum(int(np.prod(v.shape)) * v.dtype.size for v in variables)
        # Those kept, the one being written, the best and its successor.
        needed = size * (self.keep + 3)
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise CheckpointError(
                f"{self.folder!r} has {free / 2**20:.0f} MiB free, but the checkpoints of this "
                f"model need {needed / 2**20:.0f} MiB"
            )

    def restore(self) -> int:
        """Restores the latest state, if there is one.

        Returns:
          The step to go on from; 0 for a new run.

        Raises:
          CheckpointError: If the latest checkpoint cannot be read.
        """
        latest = self._state.latest_checkpoint
        if latest is None:
            return 0
        try:
            self._state.checkpoint.restore(latest).assert_consumed()
        # TensorFlow lets a torn file through as an IndexError.
        except (tf.errors.OpError, AssertionError, ValueError, LookupError, RuntimeError) as error:
            raise CheckpointError(
                f"cannot read the checkpoint {latest!r}: {error}. {self._way_back(latest)}"
            ) from error
        self.keep_running_metrics()
        return int(self.step)

    def _require_index(self) -> None:
        """Refuses to start anew over checkpoints whose list is corrupt; makes a missing one."""
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        written = [name.removesuffix(".index") for name in names if name.endswith(".index")]
        if not written:
            return
        newest = max(written, key=lambda name: int(name.rpartition("-")[2]))
        listing = os.path.join(self.folder, "checkpoint")
        if not os.path.exists(listing):
            self._list_again(newest)
            return
        try:
            corrupt = tf.train.get_checkpoint_state(self.folder) is None
        except ValueError:
            corrupt = True
        if corrupt:
            raise CheckpointError(
                f"{listing!r} is corrupt, but there are checkpoints: "
                f"{', '.join(sorted(written))}. Restore that file (one line: "
                f'model_checkpoint_path: "{newest}"), or remove the workdir to start anew'
            )

    def _list_again(self, newest: str) -> None:
        """Lists a checkpoint that a kill left unlisted, the first one, if it was complete."""
        prefix = os.path.join(self.folder, newest)
        try:
            tf.train.load_checkpoint(prefix)
        except (tf.errors.OpError, ValueError, LookupError, RuntimeError):
            # Torn, and the only one: the run starts at step 0 and comes by here again.
            return
        lines = [f'{key}: "{newest}"\n' for key in _LISTED]
        write_atomically(os.path.join(self.folder, "checkpoint"), "".join(lines))

    def _way_back(self, latest: str) -> str:
        """What to do when the latest checkpoint cannot be read."""
        others = [path for path in self._state.checkpoints if path != latest]
        if not others:
            return "There is no earlier one: remove the workdir to start anew"
        broken, good = os.path.basename(latest), os.path.basename(others[-1])
        return (
            f"Earlier ones: {others}. To go back to the last of them, replace {broken} by {good} "
            f"in {os.path.join(self.folder, 'checkpoint')!r}"
        )

    def keep_running_metrics(self) -> None:
        """Keeps the running metrics for `restore_running_metrics`."""
        self.running_metrics = [v.numpy() for v in self.metric_variables]

    def restore_running_metrics(self) -> None:
        """Puts back the running metrics of an epoch, which Keras resets."""
        if self.running_metrics is not None:
            for variable, value in zip(self.metric_variables, self.running_metrics, strict=True):
                variable.assign(value)

    def save(self, step: int) -> None:
        """Writes the state; the previous checkpoint stays intact until this one is complete.

        Raises:
          NonFiniteError: If a weight is not finite; nothing is written then.
          CheckpointError: If the disk is full or not writable.
        """
        self.step.assign(step)
        self._save(self._state, step)

    def save_best(self, step: int) -> None:
        """Writes weights and optimizer of the best epoch so far; see `save`."""
        self._save(self._best, step)

    def _save(self, manager: tf.train.CheckpointManager, step: int) -> None:
        self._require_finite(step)
        try:
            manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            raise CheckpointError(
                f"cannot write the checkpoint of step {step} in {self.folder!r}: {error}. "
                f"The last complete one is {manager.latest_checkpoint!r}"
            ) from error

    def _require_finite(self, step: int) -> None:
        for variable in self._weights:
            if variable.dtype.is_floating and not bool(
                tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(variable)))
            ):
                raise NonFiniteError(
                    f"the weight {variable.name!r} is not finite at step {step}. {self.last_good}"
                )

    @property
    def latest(self) -> str | None:
        """Path prefix of the latest complete checkpoint."""
        return self._state.latest_checkpoint

    @property
    def last_good(self) -> str:
        """Sentence that says which checkpoint a failed run can go back to."""
        if self.latest is None:
            return "No checkpoint was written yet"
        return f"The last good checkpoint is {self.latest!r}"

    def load_best(self) -> None:
        """Restores weights and optimizer of the best epoch, if one was written."""
        if self._best.latest_checkpoint is not None:
            self._best.checkpoint.restore(self._best.latest_checkpoint).assert_consumed()
