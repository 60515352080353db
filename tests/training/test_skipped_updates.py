"""Updates by gradients of an unusual norm are skipped, but not for ever."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, tiny_vae
from tests.training._runs import metric_lines, tiny_config, train
from tf_sigma_vae.config import OPTIMIZERS, Config
from tf_sigma_vae.training import NonFiniteError
from tf_sigma_vae.training import optimizer as optimizer_lib

FLOAT32 = 2e-6
"""Relative; some roundings of float32."""
SMALL = ([[0.3, -0.4]], [0.0])  # global norm 0.5
LARGE = ([[3.0, -4.0]], [12.0])  # global norm 13
LIMIT = 2.0


def variables():
    """Two variables of the shapes of the gradients."""
    values = ([[0.5, -0.25]], [2.0])
    return [keras.Variable(np.array(v, np.float32), name=f"kernel_{len(v)}") for v in values]


def built(on, **changes):
    """An optimizer that skips what is above the limit."""
    changes = {"optimizer": "sgd", "learning_rate": 1.0, "skip_norm": LIMIT, **changes}
    optimizer = optimizer_lib.build(Config(**changes), 100)
    optimizer.build(on)
    return optimizer


def apply(optimizer, gradients):
    optimizer.apply([keras.ops.convert_to_tensor(np.float32(g)) for g in gradients])


def values(variables):
    return [v.numpy().copy() for v in variables]


def change(optimizer, on, gradients):
    """The change of all weights, flat, by an update."""
    before = values(on)
    apply(optimizer, gradients)
    return np.concatenate([(b - a).ravel() for a, b in zip(before, values(on), strict=True)])


def flat(gradients):
    return np.concatenate([np.ravel(g) for g in gradients])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_large_gradient_changes_nothing_but_the_count_of_steps(optimizer):
    on = variables()
    skipping = built(on, optimizer=optimizer, learning_rate=0.1)
    apply(skipping, SMALL)
    before = values(on)
    counts = ("iteration", "num_skips", "too_large_in_a_row", "gradient_norm")
    slots = [v for v in skipping.variables if not v.path.endswith(counts)]
    slots_before = values(slots)
    apply(skipping, LARGE)
    for old, new in zip(before + slots_before, values(on) + values(slots), strict=True):
        np.testing.assert_array_equal(new, old)
    assert int(skipping.iterations.numpy()) == 2
    assert int(skipping.num_skips.numpy()) == 1
    assert float(skipping.gradient_norm.numpy()) == pytest.approx(13.0, rel=FLOAT32)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_gradients_below_the_limit_are_applied_as_without_it(optimizer):
    ours, theirs = variables(), variables()
    skipping = built(ours, optimizer=optimizer)
    plain = built(theirs, optimizer=optimizer, skip_norm=0.0)
    assert plain.num_skips is None
    for _ in range(3):
        apply(skipping, SMALL)
        apply(plain, SMALL)
    for one, other in zip(values(ours), values(theirs), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(skipping.num_skips.numpy()) == 0


def test_after_so_many_skips_gradients_are_clipped_to_the_limit_until_one_is_below_it():
    on = variables()
    skipping = built(on, max_skips=3)
    clipped = -flat(LARGE) * LIMIT / 13
    for _ in range(3):
        np.testing.assert_array_equal(change(skipping, on, LARGE), 0.0)
    for _ in range(4):
        np.testing.assert_allclose(change(skipping, on, LARGE), clipped, rtol=FLOAT32, atol=1e-6)
    np.testing.assert_allclose(change(skipping, on, SMALL), -flat(SMALL), rtol=FLOAT32, atol=1e-6)
    # From here on a large one is an outlier again.
    np.testing.assert_array_equal(change(skipping, on, LARGE), 0.0)
    assert int(skipping.num_skips.numpy()) == 4


def test_what_is_not_skipped_is_clipped_by_the_smaller_norm():
    on = variables()
    skipping = built(on, max_skips=1, clip_norm=0.25)
    clipped = -flat(SMALL) * 0.5
    np.testing.assert_allclose(change(skipping, on, SMALL), clipped, rtol=FLOAT32, atol=1e-6)
    apply(skipping, LARGE)
    clipped = -flat(LARGE) * 0.25 / 13
    np.testing.assert_allclose(change(skipping, on, LARGE), clipped, rtol=FLOAT32, atol=1e-6)


@pytest.mark.parametrize("num_skips", [0, 1, 3])
def test_the_moving_average_starts_as_the_weights_also_where_the_first_updates_are_skipped(
    num_skips,
):
    on, plain = variables(), variables()
    skipping = built(on, ema_momentum=0.9)
    for _ in range(num_skips):
        apply(skipping, LARGE)
    for average, start in zip(skipping._model_variables_moving_average, on, strict=True):
        if num_skips:
            np.testing.assert_array_equal(average.numpy(), start.numpy())
    usual = built(plain, ema_momentum=0.9, skip_norm=0.0)
    # The first update of all sets the average; the step of a skipped one has done so.
    expected = values(plain)
    for step in range(5):
        apply(skipping, SMALL)
        apply(usual, SMALL)
        weight = 0.9 if step or num_skips else 0.0
        expected = [
            weight * a + (1 - weight) * w for a, w in zip(expected, values(plain), strict=True)
        ]
    for average, value in zip(skipping._model_variables_moving_average, expected, strict=True):
        np.testing.assert_allclose(average.numpy(), value, rtol=FLOAT32, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_compiled_update_never_applies_what_is_no_number(value):
    # XLA drops the error of the test below.
    on = variables()
    skipping = built(on, max_skips=2)
    before = values(on)
    update = tf.function(lambda *gradients: skipping.apply(list(gradients)), jit_compile=True)
    for _ in range(4):
        update(tf.constant([[value, 1.0]]), tf.constant([1.0]))
    for old, new in zip(before, values(on), strict=True):
        np.testing.assert_array_equal(new, old)
    assert int(skipping.num_skips.numpy()) == 4
    update(*(tf.constant(np.float32(g)) for g in SMALL))
    assert all(np.isfinite(new).all() for new in values(on))
    assert (values(on)[0] != before[0]).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_no_number_is_skipped_and_after_so_many_an_error(value):
    on = variables()
    skipping = built(on, max_skips=2)
    broken = ([[value, 1.0]], [1.0])
    for _ in range(2):
        np.testing.assert_array_equal(change(skipping, on, broken), 0.0)
    before = values(on)
    with pytest.raises(tf.errors.InvalidArgumentError, match="non-finite gradient, after 2 skip"):
        apply(skipping, broken)
    for old, new in zip(before, values(on), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("limits", [{"clip_norm": 6.5}, {"skip_norm": 20.0}])
def test_a_weight_without_a_gradient_is_left_alone(limits):
    on = variables()
    optimizer = built(on, **{"skip_norm": 0.0, **limits})
    optimizer.apply([keras.ops.convert_to_tensor(np.float32([[0.3, -0.4]])), None])
    np.testing.assert_allclose(on[0].numpy(), [[0.2, 0.15]], rtol=FLOAT32)
    np.testing.assert_array_equal(on[1].numpy(), [2.0])


def test_the_optimizer_of_a_saved_model_goes_on_counting():
    on = variables()
    skipping = built(on, max_skips=2)
    apply(skipping, LARGE)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(skipping))
    again.build(on)
    for old, new in zip(skipping.variables, again.variables, strict=True):
        new.assign(old)
    apply(again, LARGE)
    assert np.abs(change(again, on, LARGE)).sum() > 0
    assert int(again.num_skips.numpy()) == 2


def test_an_update_that_the_loss_scale_drops_is_a_skip_without_a_norm():
    model = tiny_vae("gaussian_fixed", dtype="mixed_float16", check_finite=False)
    inner = optimizer_lib.build(Config(optimizer="sgd", skip_norm=1e9), 100)
    # So large a scale overflows float16 in the first step and not in the last ones.
    outer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**24)
    model.compile(outer, run_eagerly=True)
    outer.build(model.trainable_variables)
    rates, norms = [], []
    for _ in range(24):
        logs = model.train_on_batch(images(4), return_dict=True)
        rates.append(float(logs["skip_rate"]))
        norms.append(float(logs["gradient_norm"]))
        model.reset_metrics()
    assert rates[0] == 1.0 and rates[-1] == 0.0
    assert all((norm == 0.0) == (rate == 1.0) for rate, norm in zip(rates, norms, strict=True))
    assert int(inner.num_skips.numpy()) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", ["float32", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_a_limit_far_too_low_costs_some_steps_and_no_more(precision, tmp_path):
    changes = {"skip_norm": 1e-2, "max_skips": 2, "log_every_steps": 4, "precision": precision}
    config = tiny_config(likelihood="gaussian_fixed", num_epochs=1, **changes)
    model = train(config, tmp_path)
    skipped = [line["skip_rate"] for line in metric_lines(tmp_path) if "skip_rate" in line]
    # Two of the first four steps, and from then on all are clipped. (Those that the loss scale of
    # float16 drops come first.)
    assert skipped[0] == 0.5 or precision == "mixed_float16"
    assert len(skipped) > 1
    assert skipped[-1] == 0.0
    # Of gradients before they are clipped: what a limit is chosen by.
    norms = [line["gradient_norm"] for line in metric_lines(tmp_path) if "skip_rate" in line]
    assert all(norm > 1e-2 for norm in norms)
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    assert int(optimizer.num_skips.numpy()) == 2


def test_gradients_that_stay_broken_stop_the_run_with_the_reason(tmp_path, monkeypatch):
    # As after a weight that breaks between two evaluations: the loss is finite, its gradient not.
    clip = optimizer_lib.ReplicaExact._clipped

    def broken(self, gradients, limit):
        return clip(self, [gradient * np.nan for gradient in gradients], limit)

    monkeypatch.setattr(optimizer_lib.ReplicaExact, "_clipped", broken)
    changes = {"skip_norm": 10.0, "max_skips": 2, "num_epochs": 1}
    with pytest.raises(NonFiniteError, match="stopped at step 3: non-finite gradient, after 2"):
        train(tiny_config(likelihood="gaussian_fixed", **changes), tmp_path)


@pytest.mark.parametrize("skip_norm", [1.0, 0.5])
def test_a_limit_that_clipping_would_meet_is_refused(skip_norm):
    with pytest.raises(ValueError, match=r"config.skip_norm \(.*\) must be above config.clip_norm"):
        Config(clip_norm=1.0, skip_norm=skip_norm)
    assert Config(clip_norm=1.0, skip_norm=1.5).skip_norm == 1.5
