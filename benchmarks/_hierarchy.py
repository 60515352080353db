"""Trains a configuration's model for some steps in a fresh process, and says what that took.

Run as a module it prints JSON: `python -m benchmarks._hierarchy CONFIG BATCH REMATERIALIZE STEPS`.
"""

import json
import runpy
import sys
import time
from typing import Any

from benchmarks._heads import peak_bytes, random_images


class Clock:
    """Seconds since it was made."""

    def __init__(self):
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """On the clock, and of processors."""
        return {
            "clock": time.perf_counter() - self._wall,
            "processors": time.process_time() - self._processor,
        }


def main(config: str, batch_size: int, rematerialize: bool, num_steps: int) -> dict:
    """What building, the first step and each further step took, and the peak memory in bytes."""
    import numpy as np
    import tensorflow as tf

    from tf_sigma_vae import training
    from tf_sigma_vae.config import Config

    values = runpy.run_path(config)["get_config"]().to_dict()
    values["network_options"] = {**values["network_options"], "rematerialize": rematerialize}
    images = tf.constant(random_images(batch_size, 32, 3))
    clock = Clock()
    model = training.compiled_model(Config.from_dict(values), (32, 32, 3), num_steps=10**6)
    facts: dict[str, Any] = {
        "build": clock.read(),
        "num_weights": sum(int(np.prod(w.shape)) for w in model.trainable_weights),
        "num_levels": model.num_levels,
        "latent_size": model.latent_size,
        "before": peak_bytes(),
        "steps": [],
    }
    for step in range(num_steps + 1):
        clock = Clock()
        loss = float(model.train_on_batch(images, return_dict=True)["loss"])
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss}")
        if step == 0:
            facts["first"] = clock.read()
        else:
            facts["steps"].append(clock.read())
    return {**facts, "peak": peak_bytes()}


if __name__ == "__main__":
    name, batch, again, steps = sys.argv[1:]
    print(json.dumps(main(name, int(batch), again == "True", int(steps))))
