"""Options of a config file when the command line takes another plug-in."""

import pytest

from tests.cli._in_process import TINY, Command

# ml_collections loads a config file with it.
pytestmark = pytest.mark.filterwarnings(r"ignore:the load_module\(\) method:DeprecationWarning")


@pytest.fixture
def train(monkeypatch, capsys):
    return Command(monkeypatch, capsys)


def test_options_of_the_plug_in_that_is_not_taken_are_dropped(train):
    # digits_vae sets the width of conv28, which dense does not have.
    assert train("--dry_run", "--config=digits_vae", "--config.network=dense") == 0
    assert '"network_options": {}' in train.output


def test_options_of_a_hierarchy_are_dropped_with_it(train):
    flat = ("--config.model=vae", "--config.network=conv28", "--config.num_train_steps=200")
    assert train("--dry_run", "--config=cifar10_hvae_small", "--dataset=digits", *flat) == 0
    assert '"model_options": {}' in train.output and '"network_options": {}' in train.output
    # One without the other.
    assert train("--dry_run", "--config=digits_vae", "--config.network=ladder32") != 0
    assert "is for a ladder latent" in train.error


def test_options_given_with_the_plug_in_stay(train):
    assert train("--dry_run", *TINY, "--config.network_options={'hidden_sizes': [3]}") == 0
    assert '"hidden_sizes": [\n      3' in train.output


def test_a_wrong_option_on_the_command_line_is_still_refused(train):
    assert train("--dry_run", "--config.network=dense", "--config.network_options.width=3") != 0
    assert "activation, hidden_sizes" in train.error
    assert "image_shape" not in train.error


@pytest.mark.parametrize("value", ["5", "['a']", "[0]"])
def test_sizes_of_the_wrong_kind_are_named_before_any_data(train, value):
    options = ("--dataset=npz", "--config.dataset_options.path=/nowhere", "--config.network=dense")
    assert train("--dry_run", *options, f"--config.network_options.hidden_sizes={value}") != 0
    assert "hidden_sizes must be" in train.error


def test_an_option_can_be_of_another_type_than_in_the_config_file(train):
    # A list of a list, a number that becomes a list, and so on.
    given = ["latents=[[4,1],[1,1]]", "latent_channels=[2]", "channels=4"]
    options = [f"--config.network_options.{option}" for option in given]
    command = ["--dry_run", "--config=cifar10_hvae_small", "--config.num_train_steps=200"]
    assert train(*command, "--dataset=digits", *options) == 0
