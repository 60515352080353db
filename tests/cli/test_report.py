import json
import os
import pathlib
import re

import keras
import pytest

from tests.cli._finished_run import finished_run
from tests.cli._in_process import Command
from tf_sigma_vae.cli import report
from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation import measures
from tf_sigma_vae.report import pictures
from tf_sigma_vae.workdir import Workdir

# The likelihoods, which take the longest, are those of sigma-vae-evaluate; information is shown of
# a record made without a model, in tests/report/test_sections.py.
MEASURED = ("calibration", "distances")
SMALL = (
    f"--measures={','.join(MEASURED)}",
    "--calibration_examples=20",
    "--distance_samples=24",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("runs") / "optimal", latent_size=5)


@pytest.fixture
def runs(tmp_path):
    """Two folders that look like those of finished runs, for what is refused before any work."""
    for name in "ab":
        Workdir(tmp_path / name).prepare(Config(), None)
        (tmp_path / name / "model.keras").write_bytes(b"weights")
    return [str(tmp_path / name) for name in "ab"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network that is no network of FID."""
    image = keras.Input([8, 8, 3])
    path = tmp_path_factory.mktemp("network") / "features.keras"
    keras.Model(image, keras.layers.Flatten()(image[:, ::4, ::4])).save(path)
    return str(path)


@pytest.fixture
def command(monkeypatch, capsys):
    return Command(monkeypatch, capsys, report)


def sections_of(path):
    return re.findall(r'<h2 id="([a-z]+)">', pathlib.Path(path).read_text("utf-8"))


def test_the_command_measures_writes_the_page_and_goes_on_from_what_is_there(command, run, network):
    arguments = [f"--workdir={run}", f"--extractor={network}", *SMALL]
    assert command(*arguments) == 0, command.error
    page = os.path.join(run, "report.html")
    assert command.output.splitlines() == [page]
    for wanted in ("optimal: calibration", "optimal: distances", "20/20", "48/48"):
        assert wanted in command.error
    first = pathlib.Path(page).read_bytes()
    assert {"figures", *MEASURED} <= set(sections_of(page))
    files = [os.path.join(run, f"{name}.json") for name in MEASURED]
    for path in files:
        assert json.loads(pathlib.Path(path).read_text("utf-8"))["protocol"]["split"] == "test"
    times = {path: os.stat(path).st_mtime_ns for path in files}
    assert command(*arguments) == 0, command.error
    assert "20/20" not in command.error
    assert pathlib.Path(page).read_bytes() == first
    assert {path: os.stat(path).st_mtime_ns for path in files} == times


def test_measures_can_be_chosen_and_the_page_be_elsewhere(command, run, tmp_path):
    output = tmp_path / "new" / "page.html"
    # Too few for the information in five dimensions: the page is made, and both say so.
    options = ["--measures=information", "--information_examples=32", f"--output={output}"]
    assert command(f"--workdir={run}", *options) == 0, command.error
    assert {"figures", "samples"} <= set(sections_of(output))
    assert {"information", "calibration"}.isdisjoint(sections_of(output))
    assert "no information of optimal: " in command.error
    text = output.read_text("utf-8")
    assert "No information of optimal: " in text and "No calibration of optimal: it was not" in text


def test_a_figure_that_is_not_finite_is_on_the_page_and_an_error(
    command, run, tmp_path, monkeypatch
):
    def fail(*_, **options):
        raise FloatingPointError("crps is not finite for 3 of 20 examples")

    monkeypatch.setattr(measures, "obtain", fail)
    monkeypatch.setattr(measures, "stored", lambda *_: None)
    monkeypatch.setattr(pictures, "draw", lambda *_: {})
    output = tmp_path / "page.html"
    assert command(f"--workdir={run}", "--measures=calibration", f"--output={output}") == 1
    assert command.output == f"{output}\n"
    assert command.error.splitlines()[-1].endswith("error: not finite: calibration of optimal")
    assert "No calibration of optimal: crps is not finite for 3" in output.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compare={0}"], "a run is given twice"),
        (["--compare={1},{1}"], "a run is given twice"),
        (["--compare=absent"], "there is no workdir 'absent'"),
        (["--measures=evaluation,fid"], "unknown measure 'fid'; known: evaluation, information"),
        (["--extractor=inception"], "unknown extractor 'inception': neither a file or folder"),
        (["--extractor_path=x"], "--extractor_path needs --extractor"),
        (["--extractor={0}", "--measures=evaluation"], "which --measures leaves out"),
        (["--num_samples=-1"], "num_samples must not be negative"),
        (["--calibration_examples=1"], "calibration_examples must be at least 2"),
        (["--num_examples=99999"], "num_examples is 99999, but the test split has"),
        (["--information_examples=1"], "information_examples must be at least 2"),
        (["--seed=-1"], "seed must not be negative"),
        (["--num_rollouts=0"], "num_rollouts must be at least 1, got 0"),
        (["--measures=rollouts"], "a' is of images and has no rollouts, but evaluation, "),
        (["--clip_extractor=x"], "--clip_extractor is of models of videos"),
        (["--output={1}"], "is a folder; give the name of a file in it"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_before_any_work(
    command, runs, monkeypatch, arguments, message
):
    monkeypatch.setattr(measures, "obtain", None)
    assert command(f"--workdir={runs[0]}", *(text.format(*runs) for text in arguments)) == 1
    last = command.error.splitlines()[-1]
    assert last.startswith("sigma-vae-report: error: ")
    assert message in last


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--measures=calibration"], "a' is of videos and has no calibration, but evaluation, "),
        (["--clip_extractor=x"], "--clip_extractor needs --extractor"),
        (["--compare={1}"], "b' is of images, "),
    ],
)
def test_what_does_not_fit_videos_is_refused_before_any_work(
    command, runs, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.setattr(measures, "obtain", None)
    config = Config(dataset="video_npz", model="sequence_vae", network="dcgan64")
    (tmp_path / "a" / "config.json").unlink()
    Workdir(tmp_path / "a").prepare(config, None)
    assert command(f"--workdir={runs[0]}", *(text.format(*runs) for text in arguments)) == 1
    assert message in command.error.splitlines()[-1]


def test_an_unfinished_run_is_refused(command, runs, tmp_path):
    Workdir(tmp_path / "begun").prepare(Config(), None)
    assert command(f"--workdir={runs[0]}", f"--compare={tmp_path / 'begun'}") == 1
    assert "begun' is not finished" in command.error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_page_that_cannot_be_written_is_refused_before_any_work(command, runs, tmp_path):
    tmp_path.chmod(0o500)
    assert command(f"--workdir={runs[0]}", f"--output={tmp_path / 'page.html'}") == 1
    assert "cannot write to" in command.error
