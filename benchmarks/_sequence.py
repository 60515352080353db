"""Trains a configuration's model of videos for some steps in a fresh process; says what that took.

Run as a module it prints JSON: `python -m benchmarks._sequence CASE`, with a `Case` as JSON.
"""

import json
import runpy
import sys
import time
from typing import Any, NamedTuple

import numpy as np

from benchmarks._heads import peak_bytes
from benchmarks._hierarchy import Clock


class Case(NamedTuple):
    """What is measured in a process."""

    config: str
    """Path of a config file."""
    frame_shape: tuple[int, int, int]
    batch_size: int
    num_frames: int
    """Of a training clip, context included."""
    num_steps: int
    """After the first one."""
    num_copies: tuple[int, ...] = ()
    """Rollouts of each clip, for each of which rollouts are timed."""
    horizon: int = 28
    """Frames of a rollout."""
    num_rollouts: int = 3
    """Calls of each kind after the first one, which traces."""


def random_clips(batch_size: int, num_frames: int, frame_shape) -> np.ndarray:
    """A batch of the values `k / 255`, float32 `[B, T, H, W, C]`."""
    shape = (batch_size, num_frames, *frame_shape)
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return levels / np.float32(255)


def main(case: Case) -> dict:
    """Times of building, steps and rollouts, sizes, and the peak memory in bytes."""
    import tensorflow as tf

    from tf_sigma_vae import training
    from tf_sigma_vae.config import Config

    values = runpy.run_path(case.config)["get_config"]().to_dict()
    clips = tf.constant(random_clips(case.batch_size, case.num_frames, case.frame_shape))
    clock = Clock()
    model = training.compiled_model(Config.from_dict(values), case.frame_shape, num_steps=10**6)
    facts: dict[str, Any] = {
        "build": clock.read(),
        "num_weights": sum(int(np.prod(w.shape)) for w in model.trainable_weights),
        "before": peak_bytes(),
        "steps": [],
    }
    for step in range(case.num_steps + 1):
        clock = Clock()
        loss = float(model.train_on_batch(clips, return_dict=True)["loss"])
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss}")
        if step == 0:
            facts["first"] = clock.read()
        else:
            facts["steps"].append(clock.read())
    facts["peak"] = peak_bytes()
    facts |= traced(model, clips)
    facts["rollouts"] = [rollouts(model, case, copies) for copies in case.num_copies]
    return facts


def traced(model, clips) -> dict:
    """Time to trace the training step once more, and the nodes of its graph with all within it."""
    import tensorflow as tf

    clock = Clock()
    graph = tf.function(model.train_step).get_concrete_function(clips).graph
    facts: dict[str, Any] = {"trace": clock.read()}
    definition = graph.as_graph_def()
    functions = definition.library.function
    facts["num_nodes"] = len(definition.node) + sum(len(f.node_def) for f in functions)
    return facts


def rollouts(model, case: Case, num_copies: int) -> dict:
    """Seconds of rollouts by `model.rollout`, and frame by frame in Python, in turn.

    Raises:
      ArithmeticError: If the two are not the same, to rounding.
    """
    context = random_clips(case.batch_size, model.context_frames, case.frame_shape)
    ids = model.rollout_noise_ids(context, num_copies)
    kinds = {
        "traced": lambda: model.rollout(context, case.horizon, ids).numpy(),
        "eager": lambda: frame_by_frame(model, context, case.horizon, ids).numpy(),
    }
    facts: dict[str, Any] = {"num_copies": num_copies, "first": {}}
    made = {}
    for kind, make in kinds.items():
        start = time.perf_counter()
        made[kind] = np.asarray(make(), np.float32)
        facts["first"][kind], facts[kind] = time.perf_counter() - start, []
    # Where each step rounds, what is fed back moves apart: the first frame alone is comparable.
    one, other = (made[kind][:, :, 0] for kind in kinds)
    if not np.allclose(one, other, rtol=0.05, atol=0.05 * np.max(np.abs(one))):
        raise ArithmeticError(f"rollouts differ by {np.max(np.abs(one - other))}")
    for _ in range(case.num_rollouts):
        for kind, make in kinds.items():
            start = time.perf_counter()
            make()
            facts[kind].append(time.perf_counter() - start)
    return facts


def frame_by_frame(model, context, num_frames: int, noise_ids):
    """What `model.rollout` gives, by a Python loop of single steps."""
    import tensorflow as tf

    from tf_sigma_vae.models.sequence_vae import frame_noise

    copies = noise_ids.shape[1]
    features, skips, prior_state, state = model._warmed_up(tf.constant(context), copies)
    draws = frame_noise(tf.reshape(noise_ids, [-1, 2]), num_frames, model.latent_size)
    made = []
    for step in range(num_frames):
        z = draws[:, step]
        if model.prior_lstm is not None:
            outputs, prior_state = model.prior_lstm.step(features, prior_state)
            prior = model.gaussian(outputs)
            z = prior.loc + prior.scale * z
        inputs = tf.concat([features, tf.cast(z, features.dtype)], axis=-1)
        outputs, state = model.predictor.step(inputs, state)
        made.append(model.frame_decoder(tf.tanh(outputs), skips))
        features, _ = model.frame_encoder(model.frame_distribution(made[-1]).mean())
    params = tf.stack(made, axis=1)
    return tf.reshape(params, [-1, copies, *params.shape[1:]])


if __name__ == "__main__":
    print(json.dumps(main(Case(**json.loads(sys.argv[1])))))
