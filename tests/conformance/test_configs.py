"""Every file of configs/ is a configuration whose model can be built for its images."""

import ast
import importlib.util
import pathlib

import pytest

from tf_sigma_vae import build
from tf_sigma_vae.cli import _config_flag
from tf_sigma_vae.config import Config
from tf_sigma_vae.training import loop

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(FOLDER.glob("[!_]*.py"))
IMAGE_SHAPES = {
    "digits": (8, 8, 1),
    "mnist": (28, 28, 1),
    "fashion_mnist": (28, 28, 1),
    "svhn": (28, 28, 3),
    "frey_face": (28, 20, 1),
    "npz": (32, 32, 3),
    "cifar10": (32, 32, 3),
    "celeba": (64, 64, 3),
    "moving_mnist": (64, 64, 1),
    "bair_push": (64, 64, 3),
}
"""What the datasets of the configs give; the data themselves are not needed."""
OWN_FILE = {"npz": {"path": "images.npz"}}
"""Options that a user has to give, for the user's own data."""
NUM_TRAIN = 10_000
BUILT_BY_DEFAULT = {"digits_vae", "moving_mnist_small"}
"""Of images and of clips. The others take a second each, and hierarchies tens of seconds."""


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def file(request):
    return request.param


@pytest.fixture
def values(file):
    spec = importlib.util.spec_from_file_location(f"loaded_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def test_the_shipped_configs_are_found_by_the_flag():
    assert [path.stem for path in FILES] == _config_flag.config_names()
    assert {"digits_vae", "mnist_vae", "svhn_vae", "pixels_vae"} <= {path.stem for path in FILES}


def test_a_config_is_valid_and_its_parts_exist(values):
    options = {**values.dataset_options, **OWN_FILE.get(values.dataset, {})}
    values.dataset_options = options
    build.check(Config.from_dict(values))


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(
            path, id=path.stem, marks=() if path.stem in BUILT_BY_DEFAULT else pytest.mark.slow
        )
        for path in FILES
    ],
    indirect=True,
)
def test_its_model_can_be_built_and_compiled_for_its_images(values):
    config = Config.from_dict(values)
    shape = IMAGE_SHAPES[config.dataset]
    if "image_size" in config.dataset_options:
        shape = (*[config.dataset_options["image_size"]] * 2, shape[-1])
    model = loop.compiled_model(config, shape, build.num_train_steps(config, NUM_TRAIN))
    assert model.image_shape == shape
    assert model.top_size == config.latent_size
    assert model.likelihood.name == "likelihood"
    assert type(model.likelihood) is type(build.likelihood(config))
    assert model.count_params() > 1000
    assert len(model.optimizer.variables) > len(model.trainable_variables)


def test_its_header_names_the_command_that_runs_it(file):
    docstring = ast.get_docstring(ast.parse(file.read_text()))
    (command,) = [line for line in docstring.splitlines() if line.startswith("Command:")]
    assert f"sigma-vae-train --config=configs/{file.name} " in command + " "
    assert "--workdir=" in command
    for heading in ("Cost:", "Score:"):
        (line,) = [line for line in docstring.splitlines() if line.startswith(heading)]
        # A sentence, and no placeholder.
        assert len(line.removeprefix(heading).split()) > 1
