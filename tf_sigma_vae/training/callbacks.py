"""Keras callbacks of the training loop: checkpoints, the best epoch, averages, pictures."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_sigma_vae import image_grid, video_frames
from tf_sigma_vae.training import agreement
from tf_sigma_vae.training.checkpoints import Checkpoints
from tf_sigma_vae.training.preemption import Preempted, StopRequest
from tf_sigma_vae.training.step_counter import StepCounter

PICTURES, CLIPS = 8, 4
"""Images, or clips, that are shown in TensorBoard."""


class WriteCheckpoints(StepCounter):
    """Saves the state every so many steps, at the end of an epoch, and when asked to stop.

    Comes last in the list of callbacks, so that the state holds what the others did. At the last
    step of an epoch it waits for the validation: a resumed run starts the next epoch.
    """

    def __init__(
        self, checkpoints: Checkpoints, every_steps: int, stop_request: StopRequest
    ) -> None:
        """Builds the callback.

        Args:
          checkpoints: Where to save.
          every_steps: Steps between checkpoints.
          stop_request: Notes the signals.
        """
        super().__init__()
        self.checkpoints, self.every_steps = checkpoints, every_steps
        self.stop_request = stop_request

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Puts back the running metrics of an interrupted epoch."""
        super().on_epoch_begin(epoch)
        if self.goes_on:
            self.checkpoints.restore_running_metrics()
        self._saved = self.step
        self._vote = agreement.StopVote(self.model.distribute_strategy, self.step)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Saves if due."""
        super().on_train_batch_end(batch)
        if self.step == self.end:
            # The validation overwrites them, and a longer training may go on with this epoch.
            self.checkpoints.keep_running_metrics()
            return
        if self.is_due(self.every_steps, self._saved):
            self._save()
        self._leave_if_asked()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Saves after the validation."""
        self.checkpoints.restore_running_metrics()
        self._save()
        self._leave_if_asked()

    def _save(self) -> None:
        self.checkpoints.save(self.step)
        self._saved = self.step

    def _leave_if_asked(self) -> None:
        if not self._is_asked():
            return
        if self._saved != self.step:
            self._save()
        # Who has nothing to write must not leave, and be missed, before the chief is done.
        agreement.wait_for_all(self.model.distribute_strategy)
        by = self.stop_request.signal_name or "a signal to another worker"
        raise Preempted(
            f"stopped by {by} at step {self.step}; the checkpoint is written, and the same command "
            "resumes from there"
        )

    def _is_asked(self) -> bool:
        """Whether to stop at this step: the same in all workers."""
        asked = self.stop_request.signal_name is not None
        return self._vote(self.step, asked, last=self.step == self.end)


class BestEpoch(StepCounter):
    """Keeps the weights of the epoch with the best val_elbo, and stops when none gets better."""

    def __init__(self, checkpoints: Checkpoints, patience: int, keep_best: bool) -> None:
        """Builds the callback.

        Args:
          checkpoints: Holds the best value and the epochs since.
          patience: Epochs without a better one before stopping; 0 for never.
          keep_best: Whether to write the best weights.
        """
        super().__init__()
        self.checkpoints, self.patience, self.keep_best = checkpoints, patience, keep_best

    @property
    def exhausted(self) -> bool:
        """Whether the patience is used up."""
        return 0 < self.patience <= int(self.checkpoints.epochs_since_best)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Compares, saves the best, and stops when the patience is used up."""
        elbo = float(logs["val_elbo"])
        if elbo > float(self.checkpoints.best_elbo):
            self.checkpoints.best_elbo.assign(elbo)
            self.checkpoints.epochs_since_best.assign(0)
            if self.keep_best:
                self.checkpoints.save_best(self.step)
        else:
            self.checkpoints.epochs_since_best.assign_add(1)
        if self.exhausted:
            print(f"\nno better val_elbo for {self.patience} epochs: stopping early")
            self.model.stop_training = True


class AverageInValidation(keras.callbacks.Callback):
    """Validates with the moving average of the weights, as the final model will have them."""

    def __init__(self, swap: Callable[[], None]) -> None:
        """Builds the callback.

        Args:
          swap: Function that exchanges the weights with their averages.
        """
        super().__init__()
        self.swap = swap

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Puts the averages in place."""
        self.swap()

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Puts the weights back."""
        self.swap()


class Pictures(keras.callbacks.Callback):
    """Reconstructions and prior samples in TensorBoard after every epoch.

    Of videos there is one picture, `rollouts`: three rows a clip, which are the true frames after
    the context, their one-step reconstructions and the mean rollout.
    """

    def __init__(self, summary_folder: str, images: np.ndarray, seed: int) -> None:
        """Builds the callback.

        Args:
          summary_folder: Folder of the event files.
          images: uint8 `[N, H, W, C]`, or clips `[N, T, H, W, C]`, the first of which are shown.
          seed: Of the prior samples, so that epochs can be compared.
        """
        super().__init__()
        self.writer = tf.summary.create_file_writer(summary_folder)
        self.images = images[: CLIPS if images.ndim == 5 else PICTURES]
        self.seed = seed

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes the grids."""
        if self.images.ndim == 5:
            grids = {"rollouts": video_frames.strip(self.model, self.images)}
        else:
            grids = {
                "reconstructions": image_grid.reconstruction_grid(self.model, self.images),
                "prior_mean": image_grid.prior_grid(self.model, PICTURES**2, self.seed),
            }
        with self.writer.as_default(step=epoch + 1):
            for name, grid in grids.items():
                tf.summary.image(name, grid[None])
        self.writer.flush()
