"""The training and test step: what they report, and the memory that they take."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, tiny_vae
from tests._printed import printed_by
from tf_sigma_vae import replicas
from tf_sigma_vae.models import _own_objective
from tf_sigma_vae.models._parts import Parts

ROUNDING = 1e-5
"""Relative: float32 means over batches of another size."""


@pytest.mark.slow
@pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="the peak of a process is read from Linux"
)
def test_sixteen_parts_take_less_than_a_quarter_of_the_memory():
    """A sixteenth of the activations, and beside them the gradients and the whole batch's input."""
    rise = printed_by("tests.models._peak_memory")
    # 4096 examples of 2048 hidden units, in both networks.
    assert rise["whole"] > 2 * 4 * 4096 * 2048
    assert rise["in_parts"] < rise["whole"] / 4


@pytest.mark.slow
def test_fit_under_the_strategy_of_a_single_worker_reports_scalars():
    result = printed_by("tests.models._one_worker")
    assert result["num_workers"] == 1
    assert result["ranks"] == [0]
    model = tiny_vae("gaussian_optimal")
    model.compile(keras.optimizers.SGD(1e-3))
    batches = tf.data.Dataset.from_tensor_slices(images(6)).batch(3)
    history = model.fit(
        batches, epochs=2, shuffle=False, validation_data=batches, verbose=0
    ).history
    assert history.keys() == result["history"].keys()
    for name, values in history.items():
        np.testing.assert_allclose(result["history"][name], values, rtol=1e-4, err_msg=name)


def test_steps_of_several_workers_communicate_the_loss_alone_and_fit_reports_all(monkeypatch):
    def fitted():
        model = tiny_vae("gaussian_optimal")
        model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
        logs = model.train_step((images(4),))
        assert (len(logs) == 1) == has_several
        return model.fit(images(6), batch_size=3, validation_data=(images(3),), verbose=0).history

    has_several = False
    expected = fitted()
    has_several = True
    monkeypatch.setattr(_own_objective, "num_workers", lambda strategy: 2)
    assert fitted() == expected
    assert {"loss", "elbo", "val_loss", "val_elbo"} <= expected.keys()


@pytest.mark.usefixtures("untraced")
def test_examples_of_no_weight_are_not_evaluated():
    model = tiny_vae("gaussian_optimal")
    model.compile(keras.optimizers.SGD(1e-3))
    x = images(5)
    model.calibrate(x)
    expected = model.evaluate(x[:3], return_dict=True, verbose=0)
    weights = np.array([1, 1, 1, 0, 0], np.float32)
    batches = tf.data.Dataset.from_tensors((x, x, weights))
    found = model.evaluate(batches, return_dict=True, verbose=0)
    assert found == pytest.approx(expected, rel=ROUNDING)


def test_metrics_are_means_of_two_variables_as_checkpoints_keep_them():
    model = tiny_vae()
    model.compile(keras.optimizers.SGD(1e-3))
    assert model.metrics[0].name == "loss"
    for metric in model.metrics:
        assert isinstance(metric, keras.metrics.Mean) and len(metric.variables) == 2


def test_model_without_trainable_weights_warns_and_reports():
    model = tiny_vae("gaussian_fixed")
    model.trainable = False
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        assert np.isfinite(model.train_on_batch(images(4), return_dict=True)["loss"])


def sizes(num_examples, num_parts, start=0, jit_compile=False, known=True):
    """Sizes of the parts, the examples in the order of the parts, and those of the first one."""

    def fold(x):
        parts = Parts((x, None), num_parts, jit_compile)

        def add(part, carried):
            sizes, seen = carried
            rows = tf.scatter_nd(part[0][:, None], tf.ones_like(part[0]), [num_examples + 1])
            return tf.concat([sizes[1:], [tf.shape(part[0])[0]]], 0), seen + rows

        zeros = tf.zeros([num_parts], tf.int32), tf.zeros([num_examples + 1], tf.int32)
        return *parts.fold(add, zeros, start), parts.first()[0]

    spec = tf.TensorSpec([num_examples if known else None], tf.int32)
    function = tf.function(fold, input_signature=[spec], jit_compile=jit_compile)
    found, seen, first = function(tf.range(num_examples))
    return [s for s in found.numpy() if s], seen.numpy()[:-1].tolist(), first.numpy().tolist()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "jit_compile", [pytest.param(True, marks=pytest.mark.slow), False], ids=["xla", "graph"]
)
@pytest.mark.parametrize(
    ("num_examples", "num_parts", "expected"),
    [(7, 3, [3, 2, 2]), (6, 3, [2, 2, 2]), (2, 5, [1, 1]), (0, 3, [])],
)
def test_parts_differ_by_one_at_most_and_hold_every_example_once(
    num_examples, num_parts, expected, jit_compile, known
):
    options = {"jit_compile": jit_compile, "known": known}
    found, seen, first = sizes(num_examples, num_parts, **options)
    assert found == expected and seen == [1] * num_examples
    assert first == list(range(expected[0] if expected else 0))
    rest, seen, _ = sizes(num_examples, num_parts, start=1, **options)
    assert rest == expected[1:] and seen == [int(i not in first) for i in range(num_examples)]


def test_parts_compiled_by_xla_are_the_same():
    assert sizes(7, 3, jit_compile=True, known=False)[:2] == ([3, 2, 2], [1] * 7)


def test_sums_are_those_of_the_pass_at_hand():
    value, changed = tf.constant([1.0, 2.0]), []
    with replicas.Collecting() as asked:
        assert replicas.is_collecting()
        assert (
            replicas.replica_sum(value, then=lambda v: changed.append(v.numpy().tolist())) is value
        )
        assert float(replicas.global_count(3)) == 3
    assert not changed and not replicas.is_collecting()
    totals = asked.totals([10 * asked.sums[0]], 8)
    assert changed == [[10.0, 20.0]]
    for _ in range(2):
        with totals:
            assert not replicas.is_collecting()
            assert replicas.replica_sum(value).numpy().tolist() == [10.0, 20.0]
            assert float(replicas.global_count(3)) == 8
    with replicas.WholeBatch(5):
        assert replicas.replica_sum(value, then=changed.append) is value
        assert float(replicas.global_count(3)) == 5
    assert changed[-1] is value


def test_sums_count_as_needed_if_one_is():
    with replicas.Collecting() as asked:
        replicas.replica_sum(tf.zeros([]), needed=tf.constant(False))
        assert not asked.needed
        replicas.replica_sum(tf.zeros([]))
    assert asked.needed is True
