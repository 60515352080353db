"""The step that a callback of `fit` is at, over the several `fit` calls of a run."""

from collections.abc import Mapping
from typing import Any

import keras


class StepCounter(keras.callbacks.Callback):
    """Callback that knows the step of the whole run; the base of those that act by the step.

    Keras counts the batches of one epoch of one `fit`, from 0 also where an interrupted epoch goes
    on, and rounds the last one up to whole calls of `steps_per_execution`.

    Attributes:
      first_step: Step at which the current `fit` starts; set by the loop.
      last_step: Step at which the training ends; set by the loop.
      steps_per_epoch: Set by the loop.
      start: Step at which the current epoch starts, or goes on.
      end: Step at which the current epoch ends.
      step: Steps done.
    """

    first_step = last_step = steps_per_epoch = 0
    start = end = step = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts counting."""
        self.start = max(self.first_step, epoch * self.steps_per_epoch)
        self.end = min((epoch + 1) * self.steps_per_epoch, self.last_step)
        self.step = self.start

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Counts."""
        self.step = min(self.start + batch + 1, self.end)

    @property
    def goes_on(self) -> bool:
        """Whether the current epoch was interrupted and is now gone on with."""
        return self.start % self.steps_per_epoch != 0

    def is_due(self, every_steps: int, last: int) -> bool:
        """Whether a multiple of `every_steps` was passed since the step `last`."""
        return self.step // every_steps > last // every_steps
