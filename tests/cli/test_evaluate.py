import json
import pathlib
import runpy
import types

import pytest
from absl import flags

from tests.cli._in_process import Command
from tf_sigma_vae import cli
from tf_sigma_vae.cli import evaluate
from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation import record
from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.evaluate import Evaluation
from tf_sigma_vae.workdir import Workdir


def test_an_error_is_one_line_that_names_the_command(tmp_path, monkeypatch, capsys):
    command = Command(monkeypatch, capsys, evaluate)
    assert command(f"--workdir={tmp_path / 'absent'}") == 1
    assert command.output == ""
    (error,) = command.error.splitlines()
    assert error.startswith("sigma-vae-evaluate: error: there is no workdir")


def test_workdirs_may_be_repeated_or_have_commas(monkeypatch, capsys):
    given = {}
    values = types.SimpleNamespace(workdir=["a,b", "c"], split="test", num_samples=1)
    values.global_batch_size, values.num_examples = 1, 0
    values.num_rollouts, values.rollout_clips = 1, 2
    values.data_dir, values.download = None, False
    values.strategy, values.cluster_timeout = "one_device", 1.0
    monkeypatch.setattr(evaluate, "flags", types.SimpleNamespace(FLAGS=values))
    monkeypatch.setattr(
        evaluate, "evaluate", lambda workdirs, **rest: given.update(workdirs=workdirs) or "table"
    )
    evaluate.main()
    assert given["workdirs"] == ["a", "b", "c"]
    assert capsys.readouterr().out == "table\n"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"split": "tset"}, "unknown split 'tset'; known: train, validation, test"),
        ({"num_samples": -1}, "num_samples must not be negative"),
        ({"global_batch_size": 0}, "global_batch_size must be at least 1"),
        ({"num_examples": -5}, "num_examples must not be negative"),
        ({"num_rollouts": -1}, r"num_rollouts must not be negative \(0 for none\), got -1"),
        ({"rollout_clips": 1}, "rollout_clips must be at least 2, got 1"),
        ({"num_rollouts": 0, "rollout_clips": 0}, "rollout_clips must be at least 2, got 0"),
    ],
)
def test_impossible_requests_are_refused_before_the_run_is_looked_at(given, message):
    with pytest.raises(ValueError, match=message):
        evaluate.evaluate(["absent"], **given)


def finished(path):
    """A folder that looks like that of a finished run, whose model is not opened; its path."""
    workdir = Workdir(path)
    workdir.prepare(Config(), None)
    pathlib.Path(workdir.model_file).write_bytes(b"weights")
    return str(path)


def test_several_runs_share_a_table(tmp_path, monkeypatch):
    def evaluate_run(run, images, split, num_samples, *rest):
        value = -1.0 if run.workdir.path.endswith("a") else -2.0
        protocol = {"dataset": "digits", "split": split, "num_samples": num_samples}
        protocol |= {"measure": "density", "num_examples": len(images)}
        return Evaluation({"elbo": Estimate(value, 0.25, "nats")}, protocol)

    monkeypatch.setattr(record, "evaluate_run", evaluate_run)
    runs = [finished(tmp_path / name) for name in "ab"]
    lines = evaluate.evaluate(runs, num_samples=2, num_examples=5).splitlines()
    assert lines[0].split() == ["metric", "unit", "a", "b"]
    elbo = next(line for line in lines if line.startswith("elbo"))
    assert [text for text in elbo.split() if text.startswith("-")] == ["-1.00", "-2.00"]
    for name in "ab":
        written = json.loads((tmp_path / name / "evaluation.json").read_text())
        assert written["protocol"]["num_examples"] == 5


def test_every_run_is_checked_before_one_is_evaluated(tmp_path):
    Workdir(tmp_path / "unfinished").prepare(Config(), None)
    with pytest.raises(FileNotFoundError, match="unfinished' is not finished"):
        evaluate.evaluate([finished(tmp_path / "a"), str(tmp_path / "unfinished")])


def test_a_run_given_twice_is_refused(tmp_path):
    run = finished(tmp_path / "a")
    with pytest.raises(ValueError, match="given twice"):
        evaluate.evaluate([run, f"{run}/"])


def test_importing_a_command_defines_no_flags():
    paths = sorted(pathlib.Path(cli.__path__[0]).glob("[a-z]*.py"))
    assert {"evaluate", "sample"} <= {path.stem for path in paths}
    before = set(flags.FLAGS)
    for path in paths:
        # Anew and under another name: the commands that other tests hold stay as they are.
        runpy.run_path(str(path), run_name=f"another_{path.stem}")
    assert set(flags.FLAGS) == before
