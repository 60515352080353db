"""Prints by how many bytes a training step in parts, then one of the whole batch, raises the peak.

A script, because the peak of a process only ever rises.
"""

import json

import keras

from tests._models import images, tiny_vae

NUM_EXAMPLES, HIDDEN_SIZE, NUM_PARTS = 4096, 2048, 16


def _peak():
    # Not resource.getrusage: that starts with the memory of the process that started this one.
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def _rise(num_parts):
    options = {"hidden_sizes": (HIDDEN_SIZE,)}
    model = tiny_vae(
        "gaussian_optimal", network_options=options, gradient_accumulation_steps=num_parts
    )
    model.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
    # Tracing takes memory too: once for this size, then for any.
    for num_examples in (NUM_PARTS, 2 * NUM_PARTS):
        model.train_on_batch(x[:num_examples])
    before = _peak()
    model.train_on_batch(x)
    return _peak() - before


if __name__ == "__main__":
    x = images(NUM_EXAMPLES)
    in_parts = _rise(NUM_PARTS)
    print(json.dumps({"in_parts": in_parts, "whole": _rise(1)}))
