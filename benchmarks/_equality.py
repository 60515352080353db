"""Trains on one device and on several replicas, and measures by how much the results differ.

Run as a module it prints the differences of cases as JSON: `python -m benchmarks._equality 3
gaussian_optimal ...`. The number of logical devices is fixed when TensorFlow starts, and a process
holds one MirroredStrategy only: hence a process for each number of replicas.
"""

import atexit
import functools
import json
import os
import re
import shutil
import sys
import tempfile
from typing import Any, NamedTuple
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from tf_sigma_vae import build, plugins, training
from tf_sigma_vae.config import Config
from tf_sigma_vae.training import batches, optimizer, strategy

GLOBAL_BATCH_SIZE = 12
EPOCHS = 2
# Of the last batch of an epoch two and three replicas get unequal shares, four do too.
LAST_BATCH_SIZE = 7
NUM_TRAIN = 2 * GLOBAL_BATCH_SIZE + LAST_BATCH_SIZE
DATA: dict[str, Any] = {"num_train": NUM_TRAIN, "num_test": 4, "image_size": [4, 5], "channels": 3}
OPTION_VARIANTS = {
    "gaussian_optimal/soft_clip": ("gaussian_optimal", {"bound": "soft_clip"}),
    "gaussian_inverse_gamma/trained": ("gaussian_inverse_gamma", {"estimation": "trained"}),
    "gaussian_shared/data": ("gaussian_shared", {"initial_scale": "data"}),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "clip_norm": {"clip_norm": 0.5},
    "ema": {"ema_momentum": 0.9},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "bfloat16": {"precision": "mixed_bfloat16"},
    "accumulation": {"gradient_accumulation_steps": 3},
    "free_bits": {"free_bits": 0.3},
    "dequantize+flip": {"dequantize": True, "flip": True},
    # All replicas but one get no example of it.
    "last batch of 1": {"dataset_options": {**DATA, "num_train": 2 * GLOBAL_BATCH_SIZE + 1}},
    "steps_per_execution": {"steps_per_execution": 3},
    "all": {
        "clip_norm": 0.5,
        "ema_momentum": 0.9,
        "gradient_accumulation_steps": 3,
        "free_bits": 0.3,
        "dequantize": True,
        "flip": True,
    },
}
"""What `gaussian_optimal` is trained with, by the name of the case behind its colon."""
CLIPS: dict[str, Any] = {
    "dataset": "video_npz",
    "train_frames": 4,
    "eval_frames": 4,
    "model": "sequence_vae",
    "model_options": {"context_frames": 2, "feature_size": 8, "lstm_units": 6},
    "network": "dcgan64",
    "network_options": {"width": 4},
    # Of ten times as many numbers as the images.
    "learning_rate": 5e-4,
}
CLIP_SETTINGS: dict[str, dict[str, Any]] = {
    "prior fixed": {"model_options": {**CLIPS["model_options"], "prior": "fixed"}},
    "scale over frames": {
        "likelihood": "gaussian_optimal_per_image",
        "model_options": {**CLIPS["model_options"], "scale_over": "frame"},
    },
    "accumulation": {"gradient_accumulation_steps": 3},
    "free_bits": {"free_bits": 0.3},
    "flip": {"flip": True},
    "clip_norm": {"clip_norm": 0.5},
}
"""As `SETTINGS`, of clips."""


class Differences(NamedTuple):
    """Largest relative difference of anything of a kind, in any step.

    Of each tensor `max |a - b| / max |a|` over its elements and all steps, a of one device: over
    the steps, since a gradient is rounding alone where a parameter starts at its optimum. Then
    the largest over the tensors.
    """

    loss: float
    """Of the objective, nats."""
    gradients: float
    """Of the gradient that the optimizer takes, summed over the replicas and clipped."""
    weights: float
    """Of the trainable weights and all variables of the optimizer."""
    stored: float
    """Of the weights that are not trained, the stored scale and its counters; 0 for none."""
    metrics: float
    """Of all other metrics."""
    replicas: float
    """Between the weights that the replicas hold; 0 if they are the same bit for bit."""


def variants() -> dict[str, dict]:
    """Changes of the configuration by case: every likelihood, and its options that matter here."""
    cases: dict[str, dict] = {name: {"likelihood": name} for name in plugins.names("likelihoods")}
    for case, (name, options) in OPTION_VARIANTS.items():
        cases[case] = {"likelihood": name, "likelihood_options": options}
    return cases


def settings() -> dict[str, dict]:
    """Changes of the configuration by case: `gaussian_optimal` with all that could break it."""
    name = "gaussian_optimal"
    return {f"{name}: {key}": {"likelihood": name, **new} for key, new in SETTINGS.items()}


def hierarchies() -> dict[str, dict]:
    """Changes of the configuration by case: every likelihood on two levels of latents."""
    levels: dict[str, Any] = {
        "model": "hierarchical_vae",
        "network": "ladder32",
        "network_options": {
            "channels": 4,
            "latents": [[4, 1], [1, 1]],
            "latent_channels": 2,
            "num_blocks": 1,
        },
    }
    names = plugins.names("likelihoods")
    return {f"{name} in levels": {"likelihood": name, **levels} for name in names}


def sequences() -> dict[str, dict]:
    """Changes of the configuration by case: every likelihood on clips, and what else they have."""
    cases = {name: {"likelihood": name, **CLIPS} for name in plugins.names("likelihoods")}
    for setting, new in CLIP_SETTINGS.items():
        cases[f"gaussian_optimal: {setting}"] = {"likelihood": "gaussian_optimal", **CLIPS, **new}
    return {f"clips, {name}": changes for name, changes in cases.items()}


def smooth_videos(num_videos: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Waves that wander, uint8 `[N, T, H, W, C]` of `shape` `(T, H, W, C)`."""
    rng = np.random.default_rng(seed)
    places = np.indices(shape).reshape(4, 1, *shape)
    speeds = rng.uniform(-0.5, 0.5, (4, num_videos, 1, 1, 1, 1))
    phases = rng.uniform(0, 2 * np.pi, (num_videos, 1, 1, 1, 1))
    waves = np.sin(np.sum(speeds * places, axis=0) + phases)
    return (127.5 + 120 * waves).astype(np.uint8)


@functools.cache
def archive() -> str:
    """A file of as many videos as there are images elsewhere, there until the process ends."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = os.path.join(folder, "videos.npz")
    shape = (6, 16, 16, 1)
    train = smooth_videos(NUM_TRAIN, shape, seed=0)
    np.savez(path, train=train, test=smooth_videos(DATA["num_test"], shape, seed=0))
    return path


def config_of(changes: dict) -> Config:
    """A run of a few steps on tiny images or videos.

    Args:
      changes: Fields of the configuration.
    """
    values = {
        "dataset": "synthetic",
        "dataset_options": DATA,
        "validation_fraction": 0.0,
        "network": "dense",
        "network_options": {"hidden_sizes": [8]},
        "latent_size": 2,
        "global_batch_size": GLOBAL_BATCH_SIZE,
        "num_epochs": EPOCHS,
        "learning_rate": 1e-2,
        "optimizer": "sgd",
        **changes,
    }
    if values["dataset"] == "video_npz":
        values["dataset_options"] = {"path": archive()}
    return Config(**values)


def _recording(cls: type) -> type:
    """An optimizer that keeps the gradients of its last step, as it takes them."""

    class Recording(cls):
        def build(self, variables):
            if not self.built:
                self.taken = [self.add_variable_from_reference(v, "gradient") for v in variables]
            super().build(variables)

        def update_step(self, gradient, variable, learning_rate):
            self.assign(self.taken[self._get_variable_index(variable)], gradient)
            super().update_step(gradient, variable, learning_rate)

    return Recording


class Recorder(keras.callbacks.Callback):
    """Notes after each step all that two equal runs have in common.

    Attributes:
      steps: By step, a dictionary of arrays for each field of `Differences` but the last.
      replicas: See `Differences`.
    """

    def __init__(self):
        super().__init__()
        self.steps, self.replicas = [], 0.0

    def on_train_batch_end(self, batch, logs=None):
        """Reads the step that is done."""
        # Not the logs: Keras averages those of the replicas, whatever they hold.
        metrics = {k: np.array(v) for k, v in self.model.get_metrics_result().items()}
        taken = self.model.optimizer.taken
        slots = [v for v in self.model.optimizer.variables if not any(v is one for one in taken)]
        self.steps.append(
            {
                "loss": {"loss": metrics.pop("loss")},
                "gradients": _arrays(taken),
                "weights": _arrays(self.model.trainable_variables + slots),
                "stored": _arrays(self.model.non_trainable_variables),
                "metrics": metrics,
            }
        )
        local = self.model.distribute_strategy.experimental_local_results
        for variable in self.model.weights:
            first, *others = ([copy.numpy()] for copy in local(variable.value))
            found = [_relative_difference(first, other) for other in others]
            self.replicas = float(np.max([self.replicas, *found]))


def _arrays(variables) -> dict[str, np.ndarray]:
    # By their number: paths differ where two models of a process have layers of one name, and so do
    # the names that Keras gives to layers without one, by a count of them.
    read, names = keras.ops.convert_to_numpy, [re.sub(r"_\d+", "", v.name) for v in variables]
    return {f"{i} {n}": np.array(read(variables[i]), np.float64) for i, n in enumerate(names)}


def _relative_difference(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    """`max |a - b| / max |a|` of the values of a tensor in all steps."""
    first, second = np.stack(one), np.stack(other)
    difference = np.max(np.abs(first - second), initial=0.0)
    # NaN, which is no 0, stays.
    return 0.0 if difference == 0 else float(difference / np.max(np.abs(first)))


def train(changes: dict, distribution: tf.distribute.Strategy) -> Recorder:
    """Trains a few steps by the package's own pipeline, and returns what they came to.

    Args:
      changes: Fields of the configuration.
      distribution: The strategy.
    """
    config = config_of(changes)
    strategy.check(distribution, config)
    splits = build.load_splits(config)
    num_steps = build.num_train_steps(config, len(splits.train))
    recording = {name: _recording(cls) for name, cls in optimizer.CLASSES.items()}
    recorder = Recorder()
    with mock.patch.dict(optimizer.CLASSES, recording), distribution.scope():
        model = training.compiled_model(config, build.image_shape(splits), num_steps)
    model.fit(
        batches.training(distribution, config, splits.train, start_step=0),
        steps_per_epoch=build.steps_per_epoch(config, len(splits.train)),
        epochs=config.num_epochs,
        shuffle=False,
        callbacks=[recorder],
        verbose=0,
    )
    return recorder


def differences(one: Recorder, several: Recorder) -> Differences:
    """By how much the steps of two runs differ.

    Raises:
      ValueError: If they have not the same steps and tensors.
    """
    held = [[{k: list(v) for k, v in step.items()} for step in r.steps] for r in (one, several)]
    if held[0] != held[1]:
        raise ValueError(f"the runs differ in what they hold: {held}")
    found = {}
    for kind, tensors in one.steps[0].items():
        each = [0.0]
        for name in tensors:
            values = [[step[kind][name] for step in run.steps] for run in (one, several)]
            each.append(_relative_difference(*values))
        found[kind] = float(np.max(each))
    return Differences(**found, replicas=several.replicas)


def logical_devices(number: int) -> tf.distribute.Strategy:
    """Splits this machine's CPU, before TensorFlow starts, and returns the strategy over the parts.

    Args:
      number: Of the devices, which are the replicas.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * number
    tf.config.set_visible_devices([], "GPU")
    tf.config.set_logical_device_configuration(cpu, parts)
    mirrored = strategy.build("mirrored")
    if mirrored.num_replicas_in_sync != number:
        raise RuntimeError(f"{mirrored.num_replicas_in_sync} replicas, not {number}")
    return mirrored


def measure(names: list[str], mirrored: tf.distribute.Strategy) -> dict[str, Differences]:
    """The differences of cases between one device and a strategy, by case.

    Args:
      names: Of `variants`, `settings`, `hierarchies` and `sequences`.
      mirrored: The strategy.
    """
    cases, found = {**variants(), **settings(), **hierarchies(), **sequences()}, {}
    for name in names:
        # In one go: the parts of the replicas are to give what the whole batch does.
        whole = {**cases[name], "gradient_accumulation_steps": 1}
        one = train(whole, tf.distribute.get_strategy())
        found[name] = differences(one, train(cases[name], mirrored))
    return found


def main():
    """Measures the cases that the command line names, and prints them."""
    number, names = int(sys.argv[1]), sys.argv[2:]
    found = measure(names, logical_devices(number))
    print(json.dumps({name: one._asdict() for name, one in found.items()}))


if __name__ == "__main__":
    main()
