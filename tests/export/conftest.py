"""Exports and servers that several test modules share."""

import shutil

import pytest

from tests.export import _servers

NAME = "tiny"
FACTORS = {1: 1.0, 2: 2.0}


@pytest.fixture(scope="session")
def model_name():
    return NAME


@pytest.fixture(scope="session")
def small_versions(tmp_path_factory):
    """Folders of two small models, by version; their factors are the versions."""
    from tests.export import _small_models

    root = tmp_path_factory.mktemp("small")
    for version, factor in FACTORS.items():
        _small_models.save(root / str(version), factor)
    return {version: root / str(version) for version in FACTORS}


@pytest.fixture(scope="session")
def publish_copy():
    """Returns `publish_copy(folder, base, version, add=None)`: a copy as a version, by one rename.

    `add` is called with the folder before that.
    """
    from tf_sigma_vae.export import publish

    def copy(source, base, version, add=None):
        def write(folder):
            shutil.copytree(source, folder, dirs_exist_ok=True)
            if add is not None:
                add(folder)

        publish.publish(str(base), write, version)

    return copy


@pytest.fixture(params=_servers.ROUTES)
def route(request):
    return request.param


@pytest.fixture
def run_double(repository_root, tmp_path):
    """Returns `run_double(base, **options)`, which starts a test double until the test ends."""
    started = []

    def run(base, **options):
        log = tmp_path / f"server{len(started)}.log"
        started.append(_servers.start_double(repository_root, base, NAME, log, **options))
        return started[-1]

    yield run
    for server in started:
        server.stop()
