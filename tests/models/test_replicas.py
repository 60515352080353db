import functools

import numpy as np
import pytest
import tensorflow as tf

from tests._printed import printed_by
from tf_sigma_vae.replicas import replica_sum

# Sums over replicas are taken in another order; the facts of the method measured 3.4e-6.
TOLERANCE = 1e-5
# The same, absolute: a loss is a sum of 48 terms of either sign.
NATS = 2e-5
CASES = (
    "with_likelihood",
    "gaussian_optimal_per_image",
    "gaussian_shared_from_data",
    "gaussian_optimal in parts",
    "gaussian_shared_from_data in parts",
)


@functools.cache
def steps(cases):
    """The same training steps on one device and on two replicas, by case."""
    found = printed_by("tests.models._two_replicas", *cases)
    assert found["num_replicas"] == 2
    return found["results"]


def require_same(one, two):
    assert one["replicas_agree"] and two["replicas_agree"]
    assert one["history"].keys() == two["history"].keys()
    for name, values in one["history"].items():
        np.testing.assert_allclose(two["history"][name], values, TOLERANCE, NATS, err_msg=name)
    assert len(one["weights"]) == len(two["weights"])
    for (path, first), second in zip(one["weights"].items(), two["weights"].values(), strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=TOLERANCE, err_msg=path)


@pytest.mark.slow
def test_two_replicas_equal_one_device_with_the_same_global_batch():
    require_same(**steps(("gaussian_optimal",))["gaussian_optimal"])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_replicas_equal_one_device_in_every_way(case):
    found = steps(CASES)[case]
    require_same(**found)
    assert ("test_loss" in found["one"]["history"]) == case.endswith(" in parts")


def test_sum_of_one_replica_is_the_value_itself():
    value = tf.constant([1.0, 2.0])
    assert replica_sum(value) is value
