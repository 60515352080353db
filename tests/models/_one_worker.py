"""Trains under a MultiWorkerMirroredStrategy of one worker and prints what `fit` reports as JSON.

A script, because such a strategy must be made before TensorFlow starts its devices.
"""

import json
import os
import socket
import sys

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    workers = [f"127.0.0.1:{free.getsockname()[1]}"]
os.environ["TF_CONFIG"] = json.dumps(
    {"cluster": {"worker": workers}, "task": {"type": "worker", "index": 0}}
)

import keras
import numpy as np
import tensorflow as tf

from tests._models import images, tiny_vae
from tf_sigma_vae.replicas import num_workers


class _Ranks(keras.callbacks.Callback):
    """Notes the ranks of the logs of every step."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def on_train_batch_end(self, batch, logs=None):
        self.seen |= {np.ndim(value) for value in logs.values()}

    on_test_batch_end = on_train_batch_end


if __name__ == "__main__":
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = tiny_vae("gaussian_optimal", gradient_accumulation_steps=2)
        model.compile(keras.optimizers.SGD(1e-3))
    batches = tf.data.Dataset.from_tensor_slices(images(6)).batch(3)
    ranks = _Ranks()
    history = model.fit(
        batches, epochs=2, shuffle=False, validation_data=batches, callbacks=[ranks], verbose=0
    ).history
    result = {
        "num_workers": num_workers(strategy),
        "ranks": sorted(ranks.seen | {np.ndim(v) for values in history.values() for v in values}),
        "history": {name: [float(v) for v in values] for name, values in history.items()},
    }
    json.dump(result, sys.stdout)
