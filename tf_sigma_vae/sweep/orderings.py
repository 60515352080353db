"""Whether the orderings of the paper hold: its rows in pairs, compared with ours over seeds.

A pair of rows is ordered by the paper if it prints different figures for both. Here it is decided
if Welch's two-sided t-test over the seeds has p below `SIGNIFICANCE`, which at two seeds a row
takes a distance of many standard errors; a pair that is decided agrees with the paper or
contradicts it, and one that is not is open. Smaller is better in every figure that is compared.

Source: Welch 1947 (the test for unequal variances).
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

SIGNIFICANCE = 0.05
AGREES, CONTRADICTS, OPEN = "agrees", "contradicts", "open"
NAMES_SHOWN = 3
"""Rows that a cell names before it counts the rest."""

ROUNDING = 1e-12
"""Differences below this part of the figures are rounding: seeds that agree so have no spread."""


class Entry(NamedTuple):
    """A row of a table, with its figure of one kind."""

    name: str
    """In a cell."""
    paper: float | None
    """As printed; None where the paper has none."""
    values: tuple[float, ...]
    """Ours, one for each seed; empty where there is none."""
    kind: str | None = None
    """Only figures of the same kind can be compared."""


def p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Of Welch's two-sided t-test; of two samples without any spread 0 or 1.

    Args:
      first: At least two figures.
      second: At least two figures.
    """
    means, variances, sizes = [], [], []
    for values in (np.asarray(first, np.float64), np.asarray(second, np.float64)):
        means.append(values.mean())
        variances.append(values.var(ddof=1) / values.size)
        sizes.append(values.size)
    rounding = ROUNDING * max(abs(mean) for mean in means)
    difference = abs(means[0] - means[1])
    if math.sqrt(sum(variances)) <= rounding:
        return 1.0 if difference <= rounding else 0.0
    shares = [v**2 / (n - 1) for v, n in zip(variances, sizes, strict=True)]
    freedom = sum(variances) ** 2 / sum(shares)
    return float(2.0 * stats.t.sf(difference / math.sqrt(sum(variances)), freedom))


def verdict(first: Entry, second: Entry) -> str | None:
    """Whether we find a pair in the order of the paper.

    Returns:
      `AGREES`, `CONTRADICTS` or `OPEN`; None if the paper does not order the pair, or ours cannot
      be compared.
    """
    if first.paper is None or second.paper is None or first.paper == second.paper:
        return None
    if not first.values or not second.values or first.kind != second.kind:
        return None
    if min(len(first.values), len(second.values)) < 2:
        return OPEN
    if p_value(first.values, second.values) >= SIGNIFICANCE:
        return OPEN
    ours = np.mean(first.values) < np.mean(second.values)
    return AGREES if ours == (first.paper < second.paper) else CONTRADICTS


def cells(entries: Sequence[Entry], absent: str = "-") -> list[str]:
    """What each row has to say in the column "ordering holds?".

    Args:
      entries: A table.
      absent: For a row that the paper does not order.
    """
    return [_cell(entry, entries, absent) for entry in entries]


def _cell(entry: Entry, entries: Sequence[Entry], absent: str) -> str:
    by_verdict: dict[str, list[Entry]] = {AGREES: [], CONTRADICTS: [], OPEN: []}
    for other in entries:
        found = None if other is entry else verdict(entry, other)
        if found is not None:
            by_verdict[found].append(other)
    agree, contradict, undecided = by_verdict.values()
    total = len(agree) + len(contradict) + len(undecided)
    if not total:
        return absent
    if len(entry.values) == 1:
        return "1 seed"
    if contradict:
        still_open = f", {len(undecided)} open" if undecided else ""
        return f"no: {_against(entry, contradict)} ({len(agree)} of {total}{still_open})"
    if undecided:
        all_agree = ", all agree" if agree else ""
        return f"open: {_names(undecided)} ({len(agree)} of {total} decided{all_agree})"
    return f"yes ({total} of {total})"


def _against(entry: Entry, others: Sequence[Entry]) -> str:
    """How the row stands here to those to which it stands otherwise in the paper."""
    parts = []
    assert entry.paper is not None, "the paper orders no row without a figure"
    printed = [(other, other.paper) for other in others if other.paper is not None]
    # Better in the paper, hence worse here.
    for word, here in (
        ("worse", [other for other, paper in printed if entry.paper < paper]),
        ("better", [other for other, paper in printed if entry.paper > paper]),
    ):
        if here:
            parts.append(f"{word} than {_names(here)}")
    return "; ".join(parts)


def _names(entries: Sequence[Entry]) -> str:
    names = [entry.name for entry in entries[:NAMES_SHOWN]]
    more = len(entries) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def counts(entries: Sequence[Entry]) -> dict[str, int]:
    """How many pairs of rows agree, contradict and are open."""
    verdicts = [verdict(*pair) for pair in itertools.combinations(entries, 2)]
    return {name: verdicts.count(name) for name in (AGREES, CONTRADICTS, OPEN)}


def summary(entries: Sequence[Entry]) -> str:
    """All pairs in a line."""
    found = counts(entries)
    return (
        f"{found[AGREES]} agree, {found[CONTRADICTS]} contradict, {found[OPEN]} open, of "
        f"{sum(found.values())} pairs"
    )
