"""Tiny runs, and kills and restarts of them at chosen moments."""

import contextlib
import functools
import io
import json
import pathlib
import zipfile

import h5py
import numpy as np
import tensorflow as tf

from tf_sigma_vae import training
from tf_sigma_vae.config import Config
from tf_sigma_vae.training import loop

NUM_TRAIN = 60
STEPS_PER_EPOCH = 7
"""Of `tiny_config`: 54 training images (6 are held out) in batches of 8, the last one partial."""


def tiny_config(**changes):
    """A run of two epochs on 4x4 images whose lines and checkpoints fall on different steps."""
    options = {"num_train": NUM_TRAIN, "num_test": 8, "image_size": 4}
    values = {
        "dataset": "synthetic",
        "dataset_options": options,
        "network": "dense",
        "network_options": {"hidden_sizes": [8]},
        "latent_size": 2,
        "global_batch_size": 8,
        "num_epochs": 2,
        "log_every_steps": 2,
        "checkpoint_every_steps": 3,
        "tensorboard": False,
    }
    return Config(**{**values, **changes})


def train(config, workdir, **kwargs):
    """`training.train` without its progress bar."""
    return training.train(config, str(workdir), verbose=0, **kwargs)


class Killed(BaseException):
    """What stands for a SIGKILL within the process: nothing in the package catches it."""


class Restarts:
    """Starts the run of one configuration again and again, without compiling it each time.

    Every variable is put back to its value in a newly built model, as a new process finds it, so
    that only what the checkpoint holds can come from the previous start.
    """

    def __init__(self, eager=False):
        """Steps of an `eager` one are not traced, which takes longer than a few large steps."""
        self._model, self._initial, self._eager = None, None, eager

    def install(self, monkeypatch):
        """Makes `training.train` take the model from here; returns self."""
        build = loop.compiled_model
        monkeypatch.setattr(
            loop, "compiled_model", lambda *arguments: self._compiled_model(build, *arguments)
        )
        return self

    def _compiled_model(self, build, *arguments):
        if self._model is None:
            self._model = build(*arguments)
            self._model.run_eagerly = self._eager
            self._initial = [v.numpy() for v in self._variables()]
        for variable, value in zip(self._variables(), self._initial, strict=True):
            variable.assign(value)
        return self._model

    def has_changed_every_network_weight(self):
        """Whether no trainable weight is as it was in the new model."""
        start = dict(zip([v.path for v in self._variables()], self._initial, strict=True))
        return all((v.numpy() != start[v.path]).any() for v in self._model.trainable_variables)

    def _variables(self):
        return self._model.variables + self._model.optimizer.variables


@contextlib.contextmanager
def killed(monkeypatch, owner, method, when="before", step=None):
    """Within the context, `Killed` is raised before or after a method is called.

    Args:
      monkeypatch: Pytest's fixture.
      owner: The class (or module) of the method.
      method: Its name.
      when: "before" or "after".
      step: The optimizer's step at which it is raised, for a method of a callback; None for any.
    """
    original = getattr(owner, method)

    @functools.wraps(original)
    def wrapper(self, *args, **kwargs):
        due = step is None or int(tf.convert_to_tensor(self.model.optimizer.iterations)) == step
        if due and when == "before":
            raise Killed
        result = original(self, *args, **kwargs)
        if due:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, wrapper)
        yield


def metric_lines(workdir, split=None):
    """The lines of `metrics.jsonl`, those of one split if given."""
    text = (pathlib.Path(workdir) / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if split in (None, line["split"])]


def checkpoint_arrays(workdir):
    """What the latest checkpoint of a run holds, by name."""
    path = tf.train.latest_checkpoint(str(pathlib.Path(workdir) / "checkpoints"))
    reader = tf.train.load_checkpoint(path)
    # Names of Python objects, and the number of files written: not part of the state.
    ignored = ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter")
    names = [n for n in reader.get_variable_to_shape_map() if not n.startswith(ignored)]
    return {name: np.asarray(reader.get_tensor(name)) for name in names}


def saved_weights(workdir):
    """The bytes of the arrays in `model.keras` by name: weights, optimizer, stored scale."""
    with zipfile.ZipFile(pathlib.Path(workdir) / "model.keras") as archive:
        content = archive.read("model.weights.h5")
    arrays = {}

    def read(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()].tobytes()

    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(read)
    return arrays


def differences(one, other):
    """Where the results of two runs are not equal bit for bit; empty if they are nowhere."""
    one, other = pathlib.Path(one), pathlib.Path(other)
    found = []
    if (one / "metrics.jsonl").read_bytes() != (other / "metrics.jsonl").read_bytes():
        found.append("metrics.jsonl")
    arrays, others = checkpoint_arrays(one), checkpoint_arrays(other)
    assert arrays.keys() == others.keys()
    found += [name for name in arrays if arrays[name].tobytes() != others[name].tobytes()]
    if saved_weights(one) != saved_weights(other):
        found.append("model.keras")
    return found
