"""The Python of the README names what there is, and runs as it stands."""

import ast
import functools
import importlib
import inspect
import re

import numpy as np
import pytest

import tf_sigma_vae


@pytest.fixture(scope="module")
def python_blocks(repository_root):
    readme = (repository_root / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)


def _ours(expression):
    """What an expression `sv.a.b` stands for, or None if it is something else."""
    names = ast.unparse(expression).split(".")
    if names[0] != "sv" or not all(name.isidentifier() for name in names):
        return None
    return functools.reduce(getattr, names[1:], tf_sigma_vae)


def test_what_the_readme_imports_and_calls_is_there(python_blocks):
    called = set()
    for node in (node for block in python_blocks for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("tf_sigma_vae"):
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
        if isinstance(node, ast.Call) and (function := _ours(node.func)) is not None:
            known = inspect.signature(function).parameters
            keywords = {keyword.arg for keyword in node.keywords}
            if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
                assert keywords <= set(known), ast.unparse(node)
            called.add(ast.unparse(node.func))
    assert called >= {"sv.models.VAE", "sv.models.SequenceVAE", "sv.models.WithLikelihood"}


@pytest.fixture(scope="module")
def namespace(python_blocks, tmp_path_factory):
    """What the README's Python blocks leave behind, run one after the other in an empty folder."""
    # What asks a server is run beside one, in tests/export.
    blocks = [block for block in python_blocks if "localhost" not in block]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("readme"))
        names = {}
        exec(compile("\n".join(blocks), "README.md", "exec"), names)
    return names


@pytest.mark.slow
def test_the_restored_model_scores_as_the_trained_one(namespace):
    x = namespace["images"][:8]
    trained, restored = (namespace[name](x).distortion for name in ("model", "restored"))
    np.testing.assert_array_equal(restored, trained)


@pytest.mark.slow
def test_the_wrapped_model_predicts_one_learned_scale(namespace):
    x = namespace["images"][:8]
    scale = namespace["net"](x).stddev().numpy()
    assert scale.shape == x.shape and np.ptp(scale) == 0.0
    # Two steps of up to 1e-3 in log_scale from a start at 1, up or down as the initial weights are.
    assert 0.0 < abs(np.log(scale.flat[0])) < 2.1e-3


@pytest.mark.slow
def test_the_video_model_generates_from_two_frames(namespace):
    context = namespace["clips"][:1, :2]
    frames = namespace["video"].generate(context, num_frames=3, num_samples=2)
    assert frames.shape == (1, 2, 3, 32, 32, 1)
    assert np.all((frames >= 0.0) & (frames <= 1.0))


def test_the_library_example_is_ten_lines(python_blocks):
    (block,) = [block for block in python_blocks if "sv.models.VAE" in block]
    statements = [line for line in block.splitlines() if line and not line.startswith("import")]
    assert len(statements) <= 10
