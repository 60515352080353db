"""The typed configuration of a run.

Config files and flags speak dictionaries; here, at the border, they become a frozen object, so that
a wrong key, type or value stops a run before any work. The resolved configuration is written to
`workdir/config.json`, from which evaluation, sampling and export start.
"""

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Sequence
from typing import Any

from ml_collections import config_dict

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
OPTIMIZERS = ("adam", "adamax", "adamw", "sgd")
SCHEDULES = ("constant", "cosine")
SELECTIONS = ("last", "best")
MAX_SKIPS = 10
"""Updates skipped in a row, by default: more is no outlier."""


def _field(
    default: Any,
    doc: str,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    one_of: Sequence[str] | None = None,
) -> Any:
    """A field with its documentation and its allowed values."""
    limits = {"at_least": at_least, "above": above, "below": below, "one_of": one_of}
    metadata = {"doc": doc, **{k: v for k, v in limits.items() if v is not None}}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train, on what, and how long. Field documentation: `describe()`."""

    # Data
    dataset: str = _field("digits", "Dataset plug-in.")
    dataset_options: dict = _field({}, "Options of the dataset plug-in, such as path.")
    validation_fraction: float = _field(
        0.1, "Part of train held out for validation; 0 for none.", at_least=0.0, below=1.0
    )
    dequantize: bool = _field(False, "Train on x = (k + u) / 256 with u uniform in [0, 1).")
    flip: bool = _field(False, "Mirror training images left to right at random.")
    train_frames: int = _field(
        12, "Frames of a training clip, context included; of videos only.", at_least=2
    )
    eval_frames: int = _field(
        30, "Frames of an evaluated clip, context included; of videos only.", at_least=2
    )
    # Model
    model: str = _field("vae", "Model plug-in.")
    model_options: dict = _field({}, "Options of the model plug-in, such as merge.")
    network: str = _field("conv28", "Network plug-in.")
    network_options: dict = _field({}, "Options of the network plug-in, such as width.")
    latent_size: int = _field(
        20,
        "Size of the latent vector; in a hierarchy, of the top one; of a video, of a frame's.",
        at_least=1,
    )
    likelihood: str = _field("gaussian_optimal", "Likelihood plug-in; the flag is --variant.")
    likelihood_options: dict = _field({}, "Options of the likelihood plug-in.")
    # Objective
    beta: float = _field(1.0, "Weight of the rate against the likelihood in nats.", at_least=0.0)
    rate_warmup_steps: int = _field(0, "Steps over which beta rises from 0.", at_least=0)
    free_bits: float = _field(
        0.0, "Nats granted to each latent dimension, level, or frame.", at_least=0.0
    )
    # Optimization
    seed: int = _field(
        0, "Of initial weights, data order, noise and splits.", at_least=0, below=2**32
    )
    global_batch_size: int = _field(128, "Images, or clips, a step, over all replicas.", at_least=1)
    gradient_accumulation_steps: int = _field(
        1, "Parts in which a step computes its batch, to save memory; same update.", at_least=1
    )
    drop_remainder: bool = _field(
        False, "Leave out an epoch's partial last batch, other images each epoch (a TPU needs it)."
    )
    num_epochs: int = _field(10, "Passes over the training set.", at_least=1)
    num_train_steps: int | None = _field(
        None, "Steps in all; overrides num_epochs when given.", at_least=1
    )
    optimizer: str = _field("adam", "Optimizer.", one_of=OPTIMIZERS)
    learning_rate: float = _field(1e-3, "Peak learning rate.", above=0.0)
    learning_rate_schedule: str = _field("constant", "After the warm-up.", one_of=SCHEDULES)
    warmup_steps: int = _field(0, "Steps of linear learning-rate warm-up.", at_least=0)
    weight_decay: float = _field(0.0, "Decoupled, of the networks' weights.", at_least=0.0)
    clip_norm: float = _field(
        0.0, "Largest global norm of the gradient of the whole batch; 0 for none.", at_least=0.0
    )
    skip_norm: float = _field(
        0.0,
        "Gradient norm of the whole batch above which the update is skipped; 0 for none.",
        at_least=0.0,
    )
    max_skips: int = _field(
        MAX_SKIPS, "Skips in a row after which gradients are clipped to skip_norm.", at_least=1
    )
    ema_momentum: float = _field(
        0.0, "Of the moving average of weights; 0 for none.", at_least=0.0, below=1.0
    )
    precision: str = _field("float32", "Keras dtype policy of the networks.", one_of=PRECISIONS)
    jit_compile: bool = _field(False, "Compile the step with XLA (slower on CPU).")
    steps_per_execution: int = _field(1, "Steps a call of the compiled function.", at_least=1)
    deterministic_ops: bool = _field(
        False, "Force deterministic kernels (for bit-equal runs on a GPU; the CPU is already)."
    )
    # Running
    checkpoint_every_steps: int = _field(500, "Steps between checkpoints.", at_least=1)
    keep_checkpoints: int = _field(2, "Checkpoints kept.", at_least=1)
    log_every_steps: int = _field(100, "Steps between lines of metrics.jsonl.", at_least=1)
    early_stopping_patience: int = _field(
        0, "Epochs without a better val_elbo before stopping; 0 for never.", at_least=0
    )
    select: str = _field(
        "last", "Weights of model.keras: of the last or best epoch.", one_of=SELECTIONS
    )
    calibrate: bool = _field(True, "Set an analytic scale by an exact pass at the end.")
    tensorboard: bool = _field(True, "Write TensorBoard scalars and image grids.")

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
          TypeError: On a value of the wrong type.
          ValueError: On a value out of range.
        """
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = _checked_type(field.name, getattr(self, field.name), hints[field.name])
            object.__setattr__(self, field.name, value)
            if value is not None:
                _check_limits(field, value)
        if 0 < self.skip_norm <= self.clip_norm:
            raise ValueError(
                f"config.skip_norm ({self.skip_norm:g}) must be above config.clip_norm "
                f"({self.clip_norm:g}), or gradients are skipped that clipping is for"
            )
        needs_validation = self.early_stopping_patience > 0 or self.select == "best"
        if needs_validation and self.validation_fraction == 0:
            raise ValueError(
                "config.early_stopping_patience and config.select='best' watch val_elbo: "
                "config.validation_fraction must not be 0"
            )

    @classmethod
    def from_dict(cls, values: typing.Mapping) -> "Config":
        """Makes a configuration from a mapping (a dict or an `ml_collections.ConfigDict`).

        Raises:
          ValueError: On an unknown key (the message lists the known ones) or a bad value.
          TypeError: On a value of the wrong type.
        """
        values = dict(values.to_dict() if hasattr(values, "to_dict") else values)
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                raise ValueError(f"unknown config key {name!r}; {hint}known: {', '.join(known)}")
        return cls(**values)

    def to_dict(self) -> dict:
        """Plain dictionary of all fields, fit for JSON."""
        return dataclasses.asdict(self)


class _Fields(config_dict.ConfigDict):
    """Fields of a config file; an option can be set to a value of another type than the file's.

    What a plug-in takes is its own affair: a number where the file has a list.
    """

    def __setitem__(self, name: str, value: object) -> None:
        if name.endswith("_options") and isinstance(value, dict | config_dict.ConfigDict):
            of_any_type = {
                key: config_dict.FieldReference(option, field_type=object)
                for key, option in dict(value).items()
            }
            value = config_dict.ConfigDict(of_any_type)
        super().__setitem__(name, value)


def base() -> config_dict.ConfigDict:
    """What every config file starts from: all fields with their defaults.

    A field whose default is None is a typed placeholder, so that a flag can set it.
    """
    values, hints = Config().to_dict(), typing.get_type_hints(Config)
    for name, value in values.items():
        if value is None:
            (wanted,) = (t for t in typing.get_args(hints[name]) if t is not type(None))
            values[name] = config_dict.placeholder(wanted)
    return _Fields(values)


def describe() -> str:
    """One line a field: name, default, meaning, allowed values. For `--help`."""
    lines = []
    for field in dataclasses.fields(Config):
        default = {} if field.default is dataclasses.MISSING else field.default
        allowed = field.metadata.get("one_of")
        choices = f" One of {', '.join(allowed)}." if allowed else ""
        lines.append(f"  --config.{field.name}={default!r}: {field.metadata['doc']}{choices}")
    return "\n".join(lines)


def _checked_type(name: str, value: Any, hint: Any) -> Any:
    """The value, an int turned into a float where the field is one."""
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if (isinstance(value, bool) and bool not in allowed) or not isinstance(value, allowed):
        wanted = " or ".join("None" if t is type(None) else t.__name__ for t in allowed)
        raise TypeError(f"config.{name} must be {wanted}, got {type(value).__name__} {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"config.{name} must be finite, got {value!r}")
    return _as_json(name, value) if isinstance(value, dict) else value


def _as_json(name: str, options: dict) -> dict:
    """A copy of the options as `config.json` gives them back: a tuple has become a list."""
    try:
        return json.loads(json.dumps(options, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"config.{name} must hold what JSON can, got {options!r}: {error}"
        ) from None


def _check_limits(field: dataclasses.Field, value: Any) -> None:
    limits = field.metadata
    checks = (
        ("at_least", "at least", lambda limit: value >= limit),
        ("above", "above", lambda limit: value > limit),
        ("below", "below", lambda limit: value < limit),
        ("one_of", "one of", lambda limit: value in limit),
    )
    for key, words, holds in checks:
        if key in limits and not holds(limits[key]):
            raise ValueError(f"config.{field.name} must be {words} {limits[key]}, got {value!r}")
