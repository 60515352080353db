"""A package of someone else's that adds a likelihood and a network by entry points."""

import json
import subprocess
import sys

import pytest

from tf_sigma_vae import plugins

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "their-heads"
version = "1.0"

[project.entry-points."tf_sigma_vae.likelihoods"]
laplace = "their_heads:Laplace"

[project.entry-points."tf_sigma_vae.networks"]
their_dense = "their_networks"

[tool.setuptools]
py-modules = ["their_heads", "their_networks"]
"""
LAPLACE = '''
import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.likelihoods import Likelihood


@keras.saving.register_keras_serializable("their_heads")
class Laplace(Likelihood):
    """Of one trained scale."""

    scale_per = "image"
    value_range = (0.0, 1.0)

    def build(self, input_shape):
        self.log_scale_weight = self.add_weight(name="log_scale", initializer="zeros")
        self.built = True

    def params_channels(self, channels):
        return channels

    def distribution(self, params, x=None, training=False):
        loc = tf.sigmoid(tf.cast(params, tf.float32))
        scale = tf.exp(tf.convert_to_tensor(self.log_scale_weight))
        return tfd.Independent(tfd.Laplace(loc, scale), 3)

    def parameters(self, distribution):
        mean = distribution.mean()
        scale = tf.fill(tf.shape(mean)[:1], distribution.distribution.scale)
        return {"mean": mean, "laplace_scale": scale}

    def provenance(self):
        return {"source": "weights"}
'''
NETWORKS = "from tf_sigma_vae.networks.dense import Decoder, Encoder\n"
USED = """
import json, sys
import numpy as np
import tf_sigma_vae as sv
from tf_sigma_vae import plugins

sv.testing.check_likelihood("laplace")
x = np.random.default_rng(0).integers(0, 256, (6, 4, 6, 1)).astype(np.float32) / 255
model = sv.models.VAE((4, 6, 1), 2, "laplace", "their_dense", {"hidden_sizes": [5]})
model.compile("adam")
history = model.fit(x, verbose=0).history
model.save(sys.argv[1])
print(json.dumps({"names": plugins.names("likelihoods"), "elbo": model.evaluate(
    x, verbose=0, return_dict=True)["elbo"]}))
"""
LOADED = """
import json, sys
import numpy as np
import tf_sigma_vae as sv

x = np.random.default_rng(0).integers(0, 256, (6, 4, 6, 1)).astype(np.float32) / 255
model = sv.load(sys.argv[1])
print(json.dumps({"kind": type(model.likelihood).__name__, "elbo": model.evaluate(
    x, verbose=0, return_dict=True)["elbo"]}))
"""


def output_of(command, folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(folder))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_a_package_that_is_built_and_installed_is_used_by_name(tmp_path, monkeypatch):
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "their_heads.py").write_text(LAPLACE)
    (source / "their_networks.py").write_text(NETWORKS)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    output_of([*pip, "--no-build-isolation", f"--target={installed}", str(source)], "", monkeypatch)
    file = str(tmp_path / "model.keras")
    used, loaded = (
        json.loads(output_of([sys.executable, "-c", code, file], installed, monkeypatch))
        for code in (USED, LOADED)
    )
    assert {"laplace", "gaussian_optimal"} <= set(used["names"])
    assert loaded == {"kind": "Laplace", "elbo": used["elbo"]}
    shown = output_of(
        [
            *(sys.executable, "-m", "tf_sigma_vae.cli.train", "--dataset=synthetic", "--dry_run"),
            *("--variant=laplace", "--config.network=their_dense"),
        ],
        installed,
        monkeypatch,
    )
    assert "laplace" in shown and "their_dense" in shown


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Returns a function that makes entry points of a package in a folder on the path."""

    def install(module, kind, name, value):
        (tmp_path / f"{value.partition(':')[0]}.py").write_text(module)
        metadata = tmp_path / "their_heads-1.0.dist-info"
        metadata.mkdir()
        about = "Metadata-Version: 2.1\nName: their-heads\nVersion: 1.0\n"
        (metadata / "METADATA").write_text(about)
        (metadata / "entry_points.txt").write_text(f"[tf_sigma_vae.{kind}]\n{name} = {value}\n")
        monkeypatch.syspath_prepend(tmp_path)
        plugins._entry_points.cache_clear()

    yield install
    monkeypatch.undo()
    plugins._entry_points.cache_clear()


def test_a_class_and_a_module_are_found(installed):
    installed("class Laplace:\n    pass\n", "data", "theirs", "their_data_1:Laplace")
    assert "theirs" in plugins.names("data") and "theirs" not in plugins.own_names("data")
    assert plugins.find("data", "theirs").__name__ == "Laplace"
    assert plugins.find_module("data", "theirs").__name__ == "their_data_1"


def test_a_module_of_the_class_of_its_name_is_found(installed):
    installed("class TheirData2:\n    pass\n", "data", "theirs", "their_data_2")
    assert plugins.find("data", "theirs").__name__ == "TheirData2"


def test_a_name_of_ours_is_refused(installed):
    installed("class Digits:\n    pass\n", "data", "digits", "their_data_3:Digits")
    with pytest.raises(ValueError, match="two plug-ins are called 'digits', one of the pack"):
        plugins.find("data", "digits")


@pytest.mark.parametrize(
    ("module", "value"), [("import nowhere\n", "their_data_4"), ("", "their_data_5:Absent")]
)
def test_what_cannot_be_imported_is_named(installed, module, value):
    installed(module, "data", "theirs", value)
    with pytest.raises(ValueError, match="'theirs' of the package their-heads cannot be imp"):
        plugins.find("data", "theirs")
