"""Reads the import graph of a package from its source, without importing it."""

import ast
import pathlib


def modules_of(package: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns every module below `package` by its dotted name."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        modules[".".join(parts)] = path
    return modules


def imported_names(path: pathlib.Path, module: str) -> list[tuple[int, str]]:
    """Returns `(line, absolute dotted name)` of every import in a file, also inside functions.

    `from a import b` yields `a.b`: whether `b` is a module is for the caller to decide.
    """
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return names_imported_by(nodes, module, is_package=path.name == "__init__.py")


def names_imported_by(nodes, module: str, is_package: bool) -> list[tuple[int, str]]:
    """As `imported_names`, of the nodes of a syntax tree."""
    names = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names.extend((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package)
            names.extend((node.lineno, f"{base}.{alias.name}") for alias in node.names)
    return names


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    drop = node.level - 1 if is_package else node.level
    parts = parts[: len(parts) - drop]
    return ".".join([*parts, node.module] if node.module else parts)


def import_graph(package: pathlib.Path) -> dict[str, set[str]]:
    """Returns module -> modules of the same package that it imports."""
    modules = modules_of(package)
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        targets = set()
        for _, name in imported_names(path, module):
            if name.split(".")[0] != package.name:
                continue
            while name not in modules and "." in name:
                name = name.rpartition(".")[0]
            targets.add(name)
        graph[module] = targets - {module}
    return graph
