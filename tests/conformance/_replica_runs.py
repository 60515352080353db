"""What several replicas change, by task: `python -m tests.conformance._replica_runs N TASK ...`.

Prints JSON. A script, because logical devices must be set before TensorFlow starts and a process
can hold one MirroredStrategy only. A task is a case of `benchmarks._equality`, or one of those
below.
"""

import json
import pathlib
import sys
import tempfile
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _equality
from tests._models import set_weights
from tf_sigma_vae import build, data, models
from tf_sigma_vae.evaluation.evaluate import evaluate_model
from tf_sigma_vae.likelihoods import _analytic_scale

WITHOUT_ALL_REDUCE = "gaussian_optimal without its all-reduce"
EVALUATION = "evaluation of "
NUM_SAMPLES = 5


def own_examples_only(value, then=None, needed=True):
    """What `replica_sum` is for nobody: the sum over the examples of one replica."""
    if then is not None:
        then(value)
    return value


def relative_difference(one, other):
    """`max |a - b| / max |a|`; NaN where one alone is NaN."""
    difference = np.max(np.abs(np.asarray(one) - np.asarray(other)))
    return 0.0 if difference == 0 else float(difference / np.max(np.abs(one)))


def evaluated(likelihood, mirrored):
    """By how much calibration and all figures of one saved model differ.

    The model is loaded in the scope of each strategy; the last batch is uneven.
    """
    config = _equality.config_of({"likelihood": likelihood})
    images = build.load_splits(config).train
    batches = data.evaluation_batches(images, global_batch_size=config.global_batch_size)
    model = set_weights(build.model(config, images.shape[1:]))
    model.calibrate(images[:2] / np.float32(255))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        file = str(pathlib.Path(folder) / "model.keras")
        # As a training leaves it: the number of its steps is part of the protocol.
        model.compile("adam")
        model.optimizer.build(model.trainable_variables)
        model.save(file)
        for distribution in (tf.distribute.get_strategy(), mirrored):
            with distribution.scope():
                loaded = models.load(file)
            provenance = loaded.calibrate(batches)
            found = evaluate_model(
                loaded, images, NUM_SAMPLES, global_batch_size=config.global_batch_size
            )
            results.append((loaded, provenance, found))
    (one, *exact), (several, *same) = results
    assert several.distribute_strategy.num_replicas_in_sync > 1
    metrics = {
        f"{name} {field}": relative_difference(
            getattr(estimate, field), getattr(same[1].metrics[name], field)
        )
        for name, estimate in exact[1].metrics.items()
        for field in ("value", "standard_error")
    }
    read = keras.ops.convert_to_numpy
    stored = {
        v.name: relative_difference(read(v), read(w))
        for v, w in zip(one.non_trainable_variables, several.non_trainable_variables, strict=True)
    }
    return {
        "metrics": metrics,
        "stored": stored,
        "same protocol": exact[0] == same[0] and exact[1].protocol == same[1].protocol,
    }


def main():
    mirrored = _equality.logical_devices(int(sys.argv[1]))
    results = {}
    for task in sys.argv[2:]:
        if task.startswith(EVALUATION):
            results[task] = evaluated(task.removeprefix(EVALUATION), mirrored)
        elif task == WITHOUT_ALL_REDUCE:
            with mock.patch.object(_analytic_scale, "replica_sum", own_examples_only):
                found = _equality.measure(["gaussian_optimal"], mirrored)
            results[task] = found["gaussian_optimal"]._asdict()
        else:
            results[task] = _equality.measure([task], mirrored)[task]._asdict()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
