"""Plug-ins by name: a module's file name is the name used in flags, configs and files.

A plug-in is a public module of one of the plug-in packages (`data`, `likelihoods`, `networks`,
`models`); a leading underscore marks a module that is not one. There is no registry to edit: a
new file is found by its name.

Another package adds plug-ins by entry points, each a module laid out as those here, or a class:

    [project.entry-points."tf_sigma_vae.likelihoods"]
    laplace = "their_package.laplace:Laplace"
"""

import difflib
import functools
import importlib
import importlib.metadata
import inspect
import pkgutil
import types
from collections.abc import Collection
from typing import Any

PACKAGE = "tf_sigma_vae"
KINDS = {
    "data": "dataset",
    "likelihoods": "likelihood (--variant)",
    "networks": "network",
    "models": "model",
}


def names(kind: str) -> list[str]:
    """Sorted names of the plug-ins of a kind.

    Args:
      kind: One of `KINDS`, which is the name of the package that holds the plug-ins.

    Returns:
      The public module names of the package, and the entry points of installed packages.

    Raises:
      ValueError: If there is no such kind.
    """
    return sorted({*own_names(kind), *_entry_points(kind)})


def own_names(kind: str) -> list[str]:
    """Sorted names of the plug-ins of this package.

    Raises:
      ValueError: If there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of plug-in {kind!r}; the kinds are {sorted(KINDS)}")
    package = importlib.import_module(f"{PACKAGE}.{kind}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name[0] != "_")


@functools.cache
def _entry_points(kind: str) -> dict[str, importlib.metadata.EntryPoint]:
    """The plug-ins of other packages, by name."""
    found = importlib.metadata.entry_points(group=f"{PACKAGE}.{kind}")
    return {point.name: point for point in found}


def _loaded(kind: str, name: str) -> Any:
    """What an entry point names: a module or a class.

    Raises:
      ValueError: If it has the name of a plug-in of this package, or cannot be imported.
    """
    point = _entry_points(kind)[name]
    of_package = "" if point.dist is None else f" of the package {point.dist.name}"
    if name in own_names(kind):
        raise ValueError(
            f"two plug-ins are called {name!r}, one{of_package}: remove that package, or ask its "
            "authors for another name"
        )
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"the {KINDS[kind]} {name!r}{of_package} cannot be imported: {error}"
        ) from error


def import_others(kind: str) -> None:
    """Imports the plug-ins of other packages, so that files that hold their classes can be read.

    Raises:
      ValueError: If one cannot be imported.
    """
    for name in _entry_points(kind):
        _loaded(kind, name)


def find_module(kind: str, name: str) -> types.ModuleType:
    """Imports the module of a plug-in.

    Raises:
      ValueError: If the name is unknown; the message lists the known ones.
    """
    found = _found(kind, name)
    return importlib.import_module(found.__module__) if inspect.isclass(found) else found


def find(kind: str, name: str) -> type[Any]:
    """The plug-in's class; see `class_of`.

    Raises:
      ValueError: If the name is unknown; the message lists the known ones.
    """
    found = _found(kind, name)
    return found if inspect.isclass(found) else class_of(found)


def _found(kind: str, name: str) -> Any:
    """A plug-in of this package, a module, or of another one: a module or a class."""
    known = names(kind)
    if name not in known:
        close = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"unknown {KINDS[kind]} {name!r}; {hint}known: {', '.join(known)}")
    if name in _entry_points(kind):
        return _loaded(kind, name)
    return importlib.import_module(f"{PACKAGE}.{kind}.{name}")


def class_of(module: types.ModuleType) -> type[Any]:
    """The class named as its module is, whatever the case: `VAE` of `vae`, `Mse` of `mse`.

    Raises:
      AttributeError: If the module has none.
    """
    wanted = module.__name__.rpartition(".")[2].replace("_", "")
    for name, value in vars(module).items():
        if inspect.isclass(value) and name.lower() == wanted:
            return value
    raise AttributeError(f"{module.__name__} has no class named {wanted!r}, in any case")


def options(cls: type) -> dict[str, object]:
    """Names and defaults of the options that a plug-in's constructor takes.

    What has no default is given by the model; Keras's own (`name`, `dtype`) do not count.
    """
    # Mypy takes `cls.__init__` for that of an instance, which could be another class's.
    parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = [p for p in parameters if p.kind not in variadic and p.default is not p.empty]
    return {p.name: p.default for p in named if p.name not in ("self", "name", "dtype")}


def check_options(cls: type, given: dict, what: str, besides: Collection[str] = ()) -> None:
    """Checks that a plug-in takes every given option.

    Args:
      cls: The plug-in's class.
      given: The options.
      what: The plug-in, for the message.
      besides: Names of arguments that are no options, for they are given in another way.

    Raises:
      ValueError: Naming the unknown option and those the plug-in takes.
    """
    allowed = set(options(cls)) - set(besides)
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        takes = ", ".join(sorted(allowed)) or "no options"
        raise ValueError(f"{what} has no option {', '.join(map(repr, unknown))}; it takes: {takes}")
