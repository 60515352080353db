import numpy as np
import pytest

from tf_sigma_vae.report import charts
from tf_sigma_vae.report.content import MAX_RUNS

ROUNDING = 1e-12


def draw(values=(1.0, 3.0, 2.0), **options):
    def plot(axes):
        axes.plot(values)
        axes.set_xlabel("step & more")
        charts.label_ends(axes, [(values[-1], "a <run>", charts.style(0))])

    return charts.draw(plot, "title", "alt", "caption", **options)


def test_a_chart_repeats_and_differs_with_its_data():
    assert draw() == draw()
    assert draw().svg != draw((1.0, 3.0, 2.5)).svg


def test_a_chart_holds_words_as_text_in_the_readers_color_and_no_date():
    text = draw().svg
    assert text.startswith("<svg") and text.rstrip().endswith("</svg>")
    assert "a &lt;run&gt;" in text and "step &amp; more" in text
    assert "currentColor" in text and "prefers-color-scheme:dark" in text
    assert "metadata" not in text and "<!--" not in text


def test_the_size_is_that_of_the_panel():
    chart = draw(size=(3.0, 2.0))
    assert chart.size == (288, 192)
    assert 'width="216pt"' in chart.svg


def test_a_line_lies_within_the_axes_that_its_label_has_fixed():
    def plot(axes):
        axes.plot([10.0, 400.0], [-5.0, 90.0])
        charts.label_ends(axes, [(90.0, "run", charts.style(0))])
        assert axes.get_xlim()[0] < 10.0 and axes.get_xlim()[1] > 400.0
        assert axes.get_ylim()[0] < -5.0 and axes.get_ylim()[1] > 90.0

    charts.draw(plot, "", "", "")


@pytest.mark.parametrize("name", ["a", "m", "WWWWWWWW", "gaussian_per_pixel", "a" * 50])
def test_a_label_has_room_to_the_right_of_its_line(name):
    def plot(axes):
        axes.plot([0.0, 1.0])
        charts.label_ends(axes, [(1.0, name, charts.style(0))])
        figure = axes.figure
        (label,) = axes.texts
        end = label.get_window_extent().x1
        assert 0.0 < end <= figure.bbox.x1
        assert end > figure.bbox.x1 - 0.2 * figure.dpi

    charts.draw(plot, "", "", "", labels=[name])


def test_runs_are_told_apart_by_color_and_line():
    looks = {charts.style(index)[:2] for index in range(MAX_RUNS)}
    assert len(looks) == MAX_RUNS


def test_labels_that_have_room_stay_where_they_are():
    places = [0.9, 0.1, 0.5]
    np.testing.assert_allclose(charts.spread(places, 0.1), places, atol=ROUNDING)


def test_labels_that_collide_are_moved_apart_around_their_middle():
    moved = charts.spread([0.5, 0.5, 0.52], 0.1)
    np.testing.assert_allclose(np.diff(moved), 0.1, atol=ROUNDING)
    assert moved.mean() == pytest.approx(np.mean([0.5, 0.5, 0.52]))


def test_labels_at_the_edge_stay_inside():
    moved = np.sort(charts.spread([1.0, 1.0, 0.0, 0.0], 0.2))
    assert moved[0] >= 0.0 and moved[-1] <= 1.0 + ROUNDING
    assert np.diff(moved).min() >= 0.2 - ROUNDING


def test_a_logarithmic_axis_of_equal_values_bears_labels():
    def plot(axes):
        axes.plot([0, 1], [0.7, 0.7])
        charts.logarithmic(axes)
        axes.figure.draw_without_rendering()
        texts = [label.get_text() for label in axes.get_yticklabels(which="both")]
        assert len(list(filter(None, texts))) >= 2

    charts.draw(plot, "", "", "")


def test_a_long_name_is_cut_in_charts():
    assert charts.shortened("a" * charts.LONGEST_NAME) == "a" * charts.LONGEST_NAME
    cut = charts.shortened("a" * 50)
    assert len(cut) == charts.LONGEST_NAME and cut.endswith("…")


def test_a_map_with_undefined_places_repeats():
    values = np.array([[0.0, np.nan], [0.5, 1.0]])
    ticks = {0.0: "none", 1.0: "all"}
    maps = [charts.color_map(values, ticks, "RdBu", "t", "alt", "caption") for _ in range(2)]
    assert maps[0] == maps[1]
    assert "none" in maps[0].svg and "pixelated" in maps[0].svg
