import keras
import numpy as np
import pytest

import tf_sigma_vae as sv
from tests._models import images, set_weights, tiny_vae
from tf_sigma_vae.config import OPTIMIZERS, Config
from tf_sigma_vae.training import optimizer as optimizer_lib

FLOAT32 = 2e-6
"""Relative; some roundings of float32."""
NUM_STEPS = 20
GRADIENTS = ([[3.0, -4.0]], [12.0])  # global norm 13


def variables(names=("kernel", "bias")):
    """Two variables of the shapes of `GRADIENTS`."""
    values = ([[0.5, -0.25]], [2.0])
    return [
        keras.Variable(np.array(v, np.float32), name=name)
        for v, name in zip(values, names, strict=True)
    ]


def built(config, on, num_steps=NUM_STEPS):
    """The optimizer of a configuration, for some variables."""
    optimizer = optimizer_lib.build(config, num_steps)
    optimizer.build(on)
    return optimizer


def apply(optimizer, gradients):
    optimizer.apply([keras.ops.convert_to_tensor(np.float32(g)) for g in gradients])


@pytest.mark.parametrize("clip_norm", [0.0, 6.5, 13.1])
def test_clipping_bounds_the_norm_of_all_gradients_together(clip_norm):
    on = variables()
    before = [v.numpy() for v in on]
    apply(built(Config(optimizer="sgd", learning_rate=1.0, clip_norm=clip_norm), on), GRADIENTS)
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in GRADIENTS))
    factor = min(1.0, clip_norm / norm) if clip_norm else 1.0
    for variable, start, gradient in zip(on, before, GRADIENTS, strict=True):
        np.testing.assert_allclose(
            variable.numpy(), start - factor * np.array(gradient), rtol=FLOAT32
        )


@pytest.mark.parametrize(("optimizer", "base"), [("adam", "Adam"), ("adamax", "Adamax")])
def test_without_changes_an_optimizer_is_that_of_keras(optimizer, base):
    ours, theirs = variables(), variables()
    one = built(Config(optimizer=optimizer, learning_rate=0.1), ours)
    other = getattr(keras.optimizers, base)(0.1)
    other.build(theirs)
    for _ in range(3):
        apply(one, GRADIENTS)
        apply(other, GRADIENTS)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_shrinks_kernels_alone(optimizer):
    for excluded in ("bias", "log_scale", "log_concentration"):
        on = variables(("kernel", excluded))
        config = Config(optimizer=optimizer, learning_rate=0.1, weight_decay=0.5)
        apply(built(config, on), ([[0.0, 0.0]], [0.0]))
        # Decoupled: w <- w - learning_rate * weight_decay * w.
        np.testing.assert_allclose(on[0].numpy(), [[0.475, -0.2375]], rtol=FLOAT32)
        np.testing.assert_array_equal(on[1].numpy(), [2.0])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_weight_decay_is_none_for_every_optimizer(optimizer):
    on = variables()
    apply(built(Config(optimizer=optimizer, learning_rate=0.1), on), ([[0.0, 0.0]], [0.0]))
    np.testing.assert_array_equal(on[0].numpy(), [[0.5, -0.25]])


def learning_rates(**changes):
    """The learning rate at steps 0 ... NUM_STEPS."""
    optimizer = built(Config(learning_rate=0.5, **changes), variables())
    rates = []
    for step in range(NUM_STEPS + 1):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    return np.array(rates)


def test_a_warm_up_rises_linearly_to_the_peak_and_stays_there():
    steps = np.arange(NUM_STEPS + 1)
    expected = 0.5 * np.minimum((steps + 1) / 8, 1.0)
    np.testing.assert_allclose(learning_rates(warmup_steps=8), expected, rtol=FLOAT32)


@pytest.mark.parametrize("warmup_steps", [0, 8])
def test_a_cosine_falls_from_the_peak_to_zero_at_the_end(warmup_steps):
    rates = learning_rates(warmup_steps=warmup_steps, learning_rate_schedule="cosine")
    steps = np.arange(NUM_STEPS + 1)
    rise = np.minimum((steps + 1) / max(warmup_steps, 1), 1.0)
    progress = np.maximum(steps - warmup_steps, 0) / (NUM_STEPS - warmup_steps)
    expected = 0.5 * rise * (1 + np.cos(np.pi * progress)) / 2
    # cos(pi) + 1 loses the leading digits.
    np.testing.assert_allclose(rates, expected, rtol=FLOAT32, atol=1e-7)
    assert rates.max() == pytest.approx(0.5, rel=FLOAT32)
    assert rates[-1] == pytest.approx(0.0, abs=1e-7)


def test_a_constant_rate_is_the_peak():
    optimizer = optimizer_lib.build(Config(learning_rate=0.5), NUM_STEPS)
    assert float(optimizer.learning_rate) == 0.5


@pytest.mark.parametrize("warmup_steps", [NUM_STEPS, NUM_STEPS + 5])
def test_a_warm_up_longer_than_the_training_is_refused(warmup_steps):
    with pytest.raises(
        ValueError, match=rf"warmup_steps \({warmup_steps}\) must be below .*\(20\)"
    ):
        optimizer_lib.build(Config(warmup_steps=warmup_steps), NUM_STEPS)


def test_swapping_with_the_average_twice_is_as_if_never():
    on = variables()
    optimizer = built(Config(ema_momentum=0.7), on)
    apply(optimizer, GRADIENTS)
    apply(optimizer, GRADIENTS)
    before = [v.numpy() for v in optimizer.variables + on]
    optimizer.swap_average()
    assert (on[0].numpy() != before[-2]).any()
    optimizer.swap_average()
    for variable, value in zip(optimizer.variables + on, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_without_an_average_there_is_nothing_to_swap():
    on = variables()
    built(Config(), on).swap_average()
    np.testing.assert_array_equal(on[0].numpy(), [[0.5, -0.25]])


EVERYTHING = {
    "learning_rate": 0.1,
    "learning_rate_schedule": "cosine",
    "warmup_steps": 3,
    "clip_norm": 2.5,
    "ema_momentum": 0.7,
    "weight_decay": 0.5,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_survives_its_config(name):
    optimizer = optimizer_lib.build(Config(optimizer=name, **EVERYTHING), NUM_STEPS)
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(restored) is type(optimizer) is optimizer_lib.CLASSES[name]
    assert restored.get_config() == optimizer.get_config()
    assert (restored.clip_norm, restored.ema_momentum, restored.weight_decay) == (2.5, 0.7, 0.5)


def test_training_goes_on_from_a_keras_file_as_if_it_had_not_been_saved(tmp_path):
    model = set_weights(tiny_vae("gaussian_shared"))
    model.compile(optimizer_lib.build(Config(optimizer="adamw", **EVERYTHING), NUM_STEPS))
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    for variable in model.optimizer.variables[1:]:
        variable.assign(rng.uniform(size=variable.shape))
    model.optimizer.iterations.assign(7)
    model.save(tmp_path / "m.keras")
    loaded = sv.load(tmp_path / "m.keras")
    for trained in (model, loaded):
        trained.run_eagerly = True  # Tracing would take most of the time.
        trained.train_on_batch(images(4))
    state, restored = (m.variables + m.optimizer.variables for m in (model, loaded))
    for one, other in zip(state, restored, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
