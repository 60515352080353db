"""Every key of the configuration is read, and every file of configs/ is a configuration."""

import ast
import dataclasses
import importlib.util
import pathlib
import typing

import ml_collections
import pytest

from tests.project._imports import modules_of
from tf_sigma_vae import config as config_lib

CONFIG_FILES = sorted(
    path
    for path in (pathlib.Path(__file__).resolve().parents[2] / "configs").glob("*.py")
    if not path.name.startswith("_")
)
FIRST_CONFIGS = {
    "digits_vae",
    "mnist_vae",
    "fashion_mnist_vae",
    "svhn_vae",
    "frey_face_vae",
    "pixels_vae",
}


def field_names(record_type) -> set[str]:
    """Returns the fields of a dataclass and of the dataclasses inside it."""
    hints = typing.get_type_hints(record_type)
    names = set()
    for field in dataclasses.fields(record_type):
        names.add(field.name)
        for inner in (hints[field.name], *typing.get_args(hints[field.name])):
            if dataclasses.is_dataclass(inner):
                names |= field_names(inner)
    return names


def config_attributes_read(tree: ast.Module) -> set[str]:
    """Returns the attributes that a module reads from something whose name says `config`.

    The name is asked for so that, say, `layer.name` does not count as reading `config.name`.
    """
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            if any("config" in name for name in _names_in(node.value)):
                names.add(node.attr)
    return names


def _names_in(expression: ast.expr) -> list[str]:
    named = {ast.Name: "id", ast.Attribute: "attr", ast.keyword: "arg"}
    nodes = [node for node in ast.walk(expression) if type(node) in named]
    return [getattr(node, named[type(node)]) or "" for node in nodes]


def load_config(path: pathlib.Path) -> ml_collections.ConfigDict:
    """Returns what a configuration file describes, loaded by path as the flag does."""
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def test_every_field_of_the_config_is_read(repository_root):
    read = set()
    for module, path in modules_of(repository_root / "tf_sigma_vae").items():
        if module != "tf_sigma_vae.config":
            read |= config_attributes_read(ast.parse(path.read_text(encoding="utf-8")))
    assert field_names(config_lib.Config) - read == set()


def test_the_first_configurations_are_there():
    assert {path.stem for path in CONFIG_FILES} >= FIRST_CONFIGS


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.stem)
def test_config_file_describes_a_valid_config(path):
    described = load_config(path)
    assert isinstance(described, ml_collections.ConfigDict)
    config = config_lib.Config.from_dict(described.to_dict())
    assert isinstance(config, config_lib.Config)


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.stem)
def test_config_file_says_how_to_run_it(path):
    header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert header and f"--config=configs/{path.name}" in header


def test_an_unknown_key_is_refused():
    described = load_config(CONFIG_FILES[0]).to_dict()
    described["no_such_key"] = 1
    with pytest.raises((ValueError, TypeError), match="no_such_key"):
        config_lib.Config.from_dict(described)


def test_a_field_that_nobody_reads_is_found():
    tree = ast.parse("def f(config, layer):\n    return config.optimizer.beta, layer.seed")
    assert config_attributes_read(tree) == {"optimizer", "beta"}


def test_fields_of_inner_records_are_found():
    @dataclasses.dataclass
    class Inner:
        depth: int

    record = dataclasses.make_dataclass("Outer", [("inner", Inner | None), ("width", int)])
    assert field_names(record) == {"inner", "depth", "width"}
