"""What a user gets who installs the package without a clone."""

import datetime
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

from tf_sigma_vae import __version__

NOT_INSTALLED = ("__pycache__", "dummy_data")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Returns the folder that a wheel would hold, with the metadata beside it."""
    root = tmp_path_factory.mktemp("build")
    command = ["setup.py", "-q", "egg_info", "--egg-base", root, "build_py", "--build-lib", root]
    clone = pathlib.Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, *command], cwd=clone, check=True, capture_output=True)
    return root


def _files_below(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not set(path.parts) & set(NOT_INSTALLED)
    }


def test_every_file_of_the_package_is_installed(built, repository_root):
    in_clone = _files_below(repository_root / "tf_sigma_vae")
    assert in_clone - _files_below(built / "tf_sigma_vae") == set()


def test_type_checkers_are_told_that_the_package_has_types(built):
    assert (built / "tf_sigma_vae" / "py.typed").is_file()


def test_configurations_are_installed_inside_the_package(built, repository_root):
    in_clone = _files_below(repository_root / "configs")
    assert "digits_vae.py" in in_clone
    assert in_clone == _files_below(built / "tf_sigma_vae" / "configs")


def test_nothing_else_is_installed(built):
    installed = {path.name for path in built.iterdir()}
    assert installed == {"tf_sigma_vae", "tf_sigma_vae.egg-info"}


def test_every_requirement_has_a_lower_and_an_upper_bound(built):
    text = (built / "tf_sigma_vae.egg-info" / "requires.txt").read_text(encoding="utf-8")
    requirements = [line for line in text.splitlines() if line and not line.startswith("[")]
    assert "tensorflow" in text
    assert [r for r in requirements if ">=" not in r or "<" not in r.replace("<=", "")] == []


def test_a_release_has_one_version_and_one_date(repository_root):
    citation = yaml.safe_load((repository_root / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (repository_root / "CHANGELOG.md").read_text(encoding="utf-8")
    released = [line for line in changelog.splitlines() if re.match(r"## \[\d", line)]
    newest = re.fullmatch(r"## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})", released[0])
    assert newest, released[0]
    # Raises if there is no such day.
    day = datetime.date.fromisoformat(newest[2])
    assert newest[1] == citation["version"] == __version__
    assert citation["date-released"] == day.isoformat()
