"""Checkpoints of the whole training state, so that a killed run resumes bit for bit.

The state is every variable that the next step reads: weights, the stored scale, optimizer slots,
moving averages, the running metrics and the callbacks' counters. The data order and the noise need
none: they are pure functions of (seed, step).

All workers of a cluster read the checkpoints; the chief alone writes them. The running metrics, of
which every replica holds a part, are kept as their sums, so that the others have nothing to write.
"""

import os
import shutil

import keras
import numpy as np
import tensorflow as tf

from tf_sigma_vae.training import agreement
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
      writes: Whether this worker writes the checkpoints.
    """

    def __init__(self, folder: str, model: keras.Model, keep: int) -> None:
        """Collects the variables of the state.

        Args:
          folder: Where checkpoints are written.
          model: Compiled model whose optimizer is built.
          keep: Number of checkpoints to keep.

        Raises:
          CheckpointError: If there are checkpoints whose list is corrupt.
        """
        self.folder, self.keep = folder, keep
        self._strategy = model.distribute_strategy
        self.writes = agreement.is_chief(self._strategy)
        self._metric_variables = [v.value for metric in model.metrics for v in metric.variables]
        num_totals = len(self._metric_variables)
        self.step = tf.Variable(0, dtype=tf.int64, name="step")
        self.best_elbo = tf.Variable(-np.inf, dtype=tf.float64, name="best_elbo")
        self.epochs_since_best = tf.Variable(0, dtype=tf.int64, name="epochs_since_best")
        self.window_start = tf.Variable(tf.zeros([num_totals], tf.float64))
        self._running_totals = tf.Variable(tf.zeros([num_totals]), name="running_metrics")
        weights = [v.value for v in model.variables]
        optimizer = [v.value for v in model.optimizer.variables]
        counters = [self.step, self.best_elbo, self.epochs_since_best, self.window_start]
        self._weights, self._optimizer = weights, optimizer
        state = tf.train.Checkpoint(
            weights=weights, optimizer=optimizer, metrics=self._running_totals, counters=counters
        )
        if self.writes:
            self._require_index()
        self._state = tf.train.CheckpointManager(state, folder, keep, checkpoint_name="step")
        best = tf.train.Checkpoint(weights=weights, optimizer=optimizer)
        best_folder = os.path.join(folder, "best")
        self._best = tf.train.CheckpointManager(best, best_folder, 1, checkpoint_name="step")
        self._has_running_totals = False

    def require_space(self) -> None:
        """Checks that the disk holds the checkpoints to come.

        Raises:
          CheckpointError: If it does not.
        """
        variables = self._weights + self._optimizer
        size = sum(int(np.prod(v.shape)) * v.dtype.size for v in variables)
        # Those kept, the one being written, the best and its successor; some may be there already.
        needed = size * max(self.keep + 3 - len(self._state.checkpoints), 1)
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
        # The metrics later: setting them is done by all workers together, if they agree so far.
        self._has_running_totals = True
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
        # Without a time it would never be deleted.
        lines.append("all_model_checkpoint_timestamps: 1\n")
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

    def totals(self) -> np.ndarray:
        """Totals and counts of the metrics, float32, over all replicas."""
        return self._strategy.experimental_local_results(self._summed_totals())[0].numpy()

    @tf.function
    def _summed_totals(self) -> tf.Tensor | tf.distribute.DistributedValues:
        # Together: each alone would be a round of communication.
        def summed() -> tf.Tensor:
            own = tf.stack([tf.convert_to_tensor(v) for v in self._metric_variables])
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        return self._strategy.run(summed)

    def keep_running_metrics(self) -> None:
        """Keeps the running metrics for `restore_running_metrics`."""
        self._running_totals.assign(self.totals())
        self._has_running_totals = True

    def restore_running_metrics(self) -> None:
        """Puts back the running metrics of an epoch, which Keras resets."""
        if self._has_running_totals:
            totals = self._running_totals.numpy()
            with self._strategy.scope():
                for variable, value in zip(self._metric_variables, totals, strict=True):
                    variable.assign(value)

    def save(self, step: int) -> None:
        """Writes the state, if this worker does.

        The previous checkpoint stays intact until this one is complete.

        Raises:
          NonFiniteError: If a weight is not finite; nothing is written then.
          CheckpointError: If the disk is full or not writable.
        """
        self.step.assign(step)
        # In all workers: the sums are over their replicas.
        self.keep_running_metrics()
        if self.writes:
            self._save(self._state, step)

    def save_best(self, step: int) -> None:
        """Writes weights and optimizer of the best epoch so far; see `save`."""
        if self.writes:
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
        return tf.train.latest_checkpoint(self.folder)

    @property
    def last_good(self) -> str:
        """Sentence that says which checkpoint a failed run can go back to."""
        if self.latest is None:
            return "No checkpoint was written yet"
        return f"The last good checkpoint is {self.latest!r}"

    def load_best(self) -> None:
        """Restores weights and optimizer of the best epoch, if one was written."""
        agreement.wait_for_all(self._strategy)
        # Not the manager's list: that of a worker that does not write is as old as the worker.
        latest = tf.train.latest_checkpoint(self._best.directory)
        found = None if latest is None else listed_step(self._best.directory)
        agreement.require_equal(
            self._strategy,
            {"the best step that they find": -1 if found is None else found},
            "--workdir must be one folder that all workers share; start all again",
        )
        if latest is not None:
            self._best.checkpoint.restore(latest).assert_consumed()
