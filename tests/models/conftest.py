import pytest

from tests.models._eagerly import eagerly


@pytest.fixture
def untraced():
    """Runs the test without graphs."""
    with eagerly():
        yield
