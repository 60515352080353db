"""How much is spent on the runs of a sweep, by name."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from tf_sigma_vae.config import Config

LENGTH = ("num_epochs", "num_train_steps")
"""Fields that say how long to train; who gives one of them has decided on both."""


class Budget(NamedTuple):
    """Defaults of a sweep; what is given explicitly goes before them."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """A run of every row for each."""
    config: Mapping[str, object] = {}
    """Fields of the configuration."""
    num_examples: int = 0
    """Most images of a split that are evaluated; 0 for all."""
    information_examples: int = 10_000
    """Most images whose posteriors are held against one another."""
    distance_samples: int = 10_000
    """Samples, and as many images, that distances are between."""


BUDGETS = {
    # The training of the configuration file.
    "paper": Budget(),
    # Orderings that are plain to see; two seeds are the fewest with a standard error.
    "short": Budget(
        seeds=(0, 1),
        config={"num_epochs": 2, "num_train_steps": None, "rate_warmup_steps": 0},
        information_examples=5_000,
        distance_samples=5_000,
    ),
    # Whether all works, in minutes; its figures say nothing.
    "smoke": Budget(
        seeds=(0, 1),
        config={
            "num_train_steps": 20,
            "log_every_steps": 2,
            "warmup_steps": 0,
            "rate_warmup_steps": 0,
        },
        num_examples=256,
        information_examples=256,
        distance_samples=256,
    ),
}


def budget(name: str) -> Budget:
    """The budget of a name.

    Raises:
      ValueError: If there is none; the message lists them.
    """
    if name not in BUDGETS:
        raise ValueError(f"unknown budget {name!r}; known: {', '.join(BUDGETS)}")
    return BUDGETS[name]


def applied(config: Config, given: Collection[str], *defaults: Mapping[str, Any]) -> Config:
    """A configuration with the defaults of a study, a budget, in this order, but for what is given.

    Args:
      config: Of the configuration file and the command line.
      given: Fields that the command line sets; an option as `field.option`.
      *defaults: Fields and their values; a later one goes before an earlier.

    Raises:
      ValueError: On a bad value.
      TypeError: On a value of the wrong type.
    """
    fields = {field.split(".")[0] for field in given}
    if fields & set(LENGTH):
        fields |= set(LENGTH)
    changes = {name: value for each in defaults for name, value in each.items()}
    return dataclasses.replace(
        config, **{name: value for name, value in changes.items() if name not in fields}
    )
