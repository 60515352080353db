"""The architecture as tests: imports go downwards, and names say what is inside."""

import ast
import graphlib
import pathlib

import pytest

from tests.project._imports import import_graph, names_imported_by

# From the top to the bottom. "" is the package's own __init__, what a user imports.
LAYERS = (
    ("cli",),
    ("",),
    ("export", "report"),
    ("sweep",),
    ("evaluation",),
    ("training",),
    ("build",),
    ("data", "models", "testing"),
    ("networks",),
    ("likelihoods", "objectives"),
    ("distributions",),
    ("workdir", "animation", "video_frames"),
    ("image_grid",),
    ("config", "content_hash", "plugins", "noise", "replicas", "rows", "version"),
)
LAYER_OF = {unit: index for index, units in enumerate(LAYERS) for unit in units}

# Edges that the order above would allow, or say nothing of, and that must not be.
FORBIDDEN_EDGES = {
    ("data", "models"): "they meet in build only",
    ("models", "data"): "they meet in build only",
    ("networks", "likelihoods"): "the decoder is told how many channels to emit",
}

FORBIDDEN_IMPORTS = (
    "tf_keras",
    "tensorflow.keras",
    "tensorflow.python",
    "keras.src",
    "tensorflow_probability.layers",
    "tensorflow_probability.python",
)
FORBIDDEN_ATTRIBUTES = {
    ("tf", "keras"),
    ("tf", "python"),
    ("tensorflow", "keras"),
    ("keras", "src"),
    ("tfp", "layers"),
    ("tensorflow_probability", "layers"),
}
FORBIDDEN_FILE_WORDS = ("utils", "util", "helpers", "helper", "common", "misc")

SOURCE_FOLDERS = ("tf_sigma_vae", "tests", "benchmarks", "configs", "examples", "launch")


def unit_of(module: str) -> str:
    """Returns the part of a dotted name that has a place in LAYERS."""
    return module.split(".")[1] if "." in module else ""


def find_edge_errors(graph: dict[str, set[str]]) -> list[str]:
    """Returns one line for each import that breaks the layering."""
    errors = []
    for module in sorted(graph):
        source = unit_of(module)
        if source not in LAYER_OF:
            errors.append(f"{module}: unit {source!r} has no place in LAYERS")
            continue
        for target_module in sorted(graph[module]):
            target = unit_of(target_module)
            if target not in LAYER_OF or target == source:
                continue
            reason = FORBIDDEN_EDGES.get((source, target))
            if LAYER_OF[target] < LAYER_OF[source]:
                reason = "upward"
            elif source == "config":
                reason = "config imports nothing of ours"
            if reason:
                errors.append(f"{module} imports {target_module}: {reason}")
    return errors


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Returns the modules of one import cycle, or an empty list."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def find_name_errors(path: pathlib.Path) -> list[str]:
    """Returns the words in a file's or folder's name that say nothing."""
    words = [word for part in path.with_suffix("").parts for word in part.split("_")]
    return [f"{path}: {word!r}" for word in words if word in FORBIDDEN_FILE_WORDS]


def find_forbidden_imports(path: pathlib.Path) -> list[str]:
    """Returns uses of private or Keras 2 interfaces."""
    errors, nodes = [], list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    for line, name in names_imported_by(nodes, "outside", path.name == "__init__.py"):
        for forbidden in FORBIDDEN_IMPORTS:
            if f"{name}.".startswith(f"{forbidden}."):
                errors.append(f"{path}:{line}: imports {name}")
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in FORBIDDEN_ATTRIBUTES:
                errors.append(f"{path}:{node.lineno}: {node.value.id}.{node.attr}")
    return errors


def source_files(root: pathlib.Path) -> list[pathlib.Path]:
    """Returns every Python file of the project."""
    files = [path for folder in SOURCE_FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    assert files, f"no source below {root}"
    return files


def test_imports_go_downwards_and_have_no_cycle(repository_root):
    graph = import_graph(repository_root / "tf_sigma_vae")
    assert find_edge_errors(graph) == []
    assert find_cycle(graph) == []


@pytest.mark.parametrize(("folder", "most_lines"), [("launch", 40), ("examples", 100)])
def test_scripts_over_the_library_are_thin(repository_root, folder, most_lines):
    scripts = [path for path in (repository_root / folder).glob("*") if path.is_file()]
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in scripts}
    assert {name: count for name, count in lines.items() if count > most_lines} == {}


def test_file_names_say_what_is_inside(repository_root):
    files = [path.relative_to(repository_root) for path in source_files(repository_root)]
    assert [e for path in files for e in find_name_errors(path)] == []


def test_no_private_or_keras_2_interface_is_used(repository_root):
    files = source_files(repository_root)
    assert [e for path in files for e in find_forbidden_imports(path)] == []


@pytest.fixture
def write_package(tmp_path):
    """Returns a function that writes `{relative path: source}` as a package and returns it."""

    def write(files):
        package = tmp_path / "tf_sigma_vae"
        for name, source in files.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        return package

    return write


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"networks/dense.py": "from tf_sigma_vae.models import vae", "models/vae.py": ""},
            "upward",
        ),
        ({"networks/dense.py": "from ..models.vae import VAE", "models/vae.py": ""}, "upward"),
        ({"replicas.py": "def f():\n    import tf_sigma_vae.build", "build.py": ""}, "upward"),
        ({"data/digits.py": "import tf_sigma_vae", "__init__.py": ""}, "upward"),
        ({"data/digits.py": "from tf_sigma_vae import models", "models/__init__.py": ""}, "meet"),
        ({"models/vae.py": "from tf_sigma_vae import data", "data/__init__.py": ""}, "meet"),
        (
            {
                "networks/a.py": "from tf_sigma_vae import likelihoods",
                "likelihoods/__init__.py": "",
            },
            "channels",
        ),
        ({"config.py": "from tf_sigma_vae import plugins", "plugins.py": ""}, "nothing of ours"),
        ({"shiny/new.py": ""}, "no place"),
    ],
)
def test_a_forbidden_edge_is_found(write_package, files, expected):
    errors = find_edge_errors(import_graph(write_package(files)))
    assert len(errors) == 1
    assert expected in errors[0]


def test_a_downward_edge_is_allowed(write_package):
    graph = import_graph(
        write_package(
            {
                "__init__.py": "from tf_sigma_vae.models import VAE",
                "models/__init__.py": "from .vae import VAE",
                "models/vae.py": "from tf_sigma_vae import objectives\nimport numpy as np",
                "objectives.py": "",
            }
        )
    )
    assert graph["tf_sigma_vae.models.vae"] == {"tf_sigma_vae.objectives"}
    assert graph["tf_sigma_vae.models"] == {"tf_sigma_vae.models.vae"}
    assert find_edge_errors(graph) == []
    assert find_cycle(graph) == []


def test_a_cycle_is_found(write_package):
    graph = import_graph(
        write_package(
            {
                "data/a.py": "from tf_sigma_vae.data import b",
                "data/b.py": "def f():\n    from .a import g",
            }
        )
    )
    assert set(find_cycle(graph)) == {"tf_sigma_vae.data.a", "tf_sigma_vae.data.b"}


@pytest.mark.parametrize("name", ["utils.py", "image_utils.py", "common/io.py", "data/misc.py"])
def test_a_name_that_says_nothing_is_found(name):
    assert len(find_name_errors(pathlib.Path(name))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import tf_keras",
        "import tensorflow.keras as keras",
        "from tensorflow import keras",
        "from keras.src import ops",
        "from tensorflow.python.ops import math_ops",
        "from tensorflow_probability.python.internal import dtype_util",
        "import tensorflow as tf\ntf.keras.layers.Dense(1)",
        "import tensorflow_probability as tfp\ntfp.layers.DistributionLambda",
    ],
)
def test_a_forbidden_import_is_found(tmp_path, source):
    path = tmp_path / "bad.py"
    path.write_text(source, encoding="utf-8")
    assert len(find_forbidden_imports(path)) == 1
