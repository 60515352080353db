import pytest

from tf_sigma_vae.config import Config
from tf_sigma_vae.sweep import budgets

BASE = Config(num_epochs=7, log_every_steps=50)


def applied(name, *given, study=None):
    return budgets.applied(BASE, given, study or {}, budgets.budget(name).config)


def test_the_paper_s_budget_is_that_of_the_configuration():
    assert applied("paper") == BASE
    assert budgets.budget("paper").seeds == (0, 1, 2)


def test_a_short_training_is_of_two_epochs():
    config = applied("short")
    assert (config.num_epochs, config.num_train_steps) == (2, None)
    assert budgets.budget("short").distance_samples == 5_000


def test_a_smoke_test_is_of_a_few_steps():
    config = applied("smoke")
    assert (config.num_train_steps, config.log_every_steps) == (20, 2)
    assert budgets.budget("smoke").num_examples == 256


@pytest.mark.parametrize("given", ["num_epochs", "num_train_steps"])
def test_a_given_length_goes_before_that_of_the_budget(given):
    config = applied("smoke", given)
    assert (config.num_epochs, config.num_train_steps) == (7, None)
    assert config.log_every_steps == 2


def test_what_is_given_goes_before_the_budget_and_that_before_the_study():
    study = {"log_every_steps": 10}
    assert applied("paper", study=study).log_every_steps == 10
    assert applied("smoke", study=study).log_every_steps == 2
    assert applied("smoke", "log_every_steps", study=study).log_every_steps == 50


def test_an_unknown_budget_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown budget 'large'; known: paper, short, smoke"):
        budgets.budget("large")
