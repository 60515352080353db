import json
import os

import pytest

from tests.cli._in_process import TINY, Command
from tf_sigma_vae import config as config_lib
from tf_sigma_vae import plugins
from tf_sigma_vae.cli import _config_flag
from tf_sigma_vae.config import Config
from tf_sigma_vae.training import loop
from tf_sigma_vae.training.preemption import Preempted

# ml_collections loads a config file with it.
pytestmark = pytest.mark.filterwarnings(r"ignore:the load_module\(\) method:DeprecationWarning")


@pytest.fixture
def command(monkeypatch, capsys):
    return Command(monkeypatch, capsys)


@pytest.fixture
def resolved(command, monkeypatch):
    """Runs the command up to the training; returns what it would train."""

    def call(*arguments):
        given = {}
        monkeypatch.setattr(
            loop, "train", lambda config, workdir, **kw: given.update(config=config, **kw)
        )
        assert command("--workdir=absent", *arguments) == 0, command.error
        return given

    return call


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--confog=mnist_vae"], ["Unknown command line flag 'confog'", "config"]),
        (["--config.learnin_rate=1"], ["unknown config key 'learnin_rate'", "learning_rate"]),
        (["--variant=gaus"], ["unknown likelihood (--variant) 'gaus'", "gaussian_optimal", "mse"]),
        (["--dataset=minst"], ["unknown dataset 'minst'; did you mean 'mnist'", "digits"]),
        (["--config.network=conv82"], ["unknown network 'conv82'", "conv28, dcgan64, dense"]),
        (["--config.model=gan"], ["unknown model 'gan'", "vae"]),
        (["--strategy=all"], ["unknown strategy 'all'", "auto, one_device, mirrored"]),
        (["--config=absent_vae"], ["no config file 'absent_vae'", "digits_vae", "pixels_vae"]),
        (["--config.latent_size=many"], ["config.latent_size"]),
        (["--config.learning_rate=fast"], ["config.learning_rate"]),
        (["--config.flip=perhaps"], ["config.flip"]),
        (["--config.num_train_steps=2.5"], ["config.num_train_steps"]),
        (["--seed=x"], ["seed"]),
        (["--seed=-1"], ["config.seed must be at least 0, got -1"]),
        (["--config.learning_rate=-1"], ["config.learning_rate must be above 0.0, got -1.0"]),
        (["--config.precision=float64"], ["must be one of ('float32', 'mixed_bfloat16'"]),
        (["--config.likelihood_options.momentun=0.5"], ["has no option 'momentun'", "momentum"]),
        (["--config.likelihood_options.momentum=2"], ["momentum must lie in [0, 1), got 2"]),
        (["--config.dataset_options.sise=2"], ["has no option 'sise'", "image_size"]),
        (["--config.network_options.width=4"], ["has no option 'width'", "hidden_sizes"]),
        (["--config.warmup_steps=1000"], ["config.warmup_steps (1000) must be below"]),
        (["--dataset=npz"], ["npz", "path"]),
        (["surplus"], ["unexpected arguments: surplus"]),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_before_any_work(
    command, tmp_path, arguments, words
):
    workdir = tmp_path / "run"
    assert command(*TINY, f"--workdir={workdir}", *arguments) == 1
    for word in words:
        assert word in command.error
    assert not workdir.exists()


def test_a_workdir_is_needed(command):
    assert command(*TINY) == 1
    assert "error: --workdir is needed" in command.error


def test_a_dry_run_shows_what_would_be_trained_and_writes_nothing(command, tmp_path):
    workdir = tmp_path / "run"
    assert command(*TINY, f"--workdir={workdir}", "--dry_run", "--config.beta=2") == 0
    output = command.output
    printed, _ = json.JSONDecoder().raw_decode(output[output.index("{") :])
    config = Config.from_dict(printed)
    assert (config.beta, config.dataset, config.latent_size) == (2.0, "synthetic", 2)
    # Encoder 16 -> 8 -> 4, decoder 2 -> 8 -> 16.
    assert "encoder (Encoder)" in output
    assert "train: 18 images (4, 4, 1) uint8" in output
    assert "validation: 2 images" in output
    assert "test: 4 images" in output
    weights = (16 * 8 + 8) + (8 * 4 + 4) + (2 * 8 + 8) + (8 * 16 + 16)
    model = loop.compiled_model(config, (4, 4, 1), 30)
    assert sum(v.numpy().size for v in model.trainable_variables) == weights
    assert f"trainable parameters: {weights}; training steps: 180" in output
    assert "first batch: float32 (8, 4, 4, 1) in [0." in output
    assert list(tmp_path.iterdir()) == []


def test_the_default_is_the_config_of_the_embedded_data(resolved):
    config = resolved()["config"]
    assert (config.dataset, config.likelihood) == ("digits", "gaussian_optimal")
    assert config.network_options == {"width": 16}


@pytest.mark.parametrize(
    "spelling",
    [
        ["--config=mnist_vae"],
        ["--config", "mnist_vae"],
        ["-config=mnist_vae"],
        ["--config=configs/mnist_vae.py"],
        ["--config", _config_flag.config_path("mnist_vae")],
    ],
)
def test_a_config_is_chosen_by_name_or_path(resolved, spelling):
    config = resolved(*spelling, "--config.latent_size=7")["config"]
    assert (config.dataset, config.latent_size, config.network_options) == ("mnist", 7, {})


def test_a_config_of_ones_own_is_found_by_its_path(resolved, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from tf_sigma_vae.config import base\n\n"
        "def get_config():\n    config = base()\n    config.beta = 3.5\n    return config\n"
    )
    assert resolved(f"--config={file}")["config"].beta == 3.5


def test_flags_override_what_the_config_says(resolved):
    arguments = ["--config=svhn_vae", "--config.dataset_options={}", "--dataset=mnist"]
    arguments += ["--variant=gaussian_shared", "--seed=7", "--config.seed=3"]
    config = resolved(*arguments)["config"]
    assert (config.dataset, config.likelihood, config.seed) == ("mnist", "gaussian_shared", 7)


def test_other_flags_reach_the_training(resolved):
    given = resolved("--data_dir=somewhere", "--download", "--strategy=one_device")
    # The run is evaluated from any folder.
    assert (given["data_dir"], given["download"]) == (os.path.abspath("somewhere"), True)
    assert given["strategy_name"] == "one_device"


@pytest.mark.parametrize(
    ("argument", "field", "value"),
    [
        ("likelihood_options.initial_scale=data", "likelihood_options", {"initial_scale": "data"}),
        ("likelihood_options.initial_scale=0.5", "likelihood_options", {"initial_scale": 0.5}),
        ("network_options.width=8", "network_options", {"width": 8}),
        ("dataset_options.path=/a/b.npz", "dataset_options", {"path": "/a/b.npz"}),
        (
            "dataset_options.path=my images",
            "dataset_options",
            {"path": os.path.abspath("my images")},
        ),
        ("num_train_steps=12", "num_train_steps", 12),
        ("learning_rate=1", "learning_rate", 1.0),
        ("learning_rate=1e-4", "learning_rate", 1e-4),
        ("flip=true", "flip", True),
        ("precision=mixed_bfloat16", "precision", "mixed_bfloat16"),
    ],
)
def test_any_field_can_be_set(resolved, argument, field, value):
    found = getattr(resolved(f"--config.{argument}")["config"], field)
    assert found == value
    assert type(found) is type(value)


def test_help_lists_every_field_and_plug_in(command):
    # absl exits with 1 after its help.
    assert command("--helpshort") in (0, 1)
    assert command("--helpfull") == 1
    shown = " ".join(command.output.split())
    for line in config_lib.describe().splitlines():
        assert line.partition("=")[0].strip() in shown
    for kind in ("data", "likelihoods"):
        assert ", ".join(plugins.names(kind)) in shown
    for flag in ("--workdir", "--data_dir", "--[no]download", "--strategy", "--[no]dry_run"):
        assert flag in shown


def test_a_run_asked_to_stop_says_so_and_exits_with_its_code(command, monkeypatch):
    def stopped(*args, **kwargs):
        raise Preempted("stopped by SIGTERM at step 3")

    monkeypatch.setattr(loop, "train", stopped)
    assert command("--workdir=absent") == 42
    assert "stopped by SIGTERM at step 3" in command.output
