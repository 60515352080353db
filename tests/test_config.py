import dataclasses
import json

import pytest
from ml_collections import config_dict

from tf_sigma_vae import config as config_lib
from tf_sigma_vae.config import Config

FIELDS = {field.name: field for field in dataclasses.fields(Config)}
EXAMPLES = {str: "word", bool: True, int: 3, float: 0.5, dict: {"a": 1}}
"""A value of each type."""


def fields_of_type(wanted):
    """Names of the fields of a type; `int | None` counts as int."""
    return [n for n, f in FIELDS.items() if f.type in (wanted, wanted | None)]


def test_every_field_is_of_a_type_that_these_tests_cover():
    covered = [name for wanted in EXAMPLES for name in fields_of_type(wanted)]
    assert sorted(covered) == sorted(FIELDS)


def wrong_types():
    for name in FIELDS:
        own = next(wanted for wanted in EXAMPLES if name in fields_of_type(wanted))
        for other, value in EXAMPLES.items():
            if other is own or (own is float and other is int):
                continue
            yield pytest.param(name, own, value, id=f"{name}-{other.__name__}")


@pytest.mark.parametrize(("name", "wanted", "value"), list(wrong_types()))
def test_a_value_of_the_wrong_type_is_refused(name, wanted, value):
    with pytest.raises(TypeError) as caught:
        Config(**{name: value})
    message = str(caught.value)
    assert f"config.{name} must be {wanted.__name__}" in message
    assert f"got {type(value).__name__} {value!r}" in message


@pytest.mark.parametrize("name", [name for name in FIELDS if FIELDS[name].type != int | None])
def test_none_is_refused_where_it_is_not_a_choice(name):
    with pytest.raises(TypeError, match=f"config.{name} must be .*, got NoneType None"):
        Config(**{name: None})


def test_none_is_the_absence_of_a_number_of_steps():
    assert Config().num_train_steps is None
    assert Config(num_train_steps=5).num_train_steps == 5


@pytest.mark.parametrize("name", fields_of_type(float))
def test_a_whole_number_becomes_a_float_where_one_is_wanted(name):
    below_one = FIELDS[name].metadata.get("below") is not None
    given = 0 if below_one else 2
    # A validation fraction of 0 is allowed as long as nothing watches the validation.
    value = getattr(Config(**{name: given}), name)
    assert type(value) is float
    assert value == given


@pytest.mark.parametrize("name", fields_of_type(float))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(name, value):
    with pytest.raises(ValueError, match=f"config.{name} must be finite, got {value}"):
        Config(**{name: value})


def impossible_values():
    for name, field in FIELDS.items():
        limits, number = field.metadata, float if field.type is float else int
        if "at_least" in limits:
            yield name, number(limits["at_least"] - 1), f"at least {limits['at_least']}"
        if "above" in limits:
            yield name, number(limits["above"]), f"above {limits['above']}"
        if "below" in limits:
            yield name, number(limits["below"]), f"below {limits['below']}"
        if "one_of" in limits:
            yield name, "nothing", f"one of {limits['one_of']}"


@pytest.mark.parametrize(("name", "value", "allowed"), list(impossible_values()))
def test_an_impossible_value_is_refused_with_the_allowed_ones(name, value, allowed):
    with pytest.raises(ValueError) as caught:
        Config(**{name: value})
    assert str(caught.value) == f"config.{name} must be {allowed}, got {value!r}"


def test_the_limits_that_matter_are_there():
    refused = {
        "learning_rate": 0.0,
        "global_batch_size": 0,
        "num_epochs": 0,
        "num_train_steps": 0,
        "latent_size": 0,
        "beta": -0.1,
        "free_bits": -0.1,
        "validation_fraction": 1.0,
        "ema_momentum": 1.0,
        "clip_norm": -1.0,
        "weight_decay": -1.0,
        "checkpoint_every_steps": 0,
        "keep_checkpoints": 0,
        "steps_per_execution": 0,
        "early_stopping_patience": -1,
        "precision": "float64",
        "optimizer": "rmsprop",
        "learning_rate_schedule": "linear",
        "select": "first",
        "seed": 2**32,
    }
    for name, value in refused.items():
        with pytest.raises(ValueError, match=f"config.{name} must be"):
            Config(**{name: value})


@pytest.mark.parametrize(
    "name", [n for n, f in FIELDS.items() if "at_least" in f.metadata or "one_of" in f.metadata]
)
def test_the_limit_itself_is_allowed(name):
    limits = FIELDS[name].metadata
    for value in limits.get("one_of", [limits.get("at_least")]):
        assert getattr(Config(**{name: value}), name) == value


@pytest.mark.parametrize("watching", [{"early_stopping_patience": 1}, {"select": "best"}])
def test_what_watches_the_validation_needs_one(watching):
    with pytest.raises(ValueError, match="validation_fraction must not be 0"):
        Config(validation_fraction=0.0, **watching)
    assert Config(validation_fraction=0.2, **watching).validation_fraction == 0.2


def test_an_unknown_key_is_refused_with_the_known_ones():
    with pytest.raises(ValueError) as caught:
        Config.from_dict({"learning_rat": 1e-3})
    message = str(caught.value)
    assert "unknown config key 'learning_rat'; did you mean 'learning_rate'?" in message
    assert all(name in message for name in FIELDS)


def test_an_unknown_key_like_no_other_is_refused_too():
    with pytest.raises(ValueError, match="unknown config key 'qqq'; known: dataset, "):
        Config.from_dict({"qqq": 1})


def test_a_configuration_survives_json():
    config = Config(
        dataset="synthetic",
        dataset_options={"image_size": (4, 6), "noise_scale": 0.03},
        network_options={"hidden_sizes": (8, 4)},
        num_train_steps=7,
        learning_rate=1 / 3,
        flip=True,
    )
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.network_options == {"hidden_sizes": [8, 4]}


@pytest.mark.parametrize(
    ("options", "error"), [({"path": object()}, TypeError), ({"floor": float("nan")}, ValueError)]
)
def test_options_that_json_cannot_hold_are_refused(options, error):
    with pytest.raises(error, match="config.likelihood_options must hold what JSON can, got"):
        Config(likelihood_options=options)


def test_a_configuration_cannot_be_changed():
    given = {"width": 4}
    config = Config(network_options=given)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.latent_size = 3
    given["width"] = 5
    config.to_dict()["network_options"]["width"] = 6
    assert config.network_options == {"width": 4}


def test_configurations_share_no_options():
    one, other = Config(), Config()
    one.dataset_options["path"] = "x"
    assert other.dataset_options == Config().dataset_options == {}


def test_base_has_every_field_and_its_default():
    values = config_lib.base()
    assert isinstance(values, config_dict.ConfigDict)
    assert sorted(values) == sorted(FIELDS)
    assert Config.from_dict(values) == Config()


def test_a_field_without_a_default_is_a_typed_placeholder():
    values = config_lib.base()
    with pytest.raises(TypeError):
        values.num_train_steps = "many"
    values.num_train_steps = 5
    assert Config.from_dict(values).num_train_steps == 5


def test_describe_has_a_line_for_every_field():
    lines = config_lib.describe().splitlines()
    assert len(lines) == len(FIELDS)
    for line, (name, field) in zip(lines, FIELDS.items(), strict=True):
        default = getattr(Config(), name)
        assert line.startswith(f"  --config.{name}={default!r}: {field.metadata['doc']}")
        for choice in field.metadata.get("one_of", ()):
            assert choice in line.partition("One of ")[2]
