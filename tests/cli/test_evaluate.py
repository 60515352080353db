import json
import pathlib
import subprocess
import sys
import types

import pytest

from tests.cli._finished_run import finished_run
from tf_sigma_vae import cli
from tf_sigma_vae.cli import evaluate
from tf_sigma_vae.config import Config
from tf_sigma_vae.workdir import Workdir

FEW = {"num_samples": 2, "num_examples": 5}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("runs") / "optimal")


def command(*arguments):
    """Runs the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tf_sigma_vae.cli.evaluate", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_a_table_and_writes_the_file(run):
    done = command(f"--workdir={run}", "--num_samples=2", "--num_examples=5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("metric")
    assert "digits test: 5 images, iwae of 2 samples" in done.stdout
    assert "5/5" in done.stderr
    content = json.loads((pathlib.Path(run) / "evaluation.json").read_text())
    assert {"elbo", "iwae", "elbo_batch_scale"} <= set(content["metrics"])
    protocol = content["protocol"]
    assert (protocol["dataset"], protocol["variant"]) == ("digits", "gaussian_optimal")
    assert (protocol["split"], protocol["num_examples"]) == ("test", 5)
    assert protocol["scale"]["source"] == "calibrate"
    assert "tf-sigma-vae" in protocol["versions"]


def test_an_error_is_one_line_that_names_the_command(tmp_path):
    done = command(f"--workdir={tmp_path / 'absent'}")
    assert done.returncode == 1
    assert done.stdout == ""
    error = done.stderr.splitlines()[-1]
    assert error.startswith("sigma-vae-evaluate: error: there is no workdir")


def test_evaluating_twice_writes_the_same_bytes(run):
    file = pathlib.Path(run) / "evaluation.json"
    written = []
    for _ in range(2):
        evaluate.evaluate([run], **FEW)
        written.append(file.read_bytes())
        file.unlink()
    assert written[0] == written[1]


def test_several_runs_share_a_table(run, tmp_path):
    other = finished_run(tmp_path / "fixed", "gaussian_fixed")
    text = evaluate.evaluate([run, other], **FEW)
    assert text.splitlines()[0].split() == ["metric", "unit", "optimal", "fixed"]
    assert (tmp_path / "fixed" / "evaluation.json").exists()
    assert "not likelihoods" in text


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


def test_every_run_is_checked_before_one_is_evaluated(tmp_path):
    run = finished_run(tmp_path / "finished", "gaussian_fixed")
    Workdir(tmp_path / "unfinished").prepare(Config(), None)
    with pytest.raises(FileNotFoundError, match="unfinished' is not finished"):
        evaluate.evaluate([run, str(tmp_path / "unfinished")], **FEW)
    assert not (tmp_path / "finished" / "evaluation.json").exists()


def test_a_run_given_twice_is_refused(run):
    with pytest.raises(ValueError, match="given twice"):
        evaluate.evaluate([run, f"{run}/"], **FEW)


def test_importing_a_command_defines_no_flags():
    folder = pathlib.Path(cli.__path__[0])
    names = sorted(path.stem for path in folder.glob("[a-z]*.py"))
    assert {"evaluate", "sample"} <= set(names)
    imports = "\n".join(f"import tf_sigma_vae.cli.{name}" for name in names)
    source = f"{imports}\nfrom absl import flags\nprint('workdir' in flags.FLAGS)"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
