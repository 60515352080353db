"""Clusters of worker processes, of which no test leaves any behind."""

import pytest

from tests.multi_worker._workers import Workers


@pytest.fixture(scope="module")
def cluster():
    """Makes a cluster of a number of workers."""
    made = []

    def make(num_workers: int) -> Workers:
        made.append(Workers(num_workers))
        return made[-1]

    yield make
    for workers in made:
        workers.close()
