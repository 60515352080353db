"""What the sections say of records: arrivals, groups, sweeps, names."""

import base64
import re

import numpy as np
import pytest

from tests.report import _records
from tf_sigma_vae.evaluation.information import posterior_information, to_dict
from tf_sigma_vae.report import (
    calibration,
    calibration_charts,
    content,
    distances,
    figures,
    headline,
    information,
    records,
    sweeps,
    training,
)


def test_a_seed_that_all_names_end_with_is_left_out():
    assert content.short_names(["beta=1-seed0", "shared-seed0"]) == ["beta=1", "shared"]
    assert content.short_names(["shared-seed0", "shared-seed1"]) == ["shared-seed0", "shared-seed1"]
    assert content.short_names(["a-seed0", "b"]) == ["a-seed0", "b"]
    assert content.short_names(["a-seed0"]) == ["a-seed0"]


def test_a_figure_is_printed_with_its_error_or_without_one():
    assert figures.cell(_records.metric(1.234, 0.05)) == "1.234 ± 0.050"
    assert figures.cell(_records.metric(1.5, 0.0)) == "1.5"
    assert figures.cell({"value": 2.5}) == "2.5"
    assert figures.cell(None) == figures.ABSENT
    assert figures.cell(_records.metric(1.2e-12, 3.4e-13)) == "1.2e-12 ± 3.4e-13"
    assert figures.cell(_records.metric(0.998765, 5e-7)) == "0.99876500 ± 0.00000050"


def test_a_small_interval_keeps_two_digits():
    cell = figures.interval_cell
    assert cell(_records.interval(4.8, 9.6)) == "4.80 to 9.60"
    assert cell(_records.interval(0.0, 0.00312)) == "0 to 0.0031"
    assert cell(_records.interval(2.36e-5, 0.0996)) == "0.000024 to 0.1"
    assert cell(_records.interval(0.0, 1.2e-9)) == "0 to 1.2e-09"


def test_curves_in_nats_are_apart_where_the_nats_are_of_different_things():
    made = training.section(_records.content())
    for title in ("elbo, density", "elbo, not normalized"):
        assert title in svg_texts(made)
    alike = training.section(_records.content(_records.run(), _records.run("b")))
    assert "elbo, density" not in svg_texts(alike)


def svg_texts(made):
    found = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", made)
    return " ".join(base64.b64decode(each).decode("utf-8") for each in found)


def test_the_scale_has_arrived_where_it_stays_within_five_percent():
    values = [-1.0, -2.0, -1.5, -2.02, -2.0, -2.01]
    lines = [
        {"step": 10 * (place + 1), "split": "train", "log_scale": value}
        for place, value in enumerate(values)
    ]
    made = training.convergence(_records.content(_records.run(history=lines)))
    assert "<td>40</td>" in made


def test_a_scale_that_still_drifts_at_the_end_has_not_arrived():
    lines = [
        {"step": step, "split": "train", "log_scale": -0.0011 * step} for step in range(10, 110, 10)
    ]
    made = training.convergence(_records.content(_records.run(history=lines)))
    assert f"<td>{training.NOT_CONVERGED}</td>" in made
    slower = [{**line, "log_scale": 0.9 * line["log_scale"]} for line in lines]
    made = training.convergence(_records.content(_records.run(history=slower)))
    assert f"<td>{training.NOT_CONVERGED}</td>" not in made


def test_a_scale_that_never_moved_is_fixed():
    lines = [{"step": step, "split": "train", "log_scale": -1.0} for step in (1, 2)]
    made = training.convergence(_records.content(_records.run(history=lines)))
    assert "<td>fixed</td>" in made


def test_runs_without_a_scale_have_no_section_of_its_convergence():
    run = _records.run("bernoulli", "bernoulli", None, log_scale=None)
    assert training.convergence(_records.content(run)) is None


def test_distances_of_different_protocols_never_share_a_row():
    runs = _records.content().runs
    assert [members for _, members in distances.groups(runs)] == [[0, 1], [2]]
    rows = distances.headline_rows(runs)
    assert len(rows) == 4
    for row in rows:
        assert (figures.ABSENT in row[1:3]) != (row[3] == figures.ABSENT)
    made = distances.section(_records.content())
    assert "reference.num_images: 500 != 400" in made


def test_distances_of_another_seed_share_a_row():
    other = _records.distances(8.0)
    other["protocol"]["samples"]["seed"] = 1
    runs = [_records.run(), _records.run("b", measures={"distances": other})]
    assert [members for _, members in distances.groups(runs)] == [[0, 1]]


def test_only_the_network_of_fid_is_called_so():
    assert "FID extrapolated" not in distances.section(_records.content())
    row = distances.headline_rows(_records.content().runs)[0]
    assert "frechet distance (saved_file 5d7c1e02)" in row[0]


def test_the_information_figure_names_the_lines_that_it_draws():
    for rate, drawn, beyond in ((9.0, True, False), (0.3, False, True), (0.0, False, True)):
        run = _records.run(measures={"information": _records.information(rate)})
        made = information.section(_records.content(run))
        assert ("Dashed: log S = 5.99 and log N = 8.01 nats" in made) == drawn
        assert ("Beyond the axis: log S = 5.99 and log N = 8.01 nats" in made) == beyond
        assert ("log S" in svg_texts(made)) == drawn
        assert "rate and its parts" in svg_texts(made)


@pytest.mark.usefixtures("undrawn")
def test_the_calibration_says_what_the_images_are_to_the_scale_and_the_gray_levels_to_the_tails():
    run = _records.run()
    held_out = calibration.section(_records.content(run))
    run.measures["calibration"]["metrics"]["coverage_8bit_90"] = _records.metric(0.934, 0.002, "1")
    trained_on = calibration.section(_records.content(run, split="train"))
    assert "images of the test split, that the scale was not set by" in held_out
    assert "the scale was not set by" not in trained_on
    assert calibration.TRAINED_ON in trained_on
    assert calibration.EIGHT_BIT_NOTE not in held_out
    assert calibration.EIGHT_BIT_NOTE in trained_on
    assert '<th scope="row">coverage_8bit_90</th><td>0.9340 ± 0.0020</td>' in trained_on


@pytest.mark.usefixtures("undrawn")
def test_information_is_shown_of_the_record_of_posteriors():
    rng = np.random.default_rng(0)
    loc = rng.normal(size=(40, 3))
    posteriors = loc, np.full(loc.shape, 0.5), loc + 0.5 * rng.normal(size=loc.shape)
    record = to_dict(posterior_information(*posteriors))
    run = _records.run(measures={"information": record})
    made = information.section(_records.content(run))
    for wanted in (figures.cell(record["rate"]), figures.interval_cell(record["marginal_kl"])):
        assert f"<td>{wanted}</td>" in made
    assert f"log S = {np.log(40):.2f}" in made


@pytest.mark.usefixtures("undrawn")
def test_the_information_figure_marks_both_ceilings_and_says_when_it_is_saturated():
    saturated = _records.run(measures={"information": _records.information(saturated=True)})
    made = information.section(_records.content(saturated, _records.run("b")))
    assert f"log S = {np.log(_records.NUM_EXAMPLES):.2f}" in made
    assert f"log N = {np.log(_records.NUM_TRAIN):.2f}" in made
    assert made.count(f"{figures.SATURATED}</td>") == 1
    assert information.SATURATED_NOTE in made
    assert information.SATURATED_NOTE not in information.section(_records.content(_records.run()))


def test_only_a_scale_that_varies_is_drawn_against_the_error():
    runs = list(enumerate(_records.content().runs))
    assert "gaussian_per_pixel" in calibration_charts.by_scale(runs).alt
    assert calibration_charts.by_scale(runs[:1]) is None


def test_bins_of_a_few_pixels_are_left_out():
    run = _records.run()
    assert calibration_charts.by_intensity([(0, run)]) is not None
    for bin_ in run.measures["calibration"]["by_intensity"]:
        bin_["count"] = calibration_charts.FEWEST_IN_A_BIN - 1
    assert calibration_charts.by_intensity([(0, run)]) is None


@pytest.mark.usefixtures("undrawn")
def test_figures_of_many_runs_are_not_all_in_the_caption():
    for number, is_written in ((4, True), (5, False)):
        runs = [_records.run(f"run{index}") for index in range(number)]
        chart = calibration_charts.pit(list(enumerate(runs)))
        assert ("run0" in chart.caption) == is_written
        assert "run0" in chart.alt


def test_maps_share_their_colors_between_runs():
    runs = [_records.run(), _records.run("b", measures={"calibration": _records.calibration(2.0)})]
    limit = calibration_charts.ratio_limit(runs)
    assert 0.1 <= limit <= 1.5
    maps = [
        calibration_charts.ratio_map(run.measures["calibration"], limit, "t", run.name)
        for run in runs
    ]
    assert all(f">{10.0**limit:.2g}<" in each.svg for each in maps)


def test_protocols_that_differ_are_told_by_the_runs_that_they_are_of():
    other = _records.run("b")
    other.measures["evaluation"]["protocol"]["num_examples"] = 7
    made = headline.section(_records.content(_records.run(), other))
    assert "b: Likelihoods: 7 test images" in made
    assert "gaussian_optimal: Likelihoods: 400 test images" in made


def test_the_configuration_shows_what_differs():
    runs = [_records.run(), _records.run("fixed", "gaussian_fixed")]
    made = records.configuration(_records.content(*runs))
    assert '<th scope="row">likelihood</th><td>gaussian_optimal</td><td>gaussian_fixed</td>' in made
    assert '<th scope="row">seed</th>' not in made


def test_versions_that_differ_are_told():
    other = _records.run("b")
    other.measures["calibration"]["protocol"]["versions"]["tensorflow"] = "2.1"
    assert "same versions" in records.versions(_records.content(_records.run(), other))
    assert "same versions" not in records.versions(_records.content(_records.run()))


@pytest.mark.parametrize("file", ["table.md", "information.png"])
def test_a_run_lies_in_a_sweep_if_the_sweep_has_written_something(tmp_path, file):
    run = tmp_path / "sweep" / "runs" / "a-seed0"
    run.mkdir(parents=True)
    assert sweeps.folder_of(run) is None
    (tmp_path / "sweep" / file).write_bytes(b"")
    assert sweeps.folder_of(run) == str(tmp_path / "sweep")
    assert sweeps.folder_of(tmp_path / "sweep") is None


def test_a_sweep_is_shown_with_its_pictures_table_and_notes(tmp_path):
    folder = tmp_path / "grid"
    folder.mkdir()
    _records.sweep(folder)
    (folder / "table.md").write_text(_records.TABLE, "utf-8")
    made = sweeps.section(_records.content(sweep=sweeps.read(folder)))
    assert "The sweep &quot;grid&quot; trained" in made
    assert "<caption>digits: beta-VAEs</caption>" in made
    assert '<th scope="row">gaussian_optimal &lt;b&gt;</th><td>2</td><td>-45.6 ± 0.7</td>' in made
    assert "<li>-log p: an upper bound, -elbo.</li>" in made
    assert made.count("<img") == 1
