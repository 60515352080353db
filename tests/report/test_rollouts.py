"""The page of models of videos: its film, strips and curves, and what is not on it."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from tests._videos import CONTEXT, InstantSvg, source
from tests.report import _browser, _records, _video_records
from tests.report.test_in_browser import (
    BROKEN_PICTURES,
    DESKTOP,
    PHONE,
    SECTIONS_SEEN,
    WIDER_THAN_THE_PAGE,
)
from tests.report.test_sections import svg_texts
from tf_sigma_vae import report
from tf_sigma_vae.report import page, rollout_charts, rollouts, training

SECTIONS = [
    "figures",
    "training",
    "convergence",
    "rollouts",
    "protocols",
    "configuration",
    "versions",
]
NUM_FRAMES = CONTEXT + 1
"""Of a film that is drawn."""


@pytest.fixture(scope="module")
def video_content():
    return _video_records.content()


@pytest.fixture(scope="module")
def video_text(video_content):
    return report.render(video_content)


def films_of(text):
    return [base64.b64decode(f) for f in re.findall(r"data:image/gif;base64,([^\"]+)", text)]


def test_a_page_of_videos_has_rollouts_and_nothing_that_images_alone_have(video_text):
    assert re.findall(r'<h2 id="([a-z]+)">', video_text) == SECTIONS
    assert "measured of images alone" in video_text
    assert "No information" not in video_text and "No calibration" not in video_text


@pytest.mark.usefixtures("undrawn")
def test_a_page_of_images_has_no_word_of_rollouts(text):
    assert rollouts.section(_records.content()) is None
    assert all(word not in text for word in ("ollout", "clips", "image/gif", "images alone"))


def test_figures_are_of_clips_and_of_frames(video_text):
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th><td>(.*?)</td>", video_text)
    found = {re.sub("<.*?>", "", name): value for name, value in rows}
    assert found["elbo nats"] == "4000.00 ± 0.50"
    assert found["elbo_per_frame nats/frame"] == "500.000 ± 0.050"
    assert found["bits_per_dim_mass bits/dim"] == "1.250 ± 0.010"
    assert found["beta_equivalent data^2"] == "0.03660 ± 0.00010"
    assert {"psnr_best dB", "ssim_best", "psnr_copy dB"} <= set(found)
    assert "test clips of 10 frames (2 given, 8 predicted)" in video_text
    assert "16 test clips of 10 frames, seed 0" in video_text


def test_training_curves_are_of_clips_and_of_frames(video_content):
    drawn = svg_texts(training.section(video_content))
    assert "elbo (nats per clip)" in drawn and "elbo (nats per predicted frame)" in drawn
    assert "per image" not in drawn
    assert "per clip" not in svg_texts(training.section(_records.content()))


def test_of_one_run_the_kinds_of_a_quantity_share_a_chart():
    charts = rollout_charts.all_charts([(0, _video_records.video_run())])
    assert len(charts) == len(rollout_charts.QUANTITIES)
    for label in ("best of N", "mean of N", "mean rollout", "posterior", "copy"):
        assert f">{label}<" in charts[0].svg
    assert "PSNR, svg over the future step, first to last: best of N 24 to 8.485" in charts[0].alt


def test_of_several_runs_each_kind_is_a_chart_with_the_copy_as_baseline(video_content):
    shown = list(enumerate(video_content.runs))
    charts = rollout_charts.all_charts(shown)
    # PSNR and SSIM have four kinds beside the copy; coverage and variance ratio two; the rest one.
    assert len(charts) == 2 * 4 + 3 + 2 * 2
    for label in ("svg", "gaussian_optimal", "copy"):
        assert f">{label}<" in charts[0].svg
    assert "copy" not in charts[8].svg
    assert "Vertical line: the last step of training" in charts[0].caption


@pytest.mark.usefixtures("undrawn")
def test_a_curve_ends_with_the_training_where_it_was_as_long():
    run = _video_records.video_run(train_frames=_video_records.CONTEXT + _video_records.STEPS)
    (chart, *_) = rollout_charts.all_charts([(0, run)])
    assert "Vertical" not in chart.caption
    assert rollout_charts.trained_steps(run) == _video_records.STEPS


@pytest.mark.usefixtures("undrawn")
def test_nats_of_a_density_and_of_a_mass_are_in_charts_of_their_own(video_content):
    mass = _video_records.video_run("categorical", measure="mass")
    charts = rollout_charts.all_charts(list(enumerate([video_content.runs[0], mass])))
    titles = [chart.alt.split(" over the future")[0] for chart in charts]
    assert "elbo: posterior, density" in titles
    assert "elbo: posterior, mass of 8-bit values" in titles
    assert "rate: posterior" in titles


def test_what_a_record_lacks_is_left_out_with_its_reason():
    small = {"rollouts": _video_records.rollouts(absent=("ssim", "coverage_90"))}
    run = _video_records.video_run(measures=small)
    run.measures["rollouts"]["curves"]["psnr"]["best"]["value"][-1] = None
    made = rollouts.section(_video_records.content(run))
    assert "no ssim: the frames are too small" in made
    assert "SSIM" not in svg_texts(made)
    assert "best of N 24 to -" in made


@pytest.mark.usefixtures("undrawn")
def test_single_steps_are_in_a_table(video_content):
    made = rollouts.section(video_content)
    assert re.findall(r">step (\d+)<", made)[:4] == ["1", "2", "5", "8"]
    first = _video_records.curve(24.0, 0)["value"]
    assert f"{first[0]:.2f} ± 0.24" in made


def test_a_run_without_the_measure_still_has_its_pictures():
    run = _video_records.video_run(measures={"rollouts": None})
    made = rollouts.section(_video_records.content(run))
    assert made.count("data:image/gif") == 1 and made.count("data:image/png") == 2
    bare = run._replace(pictures={}, film=None)
    assert rollouts.section(_video_records.content(bare)) is None


def test_films_are_on_the_page_as_they_are(video_text):
    films = films_of(video_text)
    assert films == [_video_records.film()] * 2
    with Image.open(io.BytesIO(films[0])) as film:
        assert film.n_frames == 3


def test_drawn_pictures_are_those_of_the_first_clips_and_small_enough():
    model, videos = InstantSvg(), source(6)
    pictures, film = rollouts.draw(model, videos, NUM_FRAMES, seed=1)
    assert list(pictures) == list(rollouts.CAPTIONS)
    for picture in pictures.values():
        assert picture.dtype == np.uint8 and picture.ndim == 3
    with Image.open(io.BytesIO(film)) as opened:
        assert opened.n_frames == NUM_FRAMES
        height = opened.size[1]
    smaller, less = rollouts.draw(model, videos, NUM_FRAMES, seed=1, most_bytes=len(film) - 1)
    with Image.open(io.BytesIO(less)) as opened:
        assert opened.size[1] < height and opened.n_frames == NUM_FRAMES
    np.testing.assert_array_equal(smaller["strips"], pictures["strips"])
    assert rollouts.draw(model, videos, NUM_FRAMES, seed=1, most_bytes=1)[1] is None


@pytest.mark.usefixtures("undrawn")
def test_a_film_that_is_too_large_is_said_to_be_left_out():
    made = rollouts.section(_video_records.content(_video_records.video_run(film=None)))
    assert "The film of svg is left out: it would have more than 4 MB." in made
    assert made.count("data:image/png") == 2


@pytest.mark.slow
@_browser.needed
def test_a_browser_shows_the_page_from_disk_and_stands_still_where_it_is_asked_to(
    video_text, tmp_path_factory
):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(video_text, "utf-8")
    browser = _browser.Browser(tmp_path_factory.mktemp("profile"))
    try:
        for size in (PHONE, DESKTOP):
            browser.open(path, *size)
            assert browser.evaluate(SECTIONS_SEEN) == SECTIONS
            assert browser.evaluate(BROKEN_PICTURES) == 0
            assert browser.evaluate(WIDER_THAN_THE_PAGE) == []
            assert browser.requests() == [path.resolve().as_uri()]
            assert browser.complaints() == []
        shown = "[...document.querySelectorAll('{}')].map(e => e.offsetHeight > 0)"
        assert browser.evaluate(shown.format(".motion")) == [True, True]
        assert browser.evaluate(shown.format(".still")) == [False, False]
        still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        browser.call("Emulation.setEmulatedMedia", features=still)
        assert browser.evaluate(shown.format(".motion")) == [False, False]
        assert browser.evaluate(shown.format(".still")) == [True, True]
        assert browser.evaluate(shown.format(".wide img")) == [True] * 4
        browser.call("Emulation.setEmulatedMedia", media="print", features=[])
        assert browser.evaluate(shown.format(".motion")) == [False, False]
    finally:
        browser.close()


def test_the_order_of_sections_is_that_of_the_page():
    assert [anchor for anchor in page.SECTIONS if anchor in SECTIONS] == SECTIONS
