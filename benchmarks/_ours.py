"""Our side of the benchmark: the training path that `sigma-vae-train` takes, and its bare step."""

import math
import time
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

import tf_sigma_vae  # noqa: F401  (registers what the model is made of)
from benchmarks import _worker
from tf_sigma_vae import training
from tf_sigma_vae.config import Config
from tf_sigma_vae.training.checkpoints import Checkpoints

# Longer than any measurement: the parent says when to stop.
ENDLESS = 10**8

# What differs between the settings; "_step" after a name asks for its bare step.
SETTINGS: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "mixed_bfloat16"},
    "jit": {"precision": "float32", "jit_compile": True},
}


def config_of(setting: str, images: str, batch_size: int, steps: int) -> Config:
    """Returns the configuration that the PyTorch peer is equal to.

    A line of metrics comes once in `steps` steps, so that every round of the measurement pays for
    one: more often than by default, hence an upper bound of its cost. Checkpoints keep their
    default cadence, longer than the rounds; `Gate` times them by themselves.
    """
    if setting not in SETTINGS:
        raise ValueError(f"unknown setting {setting!r}; known: {sorted(SETTINGS)}")
    return Config(
        dataset="npz",
        dataset_options={"path": images},
        validation_fraction=0.0,
        network="conv28",
        latent_size=20,
        likelihood="gaussian_optimal",
        global_batch_size=batch_size,
        num_train_steps=ENDLESS,
        learning_rate=1e-3,
        log_every_steps=steps,
        **SETTINGS[setting],
    )


def checkpoint_seconds(model, folder: str) -> float:
    """Returns how long the second checkpoint of a model takes; the first builds what it needs."""
    checkpoints = Checkpoints(folder, model, keep=1)
    checkpoints.save(0)
    start = time.perf_counter()
    checkpoints.save(1)
    return time.perf_counter() - start


class Gate(keras.callbacks.Callback):
    """Lets training pass only as many steps as the parent orders, and reports their time.

    Training is one uninterrupted `fit`: between two orders it waits at the end of a step. The
    input pipeline fills its few prefetched batches meanwhile, as it also does during a step.
    """

    def __init__(self, **facts):
        super().__init__()
        self._facts = facts
        self._remaining = _worker.WARMUP_UNITS
        self._stopwatch = None

    def on_train_batch_end(self, batch, logs=None):
        """Counts a step; at the end of an order, reports and waits for the next."""
        self._remaining -= 1
        if self._remaining > 0:
            return
        # Reading a value waits for the step where a device runs ahead of Python.
        self.model.optimizer.iterations.numpy()
        if self._stopwatch is None:
            parameters = sum(math.prod(v.shape) for v in self.model.trainable_variables)
            _worker.report_ready(parameters=parameters, **self._facts)
        else:
            self._stopwatch.report()
        self._remaining = _worker.next_order()
        if self._remaining == 0:
            raise SystemExit(0)
        self._stopwatch = _worker.Stopwatch()


def serve_training(config: Config, workdir: str):
    """Runs `training.train` as it is, with the gate as one more callback."""
    original = keras.Model.fit

    def gated_fit(model, *args, callbacks=(), **kwargs):
        gate = Gate(
            checkpoint_seconds=checkpoint_seconds(model, f"{workdir}/timed"),
            checkpoint_every_steps=config.checkpoint_every_steps,
        )
        return original(model, *args, callbacks=[*callbacks, gate], **kwargs)

    with mock.patch.object(keras.Model, "fit", gated_fit):
        # With the progress bar, as on a terminal.
        training.train(config, workdir, strategy_name="one_device", verbose=1)


def serve_step(config: Config, images: np.ndarray):
    """Runs the same compiled step on one batch in memory, without our callbacks."""
    model = training.compiled_model(config, images.shape[1:], ENDLESS)
    batch = images[: config.global_batch_size].astype(np.float32) / 255.0
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    options = {"steps_per_epoch": ENDLESS, "verbose": 0, "shuffle": False}
    model.fit(dataset, callbacks=[Gate()], **options)


def serve(setting: str, args):
    """Obeys the parent, training as the setting says."""
    name, _, part = setting.partition("_")
    config = config_of(name, args.images, args.batch_size, args.steps)
    if part == "step":
        serve_step(config, np.load(args.images)["train"])
    else:
        serve_training(config, args.workdir)
