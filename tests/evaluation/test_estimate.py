import numpy as np
import pytest
import scipy.stats

from tf_sigma_vae.evaluation import estimate

# Of 200 resamples, the relative error of a standard deviation is 1 / sqrt(400), or 5 %: six times.
BOOTSTRAP_TOLERANCE = 0.3
ROUNDING = 1e-12


def test_mean_and_standard_error_are_scipys():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=17)
    found = estimate.mean("rate", values, "nats")
    assert found.value == pytest.approx(values.mean(), rel=ROUNDING)
    assert found.standard_error == pytest.approx(scipy.stats.sem(values), rel=ROUNDING)
    assert found.unit == "nats"


def test_float32_values_are_averaged_in_float64():
    values = np.full(10, 2.0**24, np.float32)
    values[::2] += np.float32(2.0)
    assert estimate.mean("elbo", values, "nats").value == 2.0**24 + 1.0


def test_a_value_that_is_the_same_everywhere_has_no_error():
    assert estimate.mean("log_scale", [0.25] * 5, "log data unit").standard_error == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(bad):
    with pytest.raises(FloatingPointError, match=r"psnr is not finite for 1 of 3 .* at example 1"):
        estimate.mean("psnr", [1.0, bad, 2.0], "dB")


def test_one_example_has_no_standard_error():
    with pytest.raises(ValueError, match="rate needs at least 2 examples, got 1"):
        estimate.mean("rate", [1.0], "nats")


def test_bootstrap_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(1).normal(size=100)
    found = estimate.bootstrap(lambda weights: weights @ values, len(values))
    assert found == pytest.approx(scipy.stats.sem(values), rel=BOOTSTRAP_TOLERANCE)


def test_bootstrap_repeats():
    values = np.arange(6.0)
    first, second = (estimate.bootstrap(lambda w: (w @ values) ** 2, 6) for _ in range(2))
    assert first == second > 0


def test_the_error_of_groups_of_one_size_is_that_of_their_means():
    values = np.random.default_rng(0).normal(size=(5, 3))
    found = estimate.mean("m", values.ravel(), "u", np.repeat(np.arange(5), 3))
    assert found.value == pytest.approx(values.mean())
    expected = values.mean(axis=1).std(ddof=1) / np.sqrt(5)
    assert found.standard_error == pytest.approx(expected, rel=1e-12)


def test_groups_may_be_of_different_sizes_and_in_any_order():
    values, groups = np.array([1.0, 2.0, 6.0, 3.0]), np.array([7, 2, 7, 2])
    found = estimate.mean("m", values, "u", groups)
    # About the mean of 3 the sums are -2 + 3 = 1 and -1 + 0 = -1.
    assert found == (3.0, pytest.approx(np.sqrt(2.0 / 1.0 * 2.0) / 4.0), "u")


def test_groups_of_one_example_are_examples():
    values = np.arange(6.0) ** 2
    found = estimate.mean("m", values, "u", np.arange(6))
    assert found[:2] == pytest.approx(estimate.mean("m", values, "u")[:2])


def test_one_group_has_no_error():
    with pytest.raises(ValueError, match="m needs at least 2 independent groups"):
        estimate.mean("m", [1.0, 2.0], "u", [3, 3])
