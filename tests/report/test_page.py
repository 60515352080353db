"""The page as text: its structure, what it escapes, and that it repeats."""

import html.parser
import itertools
import re

import pytest

from tests.report import _records
from tf_sigma_vae import report
from tf_sigma_vae.report import page
from tf_sigma_vae.report.content import MAX_RUNS

VOID = {"meta", "img", "line", "br", "link", "input", "path"}


class Outline(html.parser.HTMLParser):
    """What a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.open, self.unbalanced, self.tags, self.words = [], [], [], []
        self.tables, self.row = [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append(0)
        if tag in ("td", "th"):
            self.tables[-1][-1] += int(dict(attributes).get("colspan", 1))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        self.words.append(data)

    def named(self, *tags):
        return [(tag, attributes) for tag, attributes in self.tags if tag in tags]


@pytest.fixture(scope="module")
def outline(text):
    return Outline(text)


def without_pictures(text):
    return re.sub(r"data:image/[^\"]*", "", text)


@pytest.mark.usefixtures("undrawn")
def test_equal_content_gives_the_same_bytes(content):
    # Of the charts test_charts tells that they repeat.
    assert report.render(content) == report.render(content)


def test_every_element_is_closed_in_order(outline):
    assert outline.unbalanced == []
    assert outline.open == []


def test_the_page_has_every_section_and_links_to_it(outline):
    anchors = [attributes["id"] for _, attributes in outline.named("h2")]
    assert anchors == [anchor for anchor in page.SECTIONS if anchor != "rollouts"]
    links = [attributes["href"] for _, attributes in outline.named("a")]
    assert links == [f"#{anchor}" for anchor in anchors]


def test_nothing_is_named_that_would_be_loaded(text):
    shown = without_pictures(text)
    assert re.findall(r"https?:|//|url\(|@import|<script|<link|<iframe", shown) == []
    assert "default-src 'none'" in shown.replace("&#x27;", "'")


def test_pictures_have_a_size_a_source_inside_and_words_for_who_cannot_see_them(outline):
    pictures = outline.named("img")
    assert len(pictures) > 30
    for _, attributes in pictures:
        assert attributes["src"].startswith(
            ("data:image/svg+xml;base64,", "data:image/png;base64,")
        )
        assert len(attributes["alt"]) > 20
        assert int(attributes["width"]) > 0 and int(attributes["height"]) > 0


def test_headings_go_down_one_level_at_a_time(outline):
    levels = [int(tag[1]) for tag, _ in outline.named("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_table_headings_say_what_they_head_and_rows_are_full(outline):
    scopes = [attributes.get("scope") for _, attributes in outline.named("th")]
    assert set(scopes) == {"col", "row", "colgroup"}
    assert len(outline.tables) > 6
    for rows in outline.tables:
        assert len(set(rows)) == 1, rows


def test_figures_are_printed_with_their_errors_and_names_of_runs(outline):
    words = "".join(outline.words)
    for wanted in ("100.00 ± 0.50", "4.80 to 9.60", "0.6000 ± 0.0020", "gaussian_per_pixel"):
        assert wanted in words


def test_what_a_run_does_not_have_is_told_with_the_reason(outline):
    notices = " ".join(outline.words)
    assert "No information of bernoulli: the posterior must be Gaussian" in notices


def test_names_and_configurations_cannot_become_markup():
    hostile = _records.HOSTILE
    config = {**_records.run().config, "dataset": hostile, "likelihood_options": {hostile: hostile}}
    run = _records.run(
        name=hostile, workdir=hostile, config=config, absent={"information": hostile}
    )
    bare = dict.fromkeys(("evaluation", "information", "calibration"))
    other = _records.run(name=f"other {hostile}", measures=bare, history=[], pictures={})
    sweep = report.Sweep(hostile, f"# {hostile}\n\n| {hostile} |\n| --- |\n| {hostile} |", {})
    content = _records.content(run, other, notices=[hostile], sweep=sweep)
    outline = Outline(report.render(content))
    assert outline.unbalanced == []
    assert outline.named("script") == []
    assert all("onerror" not in attributes for _, attributes in outline.tags)
    assert hostile in "".join(outline.words)


def test_a_page_of_one_run_without_measures_shows_what_there_is():
    nothing = dict.fromkeys(("evaluation", "information", "calibration", "distances"))
    bare = _records.run(measures=nothing, history=[], pictures={})
    outline = Outline(report.render(_records.content(bare)))
    anchors = [attributes["id"] for _, attributes in outline.named("h2")]
    assert anchors == ["figures", "training", "configuration"]
    assert "give --extractor=inception_2015" in " ".join(outline.words)


@pytest.mark.parametrize("number", [0, MAX_RUNS + 1])
def test_a_number_of_runs_that_cannot_be_told_apart_is_refused(number):
    content = report.Content([_records.run()] * number, "test", 10)
    with pytest.raises(ValueError, match=f"1 to {MAX_RUNS} runs, got {number}"):
        report.render(content)
