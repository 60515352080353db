"""The README's requests, typed as they stand, are answered."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_probability as tfp

from tests.cli._finished_run import finished_run
from tests.export import _servers
from tf_sigma_vae.evaluation.runs import FinishedRun
from tf_sigma_vae.export import release

# A release, a server and a dozen requests.
pytestmark = pytest.mark.slow

SERVED = {
    "encode": "z_mean",
    "decode": "scale",
    "reconstruct": "mean",
    "sample": "z",
    "elbo": "bits_per_dim",
    "anomaly": "z_score",
    "reconstruct_bytes": "b64",
    "anomaly_bytes": "z_score_bytes",
}
"""Every signature that the README asks, and what must be in its answer."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    # As the README's digits: ten latent dimensions.
    return finished_run(tmp_path_factory.mktemp("runs") / "run", latent_size=10)


@pytest.fixture(scope="module")
def server(run, tmp_path_factory, repository_root):
    folder = tmp_path_factory.mktemp("served")
    release.release(run, os.fspath(folder / "digits"), num_examples=20)
    log = folder / "server.log"
    with _servers.start_double(repository_root, folder / "digits", "digits", log) as double:
        yield double


@pytest.fixture
def block(repository_root):
    """Returns `block(language, word)`: the README's code block that holds a word."""
    readme = (repository_root / "README.md").read_text(encoding="utf-8")

    def find(language, word):
        blocks = re.findall(rf"^```{language}\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
        (found,) = [text for text in blocks if word in text]
        return found

    return find


def test_every_request_by_curl_is_answered(server, block, tmp_path):
    script = block("bash", "ask()").replace("localhost:8501", server.addresses["rest"])
    script = script.replace("ask() { curl", "ask() { echo @$1; curl")
    (tmp_path / "runs").mkdir()
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "no_proxy": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    asked = dict(part.split("\n", 1) for part in done.stdout.split("@")[1:])
    assert set(asked) == set(SERVED)
    for name, answer in asked.items():
        assert SERVED[name] in json.dumps(json.loads(answer)["outputs"]), name


def test_the_client_of_the_readme_gets_distributions(server, block, run):
    script = block("python", "Client(").replace("localhost:8500", server.addresses["grpc"])
    images = FinishedRun(run).images("test", 3).astype(np.float32) / np.float32(255)
    names = {"images": images}
    exec(compile(script, "README.md", "exec"), names)
    with names["Client"](server.addresses["grpc"], name="digits") as client:
        likelihood = client.decode(names["z"])
    assert isinstance(likelihood, tfp.distributions.Distribution)
    expected = FinishedRun(run).model().decode(names["z"]).log_prob(images)
    np.testing.assert_allclose(likelihood.log_prob(images), expected, rtol=1e-5)
