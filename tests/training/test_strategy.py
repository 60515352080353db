import types

import pytest
import tensorflow as tf

from tf_sigma_vae.config import Config
from tf_sigma_vae.training import strategy

TWO = types.SimpleNamespace(num_replicas_in_sync=2)
WORKERS = types.SimpleNamespace(num_workers=3, source="TF_CONFIG")
ALONE = types.SimpleNamespace(num_workers=1, source="TF_CONFIG")


@pytest.fixture
def devices(monkeypatch):
    """Sets the devices that TensorFlow reports, physical ones and logical ones."""

    def of(**counts):
        def listed(kind=None):
            return [types.SimpleNamespace(name=f"{kind}:{i}") for i in range(counts.get(kind, 0))]

        monkeypatch.setattr(tf.config, "list_physical_devices", listed)
        monkeypatch.setattr(tf.config, "list_logical_devices", listed)

    monkeypatch.delenv("TPU_NAME", raising=False)
    of(CPU=1)
    return of


@pytest.mark.parametrize(
    ("counts", "cluster", "kind", "reason"),
    [
        ({"CPU": 1}, None, "one_device", "there is no GPU or TPU"),
        ({"CPU": 4}, None, "one_device", "there is no GPU or TPU"),
        ({"GPU": 1}, None, "one_device", "there is one GPU"),
        ({"GPU": 2}, None, "mirrored", "this machine has 2 GPUs"),
        ({"GPU": 2}, WORKERS, "multi_worker", "TF_CONFIG names 3 workers"),
        ({"GPU": 2}, ALONE, "mirrored", "this machine has 2 GPUs"),
        ({"TPU": 8, "GPU": 2}, WORKERS, "tpu", "this machine has a TPU"),
    ],
)
def test_auto_takes_the_largest_thing_there_is_and_says_why(counts, cluster, kind, reason, devices):
    devices(**counts)
    assert strategy.choose("auto", cluster) == (kind, reason)


def test_auto_takes_the_tpu_that_is_asked_for(devices, monkeypatch):
    monkeypatch.setenv("TPU_NAME", "mine")
    assert strategy.choose("auto", WORKERS) == ("tpu", "TPU_NAME is 'mine'")


@pytest.mark.parametrize("name", [n for n in strategy.STRATEGIES if n != "auto"])
def test_what_is_asked_for_is_taken(name, devices):
    devices(GPU=2, TPU=8)
    assert strategy.choose(name, WORKERS) == (name, "as asked for")


def test_every_strategy_is_described():
    assert tuple(strategy.DESCRIPTIONS) == strategy.STRATEGIES


def test_one_device_is_the_default_strategy():
    assert strategy.build("one_device") is tf.distribute.get_strategy()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "unknown strategy 'gpu'; known: auto, one_device, mirrored, multi_worker, tpu"),
        ("parameter_server", "Keras 3 does not support ParameterServerStrategy.*multi_worker"),
        ("ps", "Keras 3 does not support ParameterServerStrategy"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(name, message):
    with pytest.raises(ValueError, match=message):
        strategy.choose(name, None)


def test_multi_worker_without_a_cluster_is_refused_with_what_to_set():
    with pytest.raises(ValueError, match="needs a cluster: set TF_CONFIG in every worker"):
        strategy.choose("multi_worker", None)


def test_a_tpu_that_is_not_there_is_a_clear_error(devices):
    with pytest.raises(ValueError, match="--strategy=tpu: there is no TPU 'local' .set TPU_NAME"):
        strategy.build("tpu")


@pytest.mark.parametrize("kinds", [["CPU"], ["CPU", "GPU"]])
def test_mirrored_takes_all_gpus_or_without_any_all_logical_cpus(kinds, devices, monkeypatch):
    devices(**dict.fromkeys(kinds, 2))
    made = []
    monkeypatch.setattr(
        tf.distribute, "MirroredStrategy", lambda names, cross_device_ops: made.append(names)
    )
    strategy._mirrored.cache_clear()
    # The second one is the first: two strategies in a process would clash.
    assert strategy.build("mirrored") is strategy.build("mirrored")
    assert made == [[f"{kinds[-1]}:{i}" for i in range(2)]]
    strategy._mirrored.cache_clear()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"global_batch_size": 7},
            r"global_batch_size \(7\) must be a multiple of the 2 replicas: take 6 or 8",
        ),
        ({"global_batch_size": 1}, "multiple of the 2 replicas: take 2$"),
        ({"precision": "mixed_float16"}, "mixed_float16.*choose mixed_bfloat16"),
        ({"jit_compile": True}, "jit_compile does not work on several CPU replicas"),
    ],
)
def test_what_does_not_work_on_several_replicas_is_refused(changes, message):
    config = Config(**{"global_batch_size": 8, **changes})
    with pytest.raises(ValueError, match=message):
        strategy.check(TWO, config)
    strategy.check(types.SimpleNamespace(num_replicas_in_sync=1), config)


def test_what_works_on_several_replicas_is_let_through(devices):
    strategy.check(TWO, Config(global_batch_size=8, precision="mixed_bfloat16"))
    devices(GPU=2)
    strategy.check(TWO, Config(global_batch_size=8, jit_compile=True))


class Tpu(tf.distribute.TPUStrategy):
    """Eight cores that are not there."""

    num_replicas_in_sync = 8

    def __init__(self):
        pass


class Workers(tf.distribute.MultiWorkerMirroredStrategy):
    """Two workers that are not there."""

    num_replicas_in_sync = 2

    def __init__(self):
        pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drop_remainder": False}, "compiles one batch shape: set config.drop_remainder=True"),
        ({"precision": "mixed_float16"}, "not for TPUs: choose mixed_bfloat16"),
        ({"jit_compile": True}, "jit_compile is not for TPUs"),
        ({"global_batch_size": 12}, "multiple of the 8 replicas: take 8 or 16"),
    ],
)
def test_what_does_not_work_on_a_tpu_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        strategy.check(Tpu(), Config(**{"drop_remainder": True, **changes}))
    strategy.check(Tpu(), Config(drop_remainder=True, precision="mixed_bfloat16"))


def test_several_steps_an_execution_are_refused_with_several_workers():
    with pytest.raises(ValueError, match=r"steps_per_execution \(4\) must be 1 with several work"):
        strategy.check(Workers(), Config(steps_per_execution=4))
    strategy.check(TWO, Config(steps_per_execution=4))


def model_with(*shapes):
    weights = [types.SimpleNamespace(shape=shape) for shape in shapes]
    return types.SimpleNamespace(trainable_weights=weights)


def test_convolutions_of_no_examples_on_cpus_are_refused_before_they_fail(monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    convolves, dense = model_with((3, 3, 2, 4), (4,)), model_with((5, 4), (4,))
    config, dropping = Config(global_batch_size=8), Config(global_batch_size=8, drop_remainder=True)
    with pytest.raises(ValueError, match="last batch of train has 1 of 17 examples for 2 replicas"):
        strategy.check_shares(TWO, config, convolves, {"train": 17})
    for given in (config, dropping):
        with pytest.raises(ValueError, match="last batch of validation has 1 of 9 examples for 2"):
            strategy.check_shares(TWO, given, convolves, {"train": 16, "validation": 9})
    # Nobody is left without one, or nothing convolves.
    strategy.check_shares(TWO, config, convolves, {"train": 16, "validation": 8})
    strategy.check_shares(TWO, config, convolves, {"train": 18, "validation": 2})
    strategy.check_shares(TWO, config, dense, {"train": 17})
    strategy.check_shares(TWO, dropping, convolves, {"train": 17})
    one = types.SimpleNamespace(num_replicas_in_sync=1)
    strategy.check_shares(one, config, convolves, {"train": 17})
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    strategy.check_shares(TWO, config, convolves, {"train": 17})
