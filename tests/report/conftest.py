"""One page for all tests that look at a whole one."""

import pytest

from tests.report import _records
from tf_sigma_vae import report
from tf_sigma_vae.report import charts


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    sweep = _records.sweep(tmp_path_factory.mktemp("sweep"))
    return _records.content(sweep=sweep, notices=[f"A notice {_records.HOSTILE}"])


@pytest.fixture(scope="session")
def text(content):
    return report.render(content)


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out what is drawn in charts, in tests of the words around them: it takes longest."""

    def draw(plot, title, alt, caption, *_, **__):
        return charts.Chart("<svg></svg>", (10, 10), alt, caption)

    monkeypatch.setattr(charts, "draw", draw)
