"""Everything public has a docstring, and what users import is in the README."""

import ast
import importlib
import pathlib
import re

import pytest

from tests.project._imports import modules_of


def public_modules(package: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the modules of which no part of the name starts with an underscore."""
    return {
        module: path
        for module, path in modules_of(package).items()
        if not any(part.startswith("_") for part in module.split("."))
    }


def find_undocumented(tree: ast.Module, module: str) -> list[str]:
    """Returns the public names of a module without a docstring, methods included."""
    missing = [] if ast.get_docstring(tree) else [module]

    def visit(node, prefix):
        for child in node.body:
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if child.name.startswith("_") or _is_setter(child) or _is_overload(child):
                continue
            if not ast.get_docstring(child):
                missing.append(f"{prefix}.{child.name}")
            if isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}.{child.name}")

    visit(tree, module)
    return missing


def _is_setter(node) -> bool:
    return any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in node.decorator_list)


def _is_overload(node) -> bool:
    """Whether it is only a signature, which the documented function implements."""
    return any(ast.unparse(d).rpartition(".")[2] == "overload" for d in node.decorator_list)


def test_everything_public_has_a_docstring(repository_root):
    missing = []
    for module, path in public_modules(repository_root / "tf_sigma_vae").items():
        missing += find_undocumented(ast.parse(path.read_text(encoding="utf-8")), module)
    assert missing == []


@pytest.mark.parametrize("module", ["", ".models", ".likelihoods"])
def test_public_names_are_in_the_readme(repository_root, module):
    readme = (repository_root / "README.md").read_text(encoding="utf-8")
    names = importlib.import_module(f"tf_sigma_vae{module}").__all__
    assert names
    assert [name for name in names if not re.search(rf"\b{re.escape(name)}\b", readme)] == []


def test_what_has_no_docstring_is_found():
    source = '''
"""A module."""

class Shown:
    """A class."""

    def method(self):
        def inner():
            pass

    def _hidden(self):
        pass

@overload
def function(): ...

def function():
    pass
'''
    assert find_undocumented(ast.parse(source), "m") == ["m.Shown.method", "m.function"]
    assert find_undocumented(ast.parse("x = 1"), "m") == ["m"]
