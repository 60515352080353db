"""Takes one training step on one device and on two replicas, and prints both as JSON.

A script, because logical devices must be set before TensorFlow starts and a process can hold one
MirroredStrategy only. Plain Keras: the batch splits evenly, the optimizer is gradient descent.
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
CASES = {
    "gaussian_optimal": lambda: likelihoods.GaussianOptimal(),
    "gaussian_optimal_per_image": lambda: likelihoods.GaussianOptimalPerImage(),
    "gaussian_inverse_gamma": lambda: likelihoods.GaussianInverseGamma(),
    "gaussian_inverse_gamma_trained": lambda: likelihoods.GaussianInverseGamma("trained"),
    "gaussian_shared_from_data": lambda: likelihoods.GaussianShared(initial_scale="data"),
    "free_bits": lambda: likelihoods.GaussianFixed(),
}


def _examples():
    """Two halves of unlike difficulty, so that statistics of a half alone would show."""
    x = images(GLOBAL_BATCH_SIZE)
    x[1::2] = 0.5 + 0.02 * (x[1::2] - 0.5)
    return np.concatenate([x[::2], x[1::2]])


def _one_step(name):
    model = tiny_vae(CASES[name](), free_bits=0.6 if name == "free_bits" else 0.0)
    model.compile(keras.optimizers.SGD(1e-3))
    dataset = tf.data.Dataset.from_tensor_slices(_examples()).batch(GLOBAL_BATCH_SIZE)
    history = model.fit(dataset, epochs=2, verbose=0).history
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
    for name in CASES:
        one = _one_step(name)
        with strategy.scope():
            two = _one_step(name)
        results[name] = {"one": one, "two": two}
    json.dump({"num_replicas": strategy.num_replicas_in_sync, "results": results}, sys.stdout)


if __name__ == "__main__":
    _main()
