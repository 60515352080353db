"""One page for all tests that look at a whole one."""

import pytest

from tests.report import _records
from tf_sigma_vae import report


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    sweep = _records.sweep(tmp_path_factory.mktemp("sweep"))
    return _records.content(sweep=sweep, notices=[f"A notice {_records.HOSTILE}"])


@pytest.fixture(scope="session")
def text(content):
    return report.render(content)
