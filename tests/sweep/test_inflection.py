import pytest

from tests.sweep import _fakes
from tf_sigma_vae.sweep import inflection


def measured(name, seed, rate, lower, upper, beta_equivalent=None, saturated=False):
    record = _fakes.information(rate, lower, upper, saturated)
    beta = float(name.removeprefix("beta=")) if beta_equivalent is None else beta_equivalent
    return _fakes.result(name, seed, beta_equivalent=beta, measured={"information": record})


def grid(width=0.1, **given):
    """I levels off, and the marginal KL starts to rise, below beta = 0.1."""
    return [
        measured(f"beta={beta}", 0, rate, information - width, information, **given)
        for beta, rate, information in ((10, 1, 1), (1, 6, 6), (0.1, 11, 11), (0.01, 17, 12))
    ]


def optimal(beta_equivalent, **given):
    return measured("gaussian_optimal", 0, 12.0, 11.0, 11.1, beta_equivalent, **given)


def test_a_point_is_the_mean_over_seeds_with_the_extremes():
    runs = [
        measured("gaussian_optimal", 0, 12.0, 8.0, 10.0, 0.2),
        measured("gaussian_optimal", 1, 14.0, 9.0, 13.0, 0.4, saturated=True),
    ]
    (point,) = inflection.points(runs)
    assert (point.beta, point.rate, point.saturated) == (pytest.approx(0.3), 13.0, True)
    assert point.intervals["mutual_information"] == (8.5, 11.5, 8.0, 13.0)
    assert point.intervals["marginal_kl"] == (1.5, 4.5, 1.0, 5.0)


def test_rows_without_a_place_or_a_measure_are_passed_over():
    record = {"information": _fakes.information(5.0, 3.0, 4.0)}
    runs = [
        _fakes.result("gaussian_optimal", beta_equivalent=0.2),
        _fakes.result("gaussian_per_pixel", beta_equivalent=0.2, measured=record),
        _fakes.result("bernoulli", measure=None, measured=record),
    ]
    assert inflection.points(runs) == []


@pytest.mark.parametrize(
    ("beta_equivalent", "place", "answer"),
    [(0.02, "inside", "yes"), (5.0, "above", "no"), (0.001, "below", "no")],
)
def test_a_calibrated_decoder_is_at_the_knee_or_not(beta_equivalent, place, answer):
    lines = inflection.text([*grid(), optimal(beta_equivalent)])
    rows = [line.split(" | ") for line in lines if line.startswith("| marginal KL")]
    assert [row[1:4:2] for row in rows] == [["0.1", "+5"], ["0.1", "+5"]]
    assert [row[2] for row in rows] == ["0.01 to 1", "0.01 to 1"]
    assert {row[-1].removesuffix(" |") for row in rows} == {place}
    (sentence,) = (line for line in lines if line.startswith("- marginal KL"))
    assert "knee at beta = 0.1, hence in 0.01 to 1." in sentence
    assert sentence.endswith(f"? gaussian_optimal {answer}.")


def test_wide_intervals_decide_nothing():
    lines = inflection.text([*grid(width=20.0), optimal(0.02)])
    (sentence,) = (line for line in lines if line.startswith("- marginal KL"))
    assert "beta = 0.1, 1 (any point: the intervals do not tell), hence in 0.01 to 10" in sentence
    assert sentence.endswith("gaussian_optimal undecided.")


def test_saturation_is_said():
    assert not any("saturated" in line for line in inflection.text([*grid(), optimal(0.02)]))
    lines = inflection.text([*grid(saturated=True), optimal(0.02)])
    assert "saturated" in lines[-1]


@pytest.mark.parametrize("runs", [grid(), [*grid()[:2], optimal(0.02)], [optimal(0.02)], []])
def test_without_a_bend_or_a_calibrated_decoder_nothing_is_said(runs):
    assert inflection.text(runs) == []


def test_a_decoder_of_a_given_scale_is_not_asked_about():
    fixed = measured("gaussian_fixed", 0, 1.0, 0.9, 1.0, 2.0)
    lines = inflection.text([*grid(), fixed, optimal(0.02)])
    assert lines
    assert not any("gaussian_fixed" in line for line in lines)
    assert inflection.text([*grid(), fixed]) == []
