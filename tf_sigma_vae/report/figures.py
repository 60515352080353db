"""Figures of records in the cells of tables, and what of several runs belongs together."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.table import ABSENT, number
from tf_sigma_vae.report import elements
from tf_sigma_vae.report.content import Run

SATURATED = "†"
"""Mark of an interval whose lower end the number of examples holds down."""

MEASURE_NAMES = {
    "density": "density",
    "mass": "mass of 8-bit values",
    None: "not normalized",
}
"""Of what an elbo is a bound."""


TINY = 1e-6
"""Below which decimals would be a row of zeros."""


def cell(metric: dict | None) -> str:
    """`value ± standard error`; a dash where there is no figure."""
    if metric is None:
        return ABSENT
    value, error = metric["value"], metric.get("standard_error") or 0.0
    if error and max(abs(value), error) < TINY:
        return f"{value:.2g} ± {error:.2g}"
    return number(Estimate(value, error, metric.get("unit", "")))


def metric_of(measure: str, name: str) -> Callable[[Run], dict | None]:
    """What gives a metric of a measure of a run, or None where the run has none."""
    return lambda run: run.measure_named(measure).get("metrics", {}).get(name)


def metric_rows(runs: Sequence[Run], measure: str, names: Iterable[str]) -> list[list]:
    """Rows of a table: name with unit, and a cell for each run; of metrics that any run has."""
    rows = []
    for name in names:
        metrics = [metric_of(measure, name)(run) for run in runs]
        units = [metric.get("unit", "") for metric in metrics if metric is not None]
        if units:
            rows.append([elements.with_unit(name, units[0]), *map(cell, metrics)])
    return rows


def interval_cell(interval: dict | None, saturated: bool = False) -> str:
    """`lower to upper`, with a mark where more examples would raise the lower end."""
    if not interval:
        return ABSENT
    text = f"{_two_digits(interval['lower'])} to {_two_digits(interval['upper'])}"
    return f"{text} {SATURATED}" if saturated else text


def _two_digits(value: float) -> str:
    """Two decimals; of what is too small for them, two significant digits."""
    if abs(value) >= 0.1:
        return f"{value:.2f}"
    if abs(value) < TINY:
        return f"{value:.2g}"
    return np.format_float_positional(value, precision=2, fractional=False, trim="-")


def by_measure(runs: Sequence[Run]) -> dict[str | None, list[int]]:
    """Indices of the runs by what their elbo is a bound of: only within these it compares."""
    groups: dict[str | None, list[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(run.measure, []).append(index)
    return groups


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
