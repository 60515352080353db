"""The scripts of launch/, and a stage to run them on."""

import pytest

from tests.launch._stub import Stage


@pytest.fixture(scope="session")
def launch_folder(repository_root):
    """The folder of the scripts."""
    return repository_root / "launch"


@pytest.fixture
def stage(tmp_path):
    """Makes a stage on which sigma-vae-train does what a piece of bash says."""
    stages = []

    def make(body: str, **kwargs) -> Stage:
        stages.append(Stage(tmp_path, body, **kwargs))
        return stages[-1]

    yield make
    for made in stages:
        made.close()
