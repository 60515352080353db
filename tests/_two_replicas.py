"""Trains on one device and on two replicas: `python -m tests._two_replicas FOLDER`.

The number of logical devices is fixed when TensorFlow starts, and a process takes one
MirroredStrategy. Prints the results as JSON.
"""

import json
import pathlib
import sys

import keras
import pytest
import tensorflow as tf

from tests.training._runs import (
    Killed,
    Restarts,
    differences,
    killed,
    metric_lines,
    tiny_config,
    train,
)
from tf_sigma_vae.training import strategy
from tf_sigma_vae.training.callbacks import WriteCheckpoints

NUM_REPLICAS = 2
OPTIONS = {"image_size": 4, "num_test": 4}
CASES = {
    # 33 training images in batches of 8: of the last one, with 1, a replica gets none.
    "gaussian_optimal": {
        "likelihood": "gaussian_optimal",
        "dataset_options": {"num_train": 41, **OPTIONS},
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "clip_norm": 0.5,
        "ema_momentum": 0.5,
        "deterministic_ops": True,
    },
    # 37: the last one, with 5, is split into 3 and 2.
    "gaussian_shared": {
        "likelihood": "gaussian_shared",
        "likelihood_options": {"initial_scale": "data"},
        "dataset_options": {"num_train": 37, **OPTIONS},
        "validation_fraction": 0.0,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "free_bits": 0.3,
        # Two updates are skipped, the gradients after them clipped: all have norms of 13 and more.
        "skip_norm": 4.0,
        "max_skips": 2,
        "ema_momentum": 0.5,
    },
}


def result(model, folder):
    """Weights by name, as lists, and the lines of the metrics."""
    weights = {v.path: keras.ops.convert_to_numpy(v).tolist() for v in model.weights}
    return {"weights": weights, "lines": metric_lines(folder)}


def main(folder: pathlib.Path) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * NUM_REPLICAS
    tf.config.set_logical_device_configuration(cpu, logical)
    # One strategy for the process: two would clash.
    mirrored = strategy.build("mirrored")
    strategy.build = {"mirrored": mirrored, "one_device": tf.distribute.get_strategy()}.get
    results = {"num_replicas": mirrored.num_replicas_in_sync}
    for name, changes in CASES.items():
        config = tiny_config(**{"validation_fraction": 0.2, **changes})
        for kind in ("one_device", "mirrored"):
            with pytest.MonkeyPatch.context() as patch:
                Restarts().install(patch)
                workdir = folder / name / kind
                model = train(config, workdir, strategy_name=kind)
                results[f"{name}/{kind}"] = result(model, workdir)
                if (name, kind) != ("gaussian_optimal", "mirrored"):
                    continue
                moment = (WriteCheckpoints, "on_train_batch_end", "before", 7)
                try:
                    with killed(patch, *moment):
                        train(config, folder / "killed", strategy_name=kind)
                except Killed:
                    train(config, folder / "killed", strategy_name=kind)
                results["killed"] = differences(workdir, folder / "killed")
                results["killed_lines"] = metric_lines(folder / "killed")
    print(json.dumps(results))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
