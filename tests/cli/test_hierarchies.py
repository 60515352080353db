"""Finished runs of hierarchies through the commands that other runs go through."""

import json
import pathlib

import pytest

from tests.cli._finished_run import finished_run
from tests.cli._in_process import Command
from tests.evaluation._hierarchies import finished_hierarchy
from tf_sigma_vae.cli import evaluate, export, report
from tf_sigma_vae.export import model_card
from tf_sigma_vae.report import information

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Paths of a hierarchy, of one that draws on the way up, and of a flat model."""
    folder = tmp_path_factory.mktemp("runs")
    both_ways = finished_hierarchy(folder / "both_ways", stochastic_bottom_up=True)
    return [finished_hierarchy(folder / "down"), both_ways, finished_run(folder / "flat")]


def test_they_are_compared_with_a_flat_model_in_one_table(runs, monkeypatch, capsys):
    command = Command(monkeypatch, capsys, evaluate)
    assert (
        command(*(f"--workdir={run}" for run in runs), "--num_samples=2", "--num_examples=9") == 0
    )
    rows = {line.split()[0]: line.split() for line in command.output.splitlines()}
    for level in (0, 1):
        assert rows[f"rate_level_{level}"][-1] == "-"
    assert rows["active_units"][2:4] == ["-", "-"]
    for run in runs[:2]:
        metrics = json.loads((pathlib.Path(run) / "evaluation.json").read_text())["metrics"]
        total = sum(metrics[f"rate_level_{level}"]["value"] for level in (0, 1))
        assert total == pytest.approx(metrics["rate"]["value"], rel=1e-5)


def test_the_report_says_what_the_information_is_of_and_where_it_has_none(
    runs, monkeypatch, capsys, tmp_path
):
    command = Command(monkeypatch, capsys, report)
    compared = [f"--compare={run}" for run in runs[1:]]
    numbers = ["--num_samples=0", "--num_examples=9", "--information_examples=40"]
    arguments = ["--measures=evaluation,information", f"--output={tmp_path / 'page.html'}"]
    assert command(f"--workdir={runs[0]}", *compared, *numbers, *arguments) == 0
    text = (tmp_path / "page.html").read_text("utf-8")
    assert information.TOP_NOTE.format(names="down") in text
    assert "No information of both_ways: the network draws parts of the latent" in text
    assert "no information of both_ways: the network draws" in command.error
    assert '<h2 id="levels">' in text
    assert text.count("original, then from q(z|x) no level, the top level") == 4


def test_an_export_says_what_its_latent_is_made_of(runs, monkeypatch, capsys, tmp_path):
    command = Command(monkeypatch, capsys, export)
    arguments = ["--num_examples=9", "--convert=tflite", f"--export_dir={tmp_path / 'served'}"]
    assert command(f"--workdir={runs[1]}", *arguments) == 0, command.error
    version = tmp_path / "served" / "1"
    card = json.loads((version / model_card.JSON_FILE).read_text())
    assert (card["latent_size"], card["level_shapes"]) == (67, [[1, 1, 3], [4, 4, 4]])
    assert card["signatures"]["decode"]["inputs"]["z"]["shape"] == [None, 67]
    assert max(card["differences"].values()) < 1e-4
    text = (version / model_card.TEXT_FILE).read_text()
    assert "2 levels, 1x1x3, 4x4x4, of which `z` holds all 67 numbers" in text
