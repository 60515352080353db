"""Networks whose features distances are measured in, one plug-in a file.

A plug-in is a public module that holds a subclass of `Extractor` named as the module is, in
CamelCase; a leading underscore marks a module that is none. All are made as `cls(path=...)`.
"""

import importlib
import pkgutil

from tf_sigma_vae import plugins
from tf_sigma_vae.evaluation.fid.extractors._base import Extractor


def names() -> list[str]:
    """Sorted names of the extractors."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_")


def find(name: str) -> type[Extractor]:
    """The class of an extractor.

    Raises:
      ValueError: If the name is unknown; the message lists the known ones.
    """
    if name not in names():
        raise ValueError(f"unknown extractor {name!r}; known: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return plugins.class_of(module)


__all__ = ["Extractor", "find", "names"]
