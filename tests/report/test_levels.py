"""What the page says of hierarchies, and that it says nothing of it where all latents are flat."""

import re

import pytest

from tests.report import _records
from tests.report.test_sections import svg_texts
from tf_sigma_vae.evaluation.table import LEVELS_NOTE
from tf_sigma_vae.report import figures, headline, information, levels, page, training


@pytest.fixture(scope="module")
def both():
    return _records.content(_records.run("flat"), _records.hierarchy())


def test_every_level_has_a_bar_with_its_shape_and_its_rate(both):
    made = levels.section(both)
    names = ["0: 1x1x5", "1: 2x3x4", "2: 3x4x2"]
    drawn = svg_texts(made)
    assert [name for name in names if f">{name}<" in drawn] == names
    assert "rate of the levels, deep" in drawn and "flat" not in drawn
    cells = [figures.cell(_records.metric(12.0 * s, 0.02)) for s in _records.LEVEL_SHARES]
    listed = "; ".join(f"{name} {cell}" for name, cell in zip(names, cells, strict=True))
    assert f"Rate of each level of deep, nats, top first: {listed}." in made
    assert "together 12 nats" in made


def test_what_each_level_adds_is_among_the_pictures(both):
    made = levels.section(both)
    assert made.count('class="pixels"') == 1
    assert "deep: original, then from q(z|x) no level" in made
    without = both._replace(runs=[_records.hierarchy(pictures=_records.pictures())])
    assert 'class="pixels"' not in levels.section(without)


@pytest.mark.usefixtures("undrawn")
def test_flat_latents_have_no_levels():
    flat = _records.content(_records.run("flat"), _records.run("other"))
    assert levels.section(flat) is None
    assert [levels.curves(run) for run in flat.runs] == [None, None]
    assert "rate_level" not in page.render(flat)


@pytest.mark.usefixtures("undrawn")
def test_the_rates_of_a_run_are_one_chart_of_the_training(both):
    flat, deep = (training.section(both._replace(runs=[run])) for run in both.runs)
    assert deep.count("<img") == flat.count("<img") + 1
    assert "Last: 0: 1x1x5 6.3, 1: 2x3x4 3.15, 2: 3x4x2 -0.45." in deep


def test_a_run_that_is_not_evaluated_has_curves_with_numbers_of_levels():
    run = _records.hierarchy(measures={"evaluation": None})
    assert "Last: 0 6.3, 1 3.15, 2 -0.45." in levels.curves(run).alt
    assert "latent_size 20" in headline.key([run])


@pytest.mark.parametrize("number", [2, 15])
def test_each_level_is_drawn_in_a_color_of_its_own(number):
    lines = _records.history(shares=[1.0 / number] * number)
    made = levels.curves(_records.hierarchy(history=lines))
    shades = levels._shades(number)
    assert len(set(shades)) == number
    assert all(f"stroke: {shade}" in made.svg for shade in shades)


def test_the_first_table_has_the_levels_and_says_what_they_are(both):
    made = headline.section(both)
    row = re.search(r"rate_level_1 <[^>]*>nats</span></th><td>(.*?)</td><td>(.*?)</td>", made)
    assert row.groups() == (figures.ABSENT, figures.cell(_records.metric(4.2, 0.02)))
    assert " ".join(LEVELS_NOTE.split()).replace("<i>", "&lt;i&gt;") in made
    assert "3 levels of latents from 1x1x5 to 3x4x2" in headline.key(both.runs)


@pytest.mark.usefixtures("undrawn")
def test_information_of_a_top_level_is_told_from_that_of_a_latent(both):
    note = information.TOP_NOTE.format(names="deep")
    for made in (information.section(both), headline.section(both)):
        assert note in made
    made = information.section(both)
    assert "<td>whole</td><td>top level</td>" in made
    rates = [figures.cell(_records.metric(rate, 0.05)) for rate in (12.0, 8.4)]
    assert f'rate of z <span class="unit">nats</span></th><td>{"</td><td>".join(rates)}' in made
    flat = information.section(_records.content(_records.run("flat")))
    assert "top level" not in flat and "rate of z" not in flat
