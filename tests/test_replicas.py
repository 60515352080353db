"""Two replicas of half the batch are one device with the whole batch."""

import numpy as np
import pytest
import tensorflow as tf

from tests._printed import printed_by
from tests._two_replicas import CASES
from tf_sigma_vae.replicas import replica_sum

REORDERED = 2e-5
"""Relative: sums of float32 in another order, over ten steps of steepest descent. Adam would divide
by the size of a gradient, so that the rounding of one that is nearly 0 may become a whole step."""
STEPS = {
    # Of two epochs of five steps, each with a validation where there is one.
    "gaussian_optimal": [2, 4, 5, 5, 6, 8, 10, 10],
    "gaussian_shared": [2, 4, 5, 6, 8, 10],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return printed_by("tests._two_replicas", tmp_path_factory.mktemp("replicas"))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_weights_and_stored_scale_are_those_of_one_device(results, case):
    assert results["num_replicas"] == 2
    one, two = (results[f"{case}/{kind}"]["weights"] for kind in ("one_device", "mirrored"))
    assert one.keys() == two.keys()
    stored = {"gaussian_optimal": "variance", "gaussian_shared": "log_scale"}[case]
    assert f"vae/likelihood/{stored}" in one
    for path, weight in one.items():
        np.testing.assert_allclose(two[path], weight, rtol=REORDERED, atol=REORDERED, err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_metrics_are_those_of_one_device(results, case):
    one, two = (results[f"{case}/{kind}"]["lines"] for kind in ("one_device", "mirrored"))
    assert [line["step"] for line in one] == STEPS[case]
    for line, other in zip(one, two, strict=True):
        for name in line.keys() - {"split"}:
            assert other[name] == pytest.approx(line[name], rel=REORDERED, abs=REORDERED), name


@pytest.mark.slow
def test_replicas_skip_the_same_updates(results):
    lines = results["gaussian_shared/mirrored"]["lines"]
    rates = [line["skip_rate"] for line in lines if line["split"] == "train"]
    assert rates == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.slow
def test_a_killed_run_on_replicas_ends_like_one_that_was_not(results):
    # A metric is a sum of one part a replica; a checkpoint holds the whole, so that resuming groups
    # the same additions otherwise. Everything else, the weights above all, is equal bit for bit.
    state = [name for name in results["killed"] if not name.startswith("metrics")]
    assert [name for name in state if "counters" not in name] == []
    uninterrupted = results["gaussian_optimal/mirrored"]["lines"]
    for line, other in zip(results["killed_lines"], uninterrupted, strict=True):
        assert line.pop("split") == other["split"]
        for name, value in line.items():
            assert value == pytest.approx(other[name], rel=REORDERED, abs=REORDERED), name


def test_outside_of_replicas_the_sum_is_the_value_itself():
    value = tf.constant([1.0, 2.0])
    assert replica_sum(value) is value
