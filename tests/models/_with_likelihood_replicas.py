"""Trains `WithLikelihood` on one device and on two replicas, and prints both results as JSON.

A script, because logical devices must be set before TensorFlow starts and a process can hold one
MirroredStrategy only. The last batch splits unevenly.
"""

import json
import sys

import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

import keras  # noqa: E402

from tests._models import images  # noqa: E402
from tf_sigma_vae import models  # noqa: E402

GLOBAL_BATCH_SIZE, NUM_EXAMPLES = 8, 11
SHAPE = (3, 4, 2)


def _trained():
    keras.utils.set_random_seed(0)
    regularizer = keras.regularizers.L2(0.5)
    layer = keras.layers.Dense(2, kernel_regularizer=regularizer)
    model = models.WithLikelihood(keras.Sequential([keras.Input(SHAPE), layer]), "gaussian_optimal")
    model.compile(keras.optimizers.SGD(1e-3))
    x, y = images(NUM_EXAMPLES, SHAPE), images(NUM_EXAMPLES, SHAPE, seed=1)
    # Targets of unlike difficulty, so that statistics of a part alone would show.
    y[::3] = 0.5 + 0.02 * (y[::3] - 0.5)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(GLOBAL_BATCH_SIZE)
    history = model.fit(dataset, epochs=2, shuffle=False, verbose=0).history
    values = [getattr(w.value, "values", (w.value,))[0].numpy().tolist() for w in model.weights]
    return {"nll": history["nll"], "log_scale": history["log_scale"], "weights": values}


if __name__ == "__main__":
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.HierarchicalCopyAllReduce()
    )
    results = {"one": _trained()}
    with strategy.scope():
        results["two"] = _trained()
    json.dump({"num_replicas": strategy.num_replicas_in_sync, **results}, sys.stdout)
