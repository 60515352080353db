"""What a report shows: runs with their measures, curves and pictures, and the sweep they are of."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

MAX_RUNS = 18
"""On one page: as many as there are ways to draw a line that can be told apart."""


class Run(NamedTuple):
    """One column of the tables, one line of the charts."""

    name: str
    """Short, and different from the others'."""
    workdir: str
    """Where it is, as it was given."""
    config: dict[str, Any]
    """The resolved configuration."""
    measure: str | None
    """Of what its elbo is a bound: a "density", a "mass", or None where it is of neither."""
    history: Sequence[dict]
    """Lines of metrics.jsonl."""
    measures: dict[str, dict]
    """By name: evaluation, information, calibration, distances; what there is."""
    absent: dict[str, str]
    """Why each other measure is not there, in words."""
    pictures: dict[str, np.ndarray]
    """uint8 `[H, W, C]`: `prior_mean`, `prior_noisy`, `reconstructions`; of videos `strips` and
    `one_step`."""
    failed: Sequence[str] = ()
    """Which of `absent` are so because figures are not finite: something is wrong with the run."""
    film: bytes | None = None
    """A GIF file of rollouts, of a model of videos."""
    of_videos: bool = False
    """Whether the examples are clips."""

    def measure_named(self, name: str) -> dict:
        """A measure, or an empty record."""
        return self.measures.get(name, {})

    def series(self, split: str, metric: str) -> tuple[list[int], list[float]]:
        """Steps and values of a metric of the training; empty if it has none.

        Args:
          split: "train" or "validation".
          metric: As in metrics.jsonl.
        """
        lines = [line for line in self.history if line["split"] == split and metric in line]
        return [line["step"] for line in lines], [line[metric] for line in lines]


class Sweep(NamedTuple):
    """The sweep that the runs are of."""

    name: str
    """Its folder."""
    table: str | None
    """Text of its table.md."""
    pictures: dict[str, bytes]
    """PNG files by name, without the suffix."""


class Content(NamedTuple):
    """All that a page shows."""

    runs: Sequence[Run]
    """The first is the one that the others are compared with."""
    split: str
    """Of the images that were measured."""
    num_train: int
    """Images of the training split, N."""
    sweep: Sweep | None = None
    notices: Sequence[str] = ()
    """What a reader must know before anything else."""

    @property
    def of_videos(self) -> bool:
        """Whether the runs are of videos; all are, or none."""
        return self.runs[0].of_videos


def short_names(names: Sequence[str]) -> list[str]:
    """The names without the seed that they all end with: what tells them apart.

    `["beta=1-seed0", "gaussian_shared-seed0"]` -> `["beta=1", "gaussian_shared"]`.
    """
    seeds = {(re.search(r"-seed\d+$", name) or [""])[0] for name in names}
    if len(names) < 2 or len(seeds) > 1:
        return list(names)
    return [name.removesuffix(next(iter(seeds))) for name in names]
