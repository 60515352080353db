"""What the runs of a sweep have given: a figure for each run, and over seeds for each row."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_sigma_vae.evaluation.evaluate import Evaluation, ordered
from tf_sigma_vae.sweep import studies

RUN_COLUMNS = ("row", "variant", "beta", "seed", "measure", "dataset", "split")
PROTOCOL_COLUMNS = ("num_examples", "num_samples", "step")
MEASURED = (
    "frechet_label",
    "distance_samples",
    "draw",
    "information_examples",
    "information_latent",
    "information_saturated",
)
"""Columns that say how the measures were made."""

DISTANCES = ("frechet", "kid")
INTERVALS = ("mutual_information", "marginal_kl")
"""Quantities of which a run has the ends of an interval, `<name>_lower` and `<name>_upper`."""

DERIVED = (
    "nll",
    "squared_error",
    "validation_elbo",
    *DISTANCES,
    *(f"{name}_{end}" for name in INTERVALS for end in ("lower", "upper")),
)
"""The figures of a run beside the metrics of its evaluation."""


def figure_names(names: Iterable[str]) -> list[str]:
    """Those of the names that are figures of a run, in the order of tables."""
    names = set(names)
    return [*ordered(names), *(name for name in DERIVED if name in names)]


class Curve(NamedTuple):
    """The lines of a training's log: means over the steps since the line before."""

    steps: tuple[int, ...]
    """Of the lines, ascending."""
    log_scale: tuple[float, ...]
    """Log of the standard deviation."""
    nll: tuple[float, ...]
    """`-elbo`, nats an image, of the training images."""


class Result(NamedTuple):
    """An evaluated run."""

    row: studies.Row
    seed: int
    evaluation: Evaluation
    validation: Evaluation | None = None
    """On the validation split; of the runs of the grid, where there is such a split."""
    information: dict | None = None
    """Content of `information.json`, if it was measured."""
    distances: dict | None = None
    """Content of `distances.json`, if they were measured."""
    curve: Curve | None = None
    """Of the training, where the study is about it."""

    @property
    def measure(self) -> str | None:
        """Of what the elbo is a bound: a density, a mass, or None where it is of neither."""
        return self.evaluation.protocol["measure"]

    def figures(self) -> dict[str, float]:
        """Values by the names of `figure_names`.

        To the metrics come `nll`, the bound `-elbo` on -log p in nats where the likelihood is
        normalized, and `squared_error` of an image in data^2, summed over pixels and channels.
        """
        metrics = self.evaluation.metrics
        found = {name: metrics[name].value for name in ordered(metrics)}
        if self.measure is not None and "elbo" in found:
            found["nll"] = -found["elbo"]
        if "mse" in found:
            num_dims = math.prod(self.evaluation.protocol["image_shape"])
            found["squared_error"] = num_dims * found["mse"]
        if self.validation is not None and "elbo" in self.validation.metrics:
            found["validation_elbo"] = self.validation.metrics["elbo"].value
        if self.distances is not None:
            found |= {name: self.distances["metrics"][name]["value"] for name in DISTANCES}
        if self.information is not None:
            for name in INTERVALS:
                ends = self.information[name]
                found |= {f"{name}_{end}": ends[end] for end in ("lower", "upper")}
        return found

    def errors(self) -> dict[str, float]:
        """Standard errors over images, of the figures that have one."""
        metrics = self.evaluation.metrics
        found = {name: metrics[name].standard_error for name in ordered(metrics)}
        if self.distances is not None:
            measured = self.distances["metrics"]
            found |= {name: measured[name]["standard_error"] for name in DISTANCES}
        return found


class OverSeeds(NamedTuple):
    """A figure over the seeds of a row."""

    value: float
    """Mean."""
    standard_error: float | None
    """`std / sqrt(seeds)`; None for one seed."""
    values: tuple[float, ...]
    """Of each seed."""


class Summary(NamedTuple):
    """A row over its seeds."""

    row: studies.Row
    seeds: tuple[int, ...]
    measure: str | None
    figures: dict[str, OverSeeds]
    """By the names of `figure_names`; what no run has is absent."""


def over_seeds(values: Sequence[float]) -> OverSeeds:
    """Mean and standard error of independent runs."""
    array = np.asarray(values, np.float64)
    error = None
    if array.size > 1:
        error = float(array.std(ddof=1) / np.sqrt(array.size))
    return OverSeeds(float(array.mean()), error, tuple(array.tolist()))


def summaries(results: Sequence[Result]) -> list[Summary]:
    """A summary for each row, in the order of the results."""
    by_row: dict[str, list[Result]] = {}
    for result in results:
        by_row.setdefault(result.row.name, []).append(result)
    found = []
    for runs in by_row.values():
        each = [run.figures() for run in runs]
        # A mean over some of the seeds would not be the row's.
        shared = figure_names(set.intersection(*map(set, each)))
        figures = {name: over_seeds([f[name] for f in each]) for name in shared}
        seeds = tuple(run.seed for run in runs)
        found.append(Summary(runs[0].row, seeds, runs[0].measure, figures))
    return found


def best_of_grid(found: Sequence[Summary], split: str) -> tuple[Summary | None, str]:
    """The best beta of the grid, by the highest mean elbo.

    Args:
      found: Summaries; those that are not of the grid are passed over.
      split: The evaluated split, by which is chosen where there is no validation split.

    Returns:
      The summary (None without a grid) and the name of the split by which it was chosen.
    """
    grid = [summary for summary in found if summary.row.beta is not None]
    if not grid:
        return None, ""
    validated = all("validation_elbo" in summary.figures for summary in grid)
    figure = "validation_elbo" if validated else "elbo"
    best = max(grid, key=lambda summary: summary.figures[figure].value)
    return best, "validation" if validated else split


def results_csv(results: Sequence[Result]) -> str:
    """A line for each run: what it was, and every figure with its standard error over images."""
    names = figure_names(name for result in results for name in result.figures())
    with_error = {name for result in results for name in result.errors()}
    errors = {n: f"{n}_standard_error_over_images" for n in names if n in with_error}
    measured = [column for column in MEASURED if any(column in _how(each) for each in results)]
    text = io.StringIO()
    heading = [*RUN_COLUMNS, *PROTOCOL_COLUMNS]
    for name in names:
        heading += [name, errors[name]] if name in errors else [name]
    writer = csv.DictWriter(text, [*heading, *measured], lineterminator="\n")
    writer.writeheader()
    for result in results:
        row, protocol = result.row, result.evaluation.protocol
        beta = "" if row.beta is None else row.beta
        line: dict[str, Any] = {"row": row.name, "variant": row.likelihood, "beta": beta}
        line |= {"seed": result.seed, "measure": result.measure or "none"}
        line |= {name: protocol[name] for name in ("dataset", "split", *PROTOCOL_COLUMNS)}
        line |= result.figures() | _how(result)
        line |= {errors[name]: error for name, error in result.errors().items()}
        writer.writerow(line)
    return text.getvalue()


def latent_of(information: dict) -> str:
    """What of the latent a record of information is of: `"whole"`, or a hierarchy's `"top"`."""
    return information["protocol"].get("latent", "whole")


def _how(result: Result) -> dict[str, Any]:
    """How the measures of a run were made, by the names of `MEASURED`."""
    found: dict[str, Any] = {}
    if result.distances is not None:
        samples = result.distances["protocol"]["samples"]
        found |= {"frechet_label": result.distances["labels"]["frechet"]}
        found |= {"distance_samples": samples["num_images"], "draw": samples["draw"]}
    if result.information is not None:
        found["information_examples"] = result.information["protocol"]["num_examples"]
        found["information_latent"] = latent_of(result.information)
        found["information_saturated"] = result.information["saturated"]
    return found
