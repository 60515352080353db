import pytest


@pytest.fixture
def untraced():
    """Runs the test without graphs."""
    # Imported late: TensorFlow takes seconds.
    from tests._eagerly import eagerly

    with eagerly():
        yield
