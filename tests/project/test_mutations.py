"""The table of mutants fits the code; what a run of tests says of one is told apart."""

import argparse
import ast
import dataclasses
import json
import subprocess
import sys

import pytest

from benchmarks import _mutants, mutations

MUTANTS = _mutants.read()
FEWEST_MUTANTS = 40
FEWEST_OF_A_KIND = 2


def test_every_mutant_fits_the_code_once_and_can_be_compiled(repository_root):
    errors = []
    for mutant in MUTANTS:
        text = (repository_root / mutant.path).read_text(encoding="utf-8")
        try:
            ast.parse(mutant.applied(text))
        except (_mutants.TableError, SyntaxError) as error:
            errors.append(f"{mutant.name}: {error}")
    assert errors == []


def test_every_folder_and_kind_has_mutants(repository_root):
    assert len(MUTANTS) >= FEWEST_MUTANTS
    package = repository_root / _mutants.PACKAGE
    folders = {path.parent.relative_to(package).as_posix() for path in package.rglob("*.py")}
    # Those of builders and extractors adapt other software.
    folders = {name for name in folders if not name.startswith("data/_")}
    folders = (folders - {".", "evaluation/fid/extractors"}) | {"root"}
    assert {mutant.folder for mutant in MUTANTS} >= folders
    kinds = [mutant.kind for mutant in MUTANTS]
    assert {kind for kind in _mutants.KINDS if kinds.count(kind) < FEWEST_OF_A_KIND} == set()


def test_an_old_text_that_is_gone_or_there_twice_is_an_error_that_names_the_entry():
    mutant = dataclasses.replace(MUTANTS[0], old="x = 1", new="x = 2")
    assert mutant.applied("x = 1\ny = 1") == "x = 2\ny = 1"
    for text in ("x = 3", "x = 1\nx = 1"):
        with pytest.raises(_mutants.TableError, match=mutant.name):
            mutant.applied(text)


@pytest.fixture
def checkout(tmp_path):
    """A checkout of a package of one function, with a test that notices what it returns."""
    files = {
        "tf_sigma_vae/__init__.py": "",
        "tf_sigma_vae/rows.py": "def share():\n    return 1 + 1\n",
        "tests/test_rows.py": (
            "from tf_sigma_vae import rows\n\n\n"
            "def test_sum():\n    assert rows.share() == 2\n\n\n"
            "def test_that_always_fails():\n    assert False\n"
        ),
        "tests/test_other.py": (
            "from tf_sigma_vae import rows\n\n\ndef test_range():\n    assert rows.share() < 3\n"
        ),
        "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['.']\nmarkers = ['slow']\n",
    }
    for name, text in files.items():
        (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkout" / name).write_text(text)
    git = ["git", "-C", str(tmp_path / "checkout")]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "--all"], check=True)
    return tmp_path / "checkout"


def _mutant(name, new):
    path = "tf_sigma_vae/rows.py"
    return _mutants.Mutant(name, path, "1 + 1", new, kind="sign", why="not the sum")


def test_mutants_are_noticed_by_tests_that_pass_without_them(checkout, tmp_path, capsys):
    output = tmp_path / "results.json"
    args = argparse.Namespace(
        root=checkout, jobs=1, suite="fast", stage1_only=False, timeout=120.0, output=output
    )
    record = mutations.Record(output, {"root": str(checkout)}, fresh=False)
    mutants = [_mutant("three", "3"), _mutant("same", "0 + 2")]
    mutations.run(mutants, args, record)
    found = {name: (one.noticed_by, one.stage) for name, one in record.results.items()}
    assert found == {"three": ("tests/test_rows.py::test_sum", 1), "same": (None, 2)}
    assert record.left_out == {"tests/test_rows.py::test_that_always_fails"}
    assert "no catch, for it fails without a mutant: tests/test_rows" in capsys.readouterr().out
    assert (checkout / "tf_sigma_vae/rows.py").read_text() == "def share():\n    return 1 + 1\n"
    text = mutations.table(mutants, record.results)
    assert "noticed: 1 of 2" in text and "same (tf_sigma_vae/rows.py): not the sum" in text

    # What is known is not run again, unless the entry has changed.
    again = mutations.Record(output, {"root": str(checkout)}, fresh=False)
    assert again.results == record.results and again.left_out == record.left_out
    changed = dataclasses.replace(mutants[0], new="4")
    assert again.is_known(mutants[0], stage1_only=False)
    assert not again.is_known(changed, stage1_only=False)
    with pytest.raises(SystemExit, match="take another --output"):
        mutations.Record(output, {"root": "elsewhere"}, fresh=False)
    assert set(json.loads(output.read_text())["mutants"]) == {"three", "same"}


@pytest.mark.parametrize(
    ("code", "text", "found"),
    [
        (0, "3 passed in 1s", []),
        (5, "3 deselected in 1s", []),
        (1, "FAILED tests/a.py::test[x - y] - assert 0\n1 failed", ["tests/a.py::test[x - y]"]),
        (2, "ERROR tests/a.py - ImportError: no\n1 error", ["tests/a.py"]),
        (4, "ImportError while loading conftest 'tests/conftest.py'.", ["(import)"]),
        (-11, "Fatal Python error", ["(crash)"]),
    ],
)
def test_what_pytest_says_is_told_apart(code, text, found, checkout, tmp_path, monkeypatch):
    args = argparse.Namespace(suite="all", timeout=120.0)
    copy = mutations.Copy(checkout, tmp_path / "copy", args, set())
    monkeypatch.setattr(copy, "_call", lambda command: (code, text))
    assert copy._failed(["tests"], []) == found


@pytest.mark.parametrize("code", [1, 3, 4, -9])
def test_a_run_that_breaks_for_a_reason_of_its_own_is_an_error(
    code, checkout, tmp_path, monkeypatch
):
    args = argparse.Namespace(suite="all", timeout=120.0)
    copy = mutations.Copy(checkout, tmp_path / "copy", args, set())
    monkeypatch.setattr(copy, "_call", lambda command: (code, "INTERNALERROR"))
    with pytest.raises(mutations.HarnessError, match=f"stopped with {code}"):
        copy._failed(["tests"], [])


def test_a_run_that_hangs_is_ended(checkout, tmp_path):
    args = argparse.Namespace(suite="all", timeout=1.0)
    copy = mutations.Copy(checkout, tmp_path / "copy", args, set())
    with pytest.raises(subprocess.TimeoutExpired):
        copy._call([sys.executable, "-c", "import time; time.sleep(60)"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--suite=quick"], "invalid choice: 'quick'"),
        (["--jobs=0"], "--jobs must be positive, got 0"),
        (["--root=nowhere"], "--root=nowhere is no checkout"),
        (["--only=kl_plus_log_ratio,no_such"], "unknown mutant 'no_such'; known: soft_clip"),
    ],
)
def test_wrong_values_are_refused_before_any_work(argv, message, capsys):
    with pytest.raises(SystemExit):
        mutations.parse_args(argv)
    assert message in capsys.readouterr().err
