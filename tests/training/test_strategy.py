import types

import pytest
import tensorflow as tf

from tf_sigma_vae.config import Config
from tf_sigma_vae.training import strategy

TWO = types.SimpleNamespace(num_replicas_in_sync=2)


def test_one_device_is_the_default_strategy_and_auto_without_gpus():
    for name in ("one_device", "auto"):
        assert strategy.build(name) is tf.distribute.get_strategy()


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown strategy 'tpu'; known: auto, one_device, mir"):
        strategy.build("tpu")


@pytest.mark.parametrize(("name", "devices"), [("auto", 2), ("one_device", 0), ("mirrored", 2)])
def test_several_gpus_are_mirrored_unless_one_device_is_asked_for(name, devices, monkeypatch):
    gpus = [types.SimpleNamespace(name=f"GPU:{i}") for i in range(2)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    made = []
    monkeypatch.setattr(
        tf.distribute, "MirroredStrategy", lambda names, cross_device_ops: made.extend(names)
    )
    strategy.build(name)
    assert made == ["GPU:0", "GPU:1"][:devices]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"global_batch_size": 7}, r"global_batch_size \(7\) must be a multiple of the 2 replicas"),
        ({"precision": "mixed_float16"}, "mixed_float16.*choose mixed_bfloat16"),
        ({"jit_compile": True}, "jit_compile does not work on several CPU replicas"),
    ],
)
def test_what_does_not_work_on_several_replicas_is_refused(changes, message):
    config = Config(**{"global_batch_size": 8, **changes})
    with pytest.raises(ValueError, match=message):
        strategy.check(TWO, config)
    strategy.check(types.SimpleNamespace(num_replicas_in_sync=1), config)


def test_what_works_on_several_replicas_is_let_through():
    strategy.check(TWO, Config(global_batch_size=8, precision="mixed_bfloat16"))
