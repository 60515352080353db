"""What the sentence says of the figures."""

import pytest

from tf_sigma_vae.evaluation.calibration import record
from tf_sigma_vae.evaluation.estimate import Estimate


def _sentence(gain, error, num_active=784):
    metrics = {
        "effective_pixels": Estimate(19.96, 0.34, "scalars"),
        "correlation_cost": Estimate(gain, error, "nats"),
    }
    return record.sentence(metrics, 784, num_active)


def test_a_gain_is_that_of_gaussian_residuals_and_no_bound():
    text = _sentence(353.12, 2.345)
    assert "at least" not in text
    assert text.endswith(
        "Taken for Gaussian, residuals with these correlations would score about 353.1 ± 2.3 "
        "nats/image (0.65 bits/dim) higher if each were predicted from those before it."
    )
    assert "As far as a common scale of Gaussian residuals goes" in text


def test_errors_have_two_digits():
    assert "19.96 ± 0.34 independent ones (of 700 that vary)" in _sentence(353.12, 2.345, 700)
    assert "39.3 times over" in _sentence(353.12, 2.345)


@pytest.mark.parametrize("gain", [-3.0, 0.0, 0.99])
def test_up_to_two_standard_errors_no_gain_is_seen(gain):
    text = _sentence(gain, 0.5)
    assert "they show no gain from predicting each from those before it" in text
    assert "higher" not in text and f"({gain:.2f} ± 0.50 nats/image)" in text
    assert "higher" in _sentence(1.01, 0.5)


def test_without_figures_there_is_no_telling():
    assert record.sentence({}, 12, 0).endswith("to tell whether they are.")
