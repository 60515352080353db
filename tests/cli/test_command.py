"""`--help` of an installed command, whose script is a stub."""

import subprocess
import sys

import pytest

FLAGS = {
    "train": [
        "--config",
        "--config.num_epochs",
        "--dataset",
        "--variant",
        "--workdir",
        "--dry_run",
    ],
    "report": ["--workdir", "--compare", "--extractor", "--measures"],
}


@pytest.mark.slow
@pytest.mark.parametrize("verb", FLAGS)
def test_help_of_the_installed_command_shows_what_it_does_and_its_flags(verb, tmp_path):
    stub = tmp_path / f"sigma-vae-{verb}"
    stub.write_text(f"from tf_sigma_vae.cli.{verb} import run\n\nrun()\n", encoding="utf-8")
    shown = subprocess.run(
        [sys.executable, str(stub), "--help"], capture_output=True, text=True, check=False
    ).stdout
    assert f"sigma-vae-{verb} --" in shown
    for flag in FLAGS[verb]:
        assert flag in shown
