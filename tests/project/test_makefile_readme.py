"""The commands that README promises are those that exist."""

import os
import re

import pytest

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_MAKE = re.compile(r"(?:^|&&|;)\s*make ((?:[a-z][a-z-]*\s*)+)", flags=re.MULTILINE)
_SCRIPT = re.compile(r"\bsigma-vae-([a-z]+)\b")


def code_in(markdown):
    """Returns the fenced blocks and the inline code of a Markdown text."""
    return _FENCE.findall(markdown) + _INLINE.findall(_FENCE.sub("", markdown))


def make_targets_named(markdown):
    """Returns the targets of every `make` command that a Markdown text shows as code."""
    return {
        target
        for code in code_in(markdown)
        for targets in _MAKE.findall(code)
        for target in targets.split()
    }


def makefile_targets(makefile):
    """Returns the targets that a Makefile declares as phony, which are those users call."""
    return set(re.search(r"^\.PHONY:(.*)$", makefile, flags=re.MULTILINE).group(1).split())


@pytest.fixture
def readme(repository_root):
    return (repository_root / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def makefile(repository_root):
    return (repository_root / "Makefile").read_text(encoding="utf-8")


def test_every_make_command_of_the_readme_exists(readme, makefile):
    assert make_targets_named(readme) <= makefile_targets(makefile)


@pytest.mark.parametrize("target", ["demo", "test"])
def test_readme_names_the_two_first_commands(readme, target):
    assert target in make_targets_named(readme)


def test_every_make_command_of_contributing_exists(repository_root, makefile):
    text = (repository_root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = make_targets_named(text)
    assert "test" in named
    assert named <= makefile_targets(makefile)


def test_every_phony_target_has_a_rule_and_a_line_of_help(makefile):
    for target in makefile_targets(makefile):
        assert re.search(rf"^{target}:.*## ", makefile, flags=re.MULTILINE), target


def test_every_console_script_of_the_readme_exists(repository_root, readme):
    verbs = set(_SCRIPT.findall("\n".join(code_in(readme))))
    assert {"train", "evaluate", "sample"} <= verbs
    for verb in verbs:
        assert (repository_root / "tf_sigma_vae" / "cli" / f"{verb}.py").exists(), verb


def test_continuous_integration_runs_every_check(repository_root):
    path = repository_root / ".ci" / "run"
    lines = path.read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands[0] == "set -e"
    # Nothing may hide the exit code of one, as `make test || true` would.
    checks = [line for line in commands if re.search(r"\bmake\b", line)]
    assert checks == ["make lint", "make types", "make test", "make test-slow"]
    assert os.access(path, os.X_OK)


def test_a_command_that_does_not_exist_is_found():
    text = "To make sure, run\n```bash\nmake env && make demos\n```\nor `make test`, `cmake x`."
    assert make_targets_named(text) == {"env", "demos", "test"}
