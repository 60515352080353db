"""The Python of the README runs as it stands."""

import re

import numpy as np
import pytest


@pytest.fixture(scope="module")
def namespace(repository_root, tmp_path_factory):
    """What the README's Python blocks leave behind, run one after the other in an empty folder."""
    readme = (repository_root / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    # What asks a server is run beside one, in tests/export.
    blocks = [block for block in blocks if "localhost" not in block]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("readme"))
        names = {}
        exec(compile("\n".join(blocks), "README.md", "exec"), names)
    return names


def test_the_restored_model_scores_as_the_trained_one(namespace):
    x = namespace["images"][:8]
    trained, restored = (namespace[name](x).distortion for name in ("model", "restored"))
    np.testing.assert_array_equal(restored, trained)


def test_the_wrapped_model_predicts_one_learned_scale(namespace):
    x = namespace["images"][:8]
    scale = namespace["net"](x).stddev().numpy()
    assert scale.shape == x.shape and np.ptp(scale) == 0.0
    # Two steps of up to 1e-3 in log_scale from a start at 1, up or down as the initial weights are.
    assert 0.0 < abs(np.log(scale.flat[0])) < 2.1e-3


def test_the_video_model_generates_from_two_frames(namespace):
    context = namespace["clips"][:1, :2]
    frames = namespace["video"].generate(context, num_frames=3, num_samples=2)
    assert frames.shape == (1, 2, 3, 32, 32, 1)
    assert np.all((frames >= 0.0) & (frames <= 1.0))


def test_the_library_example_is_ten_lines(repository_root):
    readme = (repository_root / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^```python\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL).group(1)
    statements = [line for line in block.splitlines() if line and not line.startswith("import")]
    assert len(statements) <= 10
