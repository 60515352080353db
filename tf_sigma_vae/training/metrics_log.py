"""`metrics.jsonl` and TensorBoard: the metrics over the steps.

A line is written every `log_every_steps` steps with the means over the examples since the previous
line, and one after every validation. Lines hold nothing that differs between two equal runs (no
clock), so that the file of a resumed run equals that of an uninterrupted one.
"""

import importlib.util
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_sigma_vae import objectives
from tf_sigma_vae.training.checkpoints import Checkpoints, NonFiniteError
from tf_sigma_vae.training.step_counter import StepCounter
from tf_sigma_vae.workdir import write_atomically


def rewind(path: str, step: int) -> None:
    """Drops the lines past a step, and a line that a kill left incomplete.

    Args:
      path: The file; nothing is done if there is none.
      step: Step that the run resumes from.
    """
    if not os.path.exists(path):
        return
    kept = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line.rstrip("\n") + "\n")
            except (ValueError, KeyError, TypeError):
                continue
    write_atomically(path, "".join(kept))


def read(path: str) -> list[dict]:
    """The lines of a `metrics.jsonl`, but for one that a kill left incomplete; none without a file.

    Args:
      path: The file.
    """
    lines = []
    try:
        with open(path, encoding="utf-8") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:
                    continue
                if isinstance(line, dict) and {"step", "split"} <= set(line):
                    lines.append(line)
    except FileNotFoundError:
        return []
    return lines


def has_tensorboard() -> bool:
    """Whether TensorBoard is installed, without which `tf.summary` writes nothing."""
    return importlib.util.find_spec("tensorboard") is not None


class MetricsLog(StepCounter):
    """Writes the training and validation metrics."""

    def __init__(
        self,
        path: str,
        checkpoints: Checkpoints,
        every_steps: int,
        summary_folder: str | None = None,
    ) -> None:
        """Builds the callback.

        Args:
          path: The JSON lines file.
          checkpoints: Holds the totals where the current window began.
          every_steps: Steps between lines.
          summary_folder: Folder for TensorBoard, or None.
        """
        super().__init__()
        self.path, self.checkpoints, self.every_steps = path, checkpoints, every_steps
        self._writer = None
        if summary_folder is not None and checkpoints.writes:
            self._writer = tf.summary.create_file_writer(summary_folder)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts a window, unless an interrupted epoch goes on."""
        super().on_epoch_begin(epoch)
        if not self.goes_on:
            self.checkpoints.window_start.assign(tf.zeros_like(self.checkpoints.window_start))
        self._last_logged = self.start

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes a line where one is due, and at the end of an epoch."""
        super().on_train_batch_end(batch)
        if self.is_due(self.every_steps, self._last_logged) or self.step == self.end:
            self._last_logged = self.step
            self._write("train", self.step, self._window_means())

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Writes the validation metrics."""
        values = {name[4:]: float(v) for name, v in logs.items() if name.startswith("val_")}
        if values:
            self._write("validation", self.step, values)

    def _window_means(self) -> dict[str, float]:
        """Means over the examples since the last call, from the differences of running totals."""
        totals = self.checkpoints.totals().astype(np.float64)
        change = totals - self.checkpoints.window_start.numpy()
        self.checkpoints.window_start.assign(totals)
        means, position = {}, 0
        for metric in self.model.metrics:
            # Every metric here is a keras.metrics.Mean: a total and a count.
            total, count = change[position : position + 2]
            position += len(metric.variables)
            if count > 0:
                means[metric.name] = total / count
        if "log_scale" in means:
            means["beta_equivalent"] = objectives.beta_equivalent(
                np.exp(means["log_scale"]), self.model.beta
            )
        return means

    def _write(self, split: str, step: int, values: dict[str, float]) -> None:
        broken = [name for name, value in values.items() if not np.isfinite(value)]
        if broken:
            raise NonFiniteError(
                f"{', '.join(sorted(broken))} not finite by step {step} ({split}). "
                f"{self.checkpoints.last_good}"
            )
        if not self.checkpoints.writes:
            return
        line = {"step": step, "split": split, **dict(sorted(values.items()))}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._writer is not None:
            with self._writer.as_default(step=step):
                for name, value in values.items():
                    tf.summary.scalar(f"{split}/{name}", value)
            self._writer.flush()
