import math

import pytest

from tests.sweep import _fakes
from tf_sigma_vae.sweep import information_plot, tables


def measured(name, seed, rate, lower, upper, beta_equivalent, saturated=False):
    record = _fakes.information(rate, lower, upper, saturated, num_examples=50)
    return _fakes.result(
        name, seed, beta_equivalent=beta_equivalent, measured={"information": record}
    )


RUNS = [
    measured("beta=1", 0, 5.0, 3.0, 4.0, 1.0),
    measured("beta=1", 1, 7.0, 4.0, 6.0, 1.0),
    measured("beta=0.1", 0, 9.0, 3.5, 8.0, 0.1, saturated=True),
    measured("gaussian_optimal", 0, 6.0, 3.0, 5.0, 0.3),
    measured("gaussian_shared", 0, 6.5, 3.0, 5.0, 0.3),
]


@pytest.fixture(scope="module")
def panels():
    about = tables.About("figure4", _fakes.config(), 1234, "test", 7, num_train=18)
    return information_plot.figure(about, RUNS).axes


def labels(axes):
    return axes.get_legend_handles_labels()[1]


def test_the_rate_and_the_band_go_over_the_grid(panels):
    information, marginal = panels
    assert (information.get_xscale(), marginal.get_xscale()) == ("log", "log")
    for axes in panels:
        rate = axes.lines[0]
        assert (list(rate.get_xdata()), list(rate.get_ydata())) == ([0.1, 1.0], [9.0, 6.0])
    band = information.collections[0].get_paths()[0].vertices
    assert sorted({y for x, y in band if x == 1.0}) == [3.5, 5.0]
    band = marginal.collections[0].get_paths()[0].vertices
    assert sorted({y for x, y in band if x == 0.1}) == [1.0, 5.5]


def test_extremes_over_seeds_are_drawn(panels):
    bars = panels[0].collections[1].get_segments()
    assert [bar[:, 1].tolist() for bar in bars] == [[3.5, 8.0], [3.0, 6.0]]


def test_calibrated_decoders_stand_at_what_they_learned_side_by_side(panels):
    optimal, shared = panels[0].containers
    assert optimal.get_label() == "gaussian_optimal (beta_equivalent 0.3)"
    places = [container.lines[2][0].get_segments()[0] for container in (optimal, shared)]
    assert places[0].tolist() == [pytest.approx([0.3, 3.0]), pytest.approx([0.3, 5.0])]
    assert places[1][0][0] > 0.3 * 1.01


def test_ceilings_and_saturation_are_marked(panels):
    information, marginal = panels
    heights = [line.get_ydata()[0] for line in information.lines if len(line.get_xdata()) == 2]
    assert {math.log(50), math.log(18)} <= set(heights)
    assert any("log S = 3.91" in label for label in labels(information))
    assert any("log N = 2.89" in label for label in labels(information))
    for axes, end in ((information, 3.5), (marginal, 5.5)):
        (cross,) = (line for line in axes.lines if line.get_marker() == "x")
        assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([0.1], [end])
    assert not any("log" in label for label in labels(marginal))


def test_a_sweep_without_a_grid_is_drawn():
    about = tables.About("figure4", _fakes.config(), 1234, "test", 7)
    (information, _) = information_plot.figure(about, RUNS[-2:]).axes
    assert len(information.containers) == 2
    assert not any("log N" in label for label in labels(information))


def test_the_picture_of_top_levels_says_that_it_is_of_them():
    about = tables.About("figure4", _fakes.config(), 1234, "test", 7, num_train=18)
    record = {"information": _fakes.information(2.0, 1.0, 1.5, latent="top")}
    deep = _fakes.result("beta=1", beta_equivalent=1.0, measured=record)
    titles = [information_plot.figure(about, runs).get_suptitle() for runs in ([deep], RUNS)]
    assert ["the top level of a hierarchy" in title for title in titles] == [True, False]
