"""Trains on one device and on two replicas, and prints both as JSON.

`python -m tests.models._two_replicas CASE ...`: names of `MODELS`, maybe with " in parts" after it.
A script, because logical devices must be set before TensorFlow starts and a process can hold one
MirroredStrategy only. Plain Keras: the optimizer is gradient descent.
"""

import json
import sys

import numpy as np
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

import keras  # noqa: E402

from tests._models import IMAGE_SHAPE, images, tiny_vae  # noqa: E402
from tf_sigma_vae import likelihoods, models  # noqa: E402

GLOBAL_BATCH_SIZE = 8
NUM_PARTS = 3
MODELS = {
    # Both statistics of the batch that a step takes: the scale, and the mean rates.
    "gaussian_optimal": lambda **options: tiny_vae("gaussian_optimal", free_bits=0.6, **options),
    "gaussian_optimal_per_image": lambda **options: tiny_vae(
        "gaussian_optimal_per_image", **options
    ),
    "gaussian_shared_from_data": lambda **options: tiny_vae(
        likelihoods.GaussianShared(initial_scale="data"), **options
    ),
    "with_likelihood": lambda **options: models.WithLikelihood(
        _backbone(), "gaussian_optimal", **options
    ),
}


def _backbone():
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.5))
    return keras.Sequential([keras.Input(IMAGE_SHAPE), layer])


def _examples(num_examples):
    """Two halves of unlike difficulty, so that statistics of a half alone would show."""
    x = images(num_examples)
    x[1::2] = 0.5 + 0.02 * (x[1::2] - 0.5)
    return np.concatenate([x[::2], x[1::2]])


def _trained(case, is_replicated):
    name, _, in_parts = case.partition(" in ")
    # Parts are compared with a whole batch on one device.
    num_parts = NUM_PARTS if in_parts and is_replicated else 1
    model = MODELS[name](gradient_accumulation_steps=num_parts)
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=not is_replicated)
    # Of the last batch a replica gets no example.
    x = _examples(GLOBAL_BATCH_SIZE + 1)
    given = (x, x[::-1]) if name == "with_likelihood" else x
    dataset = tf.data.Dataset.from_tensor_slices(given).batch(GLOBAL_BATCH_SIZE)
    given = {"epochs": 2, "shuffle": False, "verbose": 0}
    if hasattr(model, "beta"):
        # Each replica must see what a callback sets.
        anneal = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: setattr(model, "beta", 2.0))
        given["callbacks"] = [anneal]
    history = model.fit(dataset, **given).history
    if in_parts:
        held_out = tf.data.Dataset.from_tensor_slices(_examples(4 + 1)).batch(4)
        evaluated = model.evaluate(held_out, verbose=0, return_dict=True)
        history |= {f"test_{key}": [value] for key, value in evaluated.items()}
    # The values of the first replica, and whether the others hold the same.
    copies = [getattr(w.value, "values", (w.value,)) for w in model.weights]
    same = all(np.array_equal(c.numpy(), copy[0].numpy()) for copy in copies for c in copy)
    return {
        "history": {key: [float(v) for v in values] for key, values in history.items()},
        "weights": {
            w.path: copy[0].numpy().tolist() for w, copy in zip(model.weights, copies, strict=True)
        },
        "replicas_agree": same,
    }


def _main():
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.HierarchicalCopyAllReduce()
    )
    results = {}
    for name in sys.argv[1:]:
        one = _trained(name, False)
        with strategy.scope():
            two = _trained(name, True)
        results[name] = {"one": one, "two": two}
    json.dump({"num_replicas": strategy.num_replicas_in_sync, "results": results}, sys.stdout)


if __name__ == "__main__":
    _main()
