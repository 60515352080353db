"""The flags that choose a configuration, and the configuration they amount to."""

import importlib.resources
import os
import pathlib
import sys
from collections.abc import Callable, Collection

from absl import flags
from ml_collections import config_flags

from tf_sigma_vae import config as config_lib
from tf_sigma_vae import networks, plugins
from tf_sigma_vae.cli import _command

DEFAULT_CONFIG = "digits_vae"
FIELD_OF_FLAG = {
    "dataset": "dataset",
    "variant": "likelihood",
    "seed": "seed",
    "precision": "precision",
    "jit_compile": "jit_compile",
}
PLUGIN_FIELDS = {
    "dataset": "data",
    "model": "models",
    "network": "networks",
    "likelihood": "likelihoods",
}


def config_folders() -> list[pathlib.Path]:
    """Where the shipped config files lie: beside the package in a clone, inside it in a wheel."""
    package = pathlib.Path(str(importlib.resources.files("tf_sigma_vae")))
    return [package.parent / "configs", package / "configs"]


def config_names() -> list[str]:
    """Names of the shipped config files."""
    found = {path.stem for folder in config_folders() for path in folder.glob("[!_]*.py")}
    return sorted(found)


def config_path(name: str) -> str:
    """The file of a config given by path (`configs/mnist_vae.py`) or by name (`mnist_vae`).

    Raises:
      FileNotFoundError: If there is none; the message lists the shipped ones.
    """
    if os.path.isfile(name):
        return name
    stem = pathlib.Path(name).stem
    for folder in config_folders():
        if (folder / f"{stem}.py").is_file() and pathlib.Path(name).parent.name in ("", "configs"):
            return str(folder / f"{stem}.py")
    raise FileNotFoundError(
        f"no config file {name!r}; give a path, or one of: {', '.join(config_names())}"
    )


def define_flags(choices: Collection[str] = tuple(FIELD_OF_FLAG)) -> None:
    """Defines `--config` and the flags that choose within it.

    Args:
      choices: Of `FIELD_OF_FLAG`, all by default.
    """
    folder_hint = ", ".join(config_names())
    config_flags.DEFINE_config_file(
        "config",
        config_path(DEFAULT_CONFIG),
        f"Config file, by path or name ({folder_hint}). Any field can be set by "
        "--config.<field>=value:\n" + config_lib.describe(),
        lock_config=False,
        accept_new_attributes=True,
    )
    if "dataset" in choices:
        flags.DEFINE_string("dataset", None, f"Dataset: {', '.join(plugins.names('data'))}.")
    if "variant" in choices:
        flags.DEFINE_string("variant", None, f"Decoder: {', '.join(plugins.names('likelihoods'))}.")
    if "seed" in choices:
        flags.DEFINE_integer("seed", None, "Seed of everything random in the run.")
    if "precision" in choices:
        precisions = ", ".join(config_lib.PRECISIONS)
        flags.DEFINE_string("precision", None, f"Precision of the networks: {precisions}.")
    if "jit_compile" in choices:
        flags.DEFINE_boolean("jit_compile", None, "Compile the training step with XLA.")


def run(program: str, main: Callable[[], None], doc: str, define_flags: Callable[[], None]) -> None:
    """Runs a command that takes a configuration; see `_command.run`.

    Args:
      program: Name of the command, for its errors.
      main: Does what the parsed flags say.
      doc: What --help says.
      define_flags: Defines the flags of the command.
    """
    try:
        argv = with_config_path(sys.argv)
    except FileNotFoundError as error:
        sys.exit(f"{program}: error: {error}")
    _command.run(main, doc, define_flags, argv)


def with_config_path(argv: list[str]) -> list[str]:
    """The command line with one config, the last one, as a path where it was given by name.

    Of two, `config_flags` would refuse every `--config.<field>` as defined twice.

    Raises:
      FileNotFoundError: If there is no such config; the message lists the shipped ones.
    """
    kept, found, is_value = [], None, False
    for argument in argv:
        name, equals, value = argument.partition("=")
        if is_value:
            found, is_value = argument, False
        elif name not in ("--config", "-config"):
            kept.append(argument)
        elif equals:
            found = value
        else:
            is_value = True
    if is_value:
        kept.append("--config")
    if found is not None:
        kept.insert(1, f"--config={config_path(found)}")
    return kept


def overridden_fields() -> set[str]:
    """The fields that the command line sets by `--config.<field>`; an option as `field.option`."""
    return set(config_flags.get_override_values(flags.FLAGS["config"]))


def resolved_config() -> config_lib.Config:
    """The configuration of the flags.

    Raises:
      ValueError: On an unknown key or a bad value.
      TypeError: On a value of the wrong type.
    """
    values = flags.FLAGS.config.to_dict()
    overridden = overridden_fields()
    for flag, field in FIELD_OF_FLAG.items():
        if flag in flags.FLAGS and getattr(flags.FLAGS, flag) is not None:
            values[field] = getattr(flags.FLAGS, flag)
            overridden.add(field)
    for field, kind in PLUGIN_FIELDS.items():
        if field in overridden and values.get(field) in plugins.names(kind):
            _drop_foreign_options(values, field, kind, overridden)
    path = values["dataset_options"].get("path")
    if isinstance(path, str) and path:
        # The run must be found again from any folder.
        values["dataset_options"]["path"] = os.path.abspath(os.path.expanduser(path))
    return config_lib.Config.from_dict(values)


def _drop_foreign_options(values: dict, field: str, kind: str, overridden: set[str]) -> None:
    """Drops what a config file sets for its own plug-in when the command line takes another."""
    name = f"{field}_options"
    given = values.get(name)
    if name in overridden or not isinstance(given, dict):
        return
    is_network = kind == "networks"
    cls = networks.layers_of(values[field])[0] if is_network else plugins.find(kind, values[field])
    takes = plugins.options(cls)
    values[name] = {k: v for k, v in given.items() if k in takes or f"{name}.{k}" in overridden}
