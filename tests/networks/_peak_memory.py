"""Prints by how many bytes a gradient raises the peak: `python -m tests.networks._peak_memory HOW`.

HOW is `kept` or `again`: whether what is computed on the way is kept, or computed a second time. A
script, because the peak of a process only ever rises.
"""

import json
import sys

import numpy as np
import tensorflow as tf

from tf_sigma_vae import models

SHAPE, NUM_EXAMPLES = (32, 32, 3), 64
OPTIONS = {"channels": 32, "latents": [(16, 2), (1, 1)], "latent_channels": 2, "num_blocks": 4}


def _peak():
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def main(rematerialize):
    options = {**OPTIONS, "rematerialize": rematerialize}
    model = models.HierarchicalVae(SHAPE, 4, "gaussian_fixed", network_options=options)

    @tf.function(autograph=False, reduce_retracing=True)
    def gradients(x):
        with tf.GradientTape() as tape:
            output = model(x, training=True)
            loss = tf.reduce_mean(output.distortion + output.rate)
        return tape.gradient(loss, model.trainable_variables)

    spec = tf.TensorSpec([None, *SHAPE])
    function = gradients.get_concrete_function(spec)
    x = np.random.default_rng(0).uniform(size=(NUM_EXAMPLES, *SHAPE)).astype(np.float32)
    # What a first call takes of its own.
    function(tf.constant(x[:1]))
    before = _peak()
    function(tf.constant(x))
    print(json.dumps(_peak() - before))


if __name__ == "__main__":
    main(sys.argv[1] == "again")
