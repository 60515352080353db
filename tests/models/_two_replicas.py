"""Takes one training step on one device and on two replicas, and prints both as JSON.

`python -m tests.models._two_replicas [CASE ...]`, all but those of the hierarchy without a name.
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

from tests._models import images, tiny_vae  # noqa: E402
from tf_sigma_vae import likelihoods  # noqa: E402

GLOBAL_BATCH_SIZE = 8
LIKELIHOODS = {
    "gaussian_optimal": lambda: likelihoods.GaussianOptimal(),
    "gaussian_optimal_per_image": lambda: likelihoods.GaussianOptimalPerImage(),
    "gaussian_inverse_gamma": lambda: likelihoods.GaussianInverseGamma(),
    "gaussian_inverse_gamma_trained": lambda: likelihoods.GaussianInverseGamma("trained"),
    "gaussian_shared_from_data": lambda: likelihoods.GaussianShared(initial_scale="data"),
    "free_bits": lambda: likelihoods.GaussianFixed(),
    "hierarchy": lambda: likelihoods.GaussianOptimal(),
}
IN_PARTS = ("gaussian_optimal", "gaussian_shared_from_data", "free_bits")
NUM_PARTS = 3
CASES = [
    *(name for name in LIKELIHOODS if name != "hierarchy"),
    *(f"{name} in parts" for name in IN_PARTS),
]


def _examples(num_examples):
    """Two halves of unlike difficulty, so that statistics of a half alone would show."""
    x = images(num_examples)
    x[1::2] = 0.5 + 0.02 * (x[1::2] - 0.5)
    return np.concatenate([x[::2], x[1::2]])


def _one_step(case, is_replicated):
    name, _, in_parts = case.partition(" in ")
    model = tiny_vae(
        LIKELIHOODS[name](),
        network="ladder32" if name == "hierarchy" else "dense",
        free_bits={"free_bits": 0.6, "hierarchy": 0.3}.get(name, 0.0),
        # Against a whole batch on one device; of each last batch a replica gets no example.
        gradient_accumulation_steps=NUM_PARTS if in_parts and is_replicated else 1,
    )
    model.compile(keras.optimizers.SGD(1e-3))
    # A convolution of no rows fails on CPUs: see `training.strategy.check_shares`.
    rest = 2 if name == "hierarchy" else 1
    examples = _examples(GLOBAL_BATCH_SIZE + rest * bool(in_parts))
    dataset = tf.data.Dataset.from_tensor_slices(examples).batch(GLOBAL_BATCH_SIZE)
    history = model.fit(dataset, epochs=2, shuffle=False, verbose=0).history
    if in_parts:
        held_out = tf.data.Dataset.from_tensor_slices(_examples(4 + rest)).batch(4)
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
    for name in sys.argv[1:] or CASES:
        one = _one_step(name, False)
        with strategy.scope():
            two = _one_step(name, True)
        results[name] = {"one": one, "two": two}
    json.dump({"num_replicas": strategy.num_replicas_in_sync, "results": results}, sys.stdout)


if __name__ == "__main__":
    _main()
