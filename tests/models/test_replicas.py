import numpy as np
import pytest
import tensorflow as tf

from tests._printed import printed_by
from tf_sigma_vae.replicas import replica_sum

# Sums over replicas are taken in another order; the facts of the method measured 3.4e-6.
TOLERANCE = 1e-5
# The same, absolute: a loss is a sum of 48 terms of either sign.
NATS = 2e-5
CASES = [
    "gaussian_optimal",
    "gaussian_optimal_per_image",
    "gaussian_inverse_gamma",
    "gaussian_inverse_gamma_trained",
    "gaussian_shared_from_data",
    "free_bits",
    "gaussian_optimal in parts",
    "gaussian_shared_from_data in parts",
    "free_bits in parts",
]


@pytest.fixture(scope="module")
def steps():
    """The same two training steps on one device and on two replicas, by case."""
    found = printed_by("tests.models._two_replicas")
    assert found["num_replicas"] == 2
    return found["results"]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_replicas_equal_one_device_with_the_same_global_batch(steps, case):
    one, two = steps[case]["one"], steps[case]["two"]
    assert one["replicas_agree"] and two["replicas_agree"]
    assert one["history"].keys() == two["history"].keys()
    assert ("test_loss" in one["history"]) == case.endswith(" in parts")
    for name, values in one["history"].items():
        np.testing.assert_allclose(two["history"][name], values, TOLERANCE, NATS, err_msg=name)
    assert len(one["weights"]) == len(two["weights"])
    for (path, first), second in zip(one["weights"].items(), two["weights"].values(), strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=TOLERANCE, err_msg=path)


@pytest.mark.slow
def test_scale_is_that_of_the_global_batch_and_not_of_a_replicas_part(steps):
    """The halves differ fiftyfold in error: a local scale would be off by far."""
    weights = steps["gaussian_optimal"]["two"]["weights"]
    stored = next(v for path, v in weights.items() if path.endswith("/variance"))
    history = steps["gaussian_optimal"]["two"]["history"]
    # Uniform average of the two steps; log_scale holds the floor too.
    mean = np.mean(np.exp(2 * np.array(history["log_scale"]))) - (1 / 510) ** 2
    assert stored == pytest.approx(mean, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["hierarchy", "hierarchy in parts"])
def test_two_replicas_of_a_hierarchy_equal_one_device(case):
    found = printed_by("tests.models._two_replicas", case)["results"]
    test_two_replicas_equal_one_device_with_the_same_global_batch(found, case)
    rates = [name for name in found[case]["two"]["history"] if name.startswith("rate_level_")]
    assert rates == ["rate_level_0", "rate_level_1"]


def test_sum_of_one_replica_is_the_value_itself():
    value = tf.constant([1.0, 2.0])
    assert replica_sum(value) is value
