import numpy as np
import pytest

from tf_sigma_vae.evaluation import activity


def posterior_means(stddevs, num_examples=400, offset=0.0, seed=0):
    draws = np.random.default_rng(seed).normal(size=(num_examples, len(stddevs)))
    standardized = (draws - draws.mean(axis=0)) / draws.std(axis=0)
    return offset + standardized * stddevs


def test_dimensions_with_a_variance_above_the_threshold_are_counted():
    found = activity.active_units(posterior_means([1.0, 0.11, 0.09, 0.0]))
    assert (found.value, found.unit) == (2.0, "count")


def test_the_mean_of_a_dimension_does_not_make_it_active():
    assert activity.active_units(posterior_means([0.05, 0.05], offset=1e4)).value == 0.0


def test_dimensions_far_from_the_threshold_have_no_error():
    assert activity.active_units(posterior_means([1.0, 0.001])).standard_error == 0.0


def test_a_dimension_at_the_threshold_is_as_uncertain_as_a_coin():
    # Half the resamples count it; the standard deviation of a fair coin is 1/2. Of 200 resamples
    # the share that counts it is known to 0.035: six times that makes 0.41 of it.
    found = activity.active_units(posterior_means([0.1 + 1e-6]))
    assert found.standard_error == pytest.approx(0.5, abs=0.1)


def test_a_mean_that_is_not_finite_is_an_error():
    means = posterior_means([1.0, 1.0])
    means[3, 1] = np.nan
    with pytest.raises(FloatingPointError, match="active_units"):
        activity.active_units(means)
