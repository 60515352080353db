import numpy as np
import pytest

from tf_sigma_vae.sweep import knee

EXACT = 1e-9
"""Rounding of float64, through a logarithm."""

BETAS = [0.001, 0.01, 0.1, 1.0, 10.0]
# From beta = 0.1 down it rises by 5 nats a decade.
RISING = [10.0, 5.0, 0.0, 0.0, 0.0]


def test_a_bend_is_the_change_of_the_slope_towards_smaller_beta():
    assert knee.bends(BETAS, RISING) == pytest.approx([0.0, 5.0, 0.0], abs=EXACT)
    steady = 3.0 * np.log10(BETAS)
    assert knee.bends(BETAS, steady) == pytest.approx(np.zeros(3), abs=EXACT)


def test_the_spacing_of_the_grid_does_not_matter():
    betas = [0.001, 0.02, 0.1, 0.3, 10.0]
    curve = [5.0 * np.log10(0.1 / beta) if beta < 0.1 else 0.0 for beta in betas]
    assert knee.bends(betas, curve) == pytest.approx([0.0, 5.0, 0.0], abs=EXACT)


def test_the_knee_lies_between_the_neighbours_of_the_strongest_bend():
    found = knee.knee(BETAS, RISING, rises=True)
    assert (found.beta, found.bracket) == (0.1, (0.01, 1.0))
    assert found.bend == pytest.approx(5.0, rel=EXACT)
    # It levels off where a curve that rises with beta stops to fall.
    leveling = [7.0, 7.0, 7.0, 4.0, 1.0]
    found = knee.knee(BETAS, leveling, rises=False)
    assert (found.beta, found.bend) == (0.1, pytest.approx(-3.0, rel=EXACT))


def test_narrow_intervals_leave_one_knee():
    curve = np.array(RISING)
    (found,) = knee.possible_knees(BETAS, curve - 0.1, curve + 0.1, rises=True)
    assert (found.beta, found.bracket) == (0.1, (0.01, 1.0))


def test_wide_intervals_leave_all():
    curve = np.array(RISING)
    found = knee.possible_knees(BETAS, curve - 5.0, curve + 5.0, rises=True)
    assert [each.beta for each in found] == [0.01, 0.1, 1.0]


@pytest.mark.parametrize("rises", [True, False])
def test_every_curve_within_the_intervals_has_a_possible_knee(rises):
    random = np.random.default_rng(5)
    lower = np.array(RISING) * (1.0 if rises else -1.0)
    upper = lower + np.array([4.0, 1.0, 0.5, 1.5, 0.1])
    possible = {each.beta for each in knee.possible_knees(BETAS, lower, upper, rises)}
    assert len(possible) == 2
    for curve in random.uniform(lower, upper, size=(500, 5)):
        assert knee.knee(BETAS, curve, rises).beta in possible


def test_two_betas_have_no_bend():
    with pytest.raises(ValueError, match="takes 3 betas, got 2"):
        knee.bends([0.1, 1.0], [0.0, 1.0])


def test_a_bracket_holds_its_ends():
    bracket = knee.Bracket(0.1, 1.0)
    assert [bracket.holds(beta) for beta in (0.09, 0.1, 0.5, 1.0, 1.1)] == [
        False,
        True,
        True,
        True,
        False,
    ]
