import numpy as np
import pytest
from scipy import stats

from tf_sigma_vae.sweep import orderings
from tf_sigma_vae.sweep.orderings import Entry

EXACT = 1e-9
"""Rounding of the quantile functions."""

CLOSE = 0.01


def entry(name, paper, center, seeds=3, kind="density"):
    """A row whose seeds lie close together around a figure."""
    return Entry(name, paper, tuple(center + CLOSE * k for k in range(seeds)), kind)


@pytest.mark.parametrize(("first", "second"), [(3, 3), (2, 5), (4, 2)])
def test_p_is_that_of_welch(first, second):
    random = np.random.default_rng(first)
    one, other = random.normal(size=first), 1.0 + 3.0 * random.normal(size=second)
    expected = stats.ttest_ind(one, other, equal_var=False).pvalue
    assert orderings.p_value(one, other) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ([2.0, 2.0], [2.0, 2.0], 1.0),
        ([0.0, 0.0], [0.0, 0.0], 1.0),
        ([2.0, 2.0], [3.0, 3.0, 3.0], 0.0),
        # They differ by rounding.
        ([0.1 + 0.2, 0.3], [0.3, 0.3], 1.0),
    ],
)
def test_seeds_without_a_spread_differ_or_not(first, second, p):
    assert orderings.p_value(first, second) == p


def test_one_row_without_a_spread_can_be_compared():
    assert 0.0 < orderings.p_value([2.0, 2.0], [3.0, 5.0]) < 1.0


def test_a_pair_agrees_contradicts_or_is_open():
    low, high = entry("low", 1.0, 10.0), entry("high", 2.0, 20.0)
    assert orderings.verdict(low, high) == orderings.verdict(high, low) == "agrees"
    swapped = entry("swapped", 3.0, 5.0)
    assert orderings.verdict(low, swapped) == orderings.verdict(swapped, low) == "contradicts"
    wide = Entry("wide", 3.0, (5.0, 25.0, 15.0), "density")
    assert orderings.verdict(low, wide) == "open"
    assert orderings.verdict(low, entry("same", 3.0, 10.0)) == "open"


def test_two_seeds_take_a_distance_of_many_standard_errors():
    # t of 1 and 2 degrees of freedom is above 4.3 only.
    near, far = Entry("near", 2.0, (1.0, 3.0)), Entry("far", 2.0, (101.0, 103.0))
    base = Entry("base", 1.0, (-1.0, 1.0))
    assert orderings.verdict(base, near) == "open"
    assert orderings.verdict(base, far) == "agrees"


@pytest.mark.parametrize(
    "other",
    [
        entry("unprinted", None, 20.0),
        entry("tie", 1.0, 20.0),
        entry("mass", 2.0, 20.0, kind="mass"),
        Entry("unmeasured", 2.0, (), "density"),
    ],
)
def test_pairs_that_cannot_be_compared_count_for_nothing(other):
    one = entry("one", 1.0, 10.0)
    assert orderings.verdict(one, other) is None
    assert orderings.cells([one, other]) == ["-", "-"]
    assert orderings.summary([one, other]) == "0 agree, 0 contradict, 0 open, of 0 pairs"


def test_cells_say_with_whom_a_row_is_at_odds():
    entries = [
        entry("a", 1.0, 10.0),
        entry("b", 2.0, 30.0),
        entry("c", 3.0, 20.0),
        Entry("d", 4.0, (39.0, 1.0, 80.0), "density"),
        entry("bernoulli", None, 0.0),
    ]
    assert orderings.cells(entries) == [
        "open: d (2 of 3 decided, all agree)",
        "no: worse than c (1 of 3, 1 open)",
        "no: better than b (1 of 3, 1 open)",
        "open: a, b, c (0 of 3 decided)",
        "-",
    ]
    assert orderings.summary(entries) == "2 agree, 1 contradict, 3 open, of 6 pairs"


def test_a_row_in_its_place_holds():
    entries = [entry(str(place), float(place), 10.0 * place) for place in range(4)]
    assert orderings.cells(entries) == ["yes (3 of 3)"] * 4
    assert orderings.summary(entries) == "6 agree, 0 contradict, 0 open, of 6 pairs"


def test_a_row_at_odds_with_others_above_and_below_says_both():
    entries = [entry("low", 1.0, 30.0), entry("middle", 2.0, 20.0), entry("high", 3.0, 10.0)]
    assert orderings.cells(entries)[1] == "no: worse than high; better than low (0 of 2)"


def test_one_seed_decides_nothing():
    entries = [entry("a", 1.0, 10.0, seeds=1), entry("b", 2.0, 20.0), entry("c", 3.0, 30.0)]
    assert orderings.cells(entries) == [
        "1 seed",
        "open: a (1 of 2 decided, all agree)",
        "open: a (1 of 2 decided, all agree)",
    ]


def test_a_long_list_is_cut():
    wide = Entry("wide", 0.0, (0.0, 900.0), "density")
    others = [entry(name, 1.0 + place, 10.0 * place) for place, name in enumerate("abcde")]
    assert orderings.cells([wide, *others])[0] == "open: a, b, c and 2 more (0 of 5 decided)"
