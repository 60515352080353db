"""Figures of elements that are given, without any distribution."""

import numpy as np
import pytest
import scipy.stats

from tf_sigma_vae.evaluation.calibration.tally import Tally, ratio

SHAPE = (4, 5, 2)
NUM_IMAGES = 200
# Estimated from 200 images: by Student's t a correct mean is off by more once in 10^7 runs.
STANDARD_ERRORS = 6.0


def _figures(scale, residual, mean=0.5, pit=0.5):
    """Of images whose residuals and predicted scales are given."""
    shape = np.broadcast_shapes((NUM_IMAGES, *SHAPE), np.shape(residual))
    figures = {"x": mean + residual, "mean": mean, "variance": np.square(scale), "pit": pit}
    figures |= {"crps": 0.1, "width": 0.2, "pit_8bit": 0.5}
    return {name: np.broadcast_to(v, shape).astype(np.float64) for name, v in figures.items()}


def _tally(*args, batch=NUM_IMAGES, **kwargs):
    found, figures = Tally(), _figures(*args, **kwargs)
    for start in range(0, NUM_IMAGES, batch):
        found.add({name: v[start : start + batch] for name, v in figures.items()})
    return found


def _noise(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(size=(NUM_IMAGES, *shape))


def test_batches_of_any_size_give_the_same():
    scale = np.exp(_noise(seed=1))
    whole, parts = (_tally(scale, scale * _noise(), batch=batch) for batch in (NUM_IMAGES, 37))
    assert parts.num_images == NUM_IMAGES
    assert parts.metrics(50) == whole.metrics(50)
    assert parts.by_scale() == whole.by_scale()
    np.testing.assert_allclose(parts.maps()["variance_ratio"], whole.maps()["variance_ratio"])


def test_standard_errors_are_over_images_not_over_pixels():
    # All elements of an image share its residual, or none does.
    for noise in (_noise((1, 1, 1)), _noise()):
        found = _tally(0.1, 0.1 * noise).metrics(NUM_IMAGES)["variance_ratio"]
        of_images = np.mean(noise**2, axis=(1, 2, 3))
        assert found.value == pytest.approx(of_images.mean())
        assert found.standard_error == pytest.approx(scipy.stats.sem(of_images))


def test_standard_error_of_a_ratio_is_its_spread():
    rng = np.random.default_rng(0)
    numbers = rng.gamma(4.0, size=(2000, 60))
    pairs = [(row + rng.gamma(2.0, size=60), row) for row in numbers]
    found = [ratio("r", *pair) for pair in pairs]
    spread = np.std([estimate.value for estimate in found])
    # A spread of 2,000 numbers is known to 1.6 %; the delta method is of first order.
    assert np.mean([e.standard_error for e in found]) == pytest.approx(spread, rel=0.12)
    assert found[0].value == pytest.approx(pairs[0][0].sum() / pairs[0][1].sum())


def test_residuals_are_held_against_the_scale_that_was_predicted_for_them():
    scale = np.exp(np.random.default_rng(5).uniform(-4.0, -2.0, size=(NUM_IMAGES, *SHAPE)))
    rows = _tally(scale, 2.0 * scale * _noise()).by_scale()
    assert [row["count"] for row in rows] == [40 * NUM_IMAGES // 16] * 16
    assert [row["low"] for row in rows[1:]] == [row["high"] for row in rows[:-1]]
    for row in rows:
        assert row["low"] <= row["rms_scale"] <= row["high"]
        error = STANDARD_ERRORS * row["rms_residual_standard_error"]
        assert row["rms_residual"] == pytest.approx(2.0 * row["rms_scale"], abs=error)


def test_scales_of_channels_have_a_bin_each_and_one_scale_has_none():
    found = _tally(np.array([0.125, 0.0625]), 0.125 * _noise())
    assert [row["rms_scale"] for row in found.by_scale()] == pytest.approx([0.0625, 0.125])
    assert {row["count"] for row in found.by_scale()} == {20 * NUM_IMAGES}
    ratios = [row["variance_ratio"] for row in found.by_channel()]
    # Of 4,000 squares: a relative standard deviation of 2 %.
    assert ratios == pytest.approx([1.0, 4.0], rel=0.15)
    assert _tally(0.1, 0.1 * _noise()).by_scale() is None


def test_bins_of_intensity_hold_the_elements_of_that_predicted_mean():
    mean = np.linspace(-0.1, 1.1, 40).reshape(SHAPE)
    covered = np.where(mean < 0.5, 0.5, 0.999)
    rows = _tally(0.1, 0.2, mean=mean, pit=covered).by_intensity()
    # What lies off the range counts in the end bins; so there are 16.
    assert [row["low"] for row in rows] == [k / 16 for k in range(16)]
    assert [row["coverage_90"] for row in rows] == [1.0] * 8 + [0.0] * 8
    assert rows[0]["count"] == NUM_IMAGES * np.sum(mean < 1 / 16)
    for row in rows:
        assert row["rms_residual"] == pytest.approx(0.2)
        assert row["rms_scale"] == pytest.approx(0.1)
    dark = _tally(0.1, 0.2, mean=0.03).by_intensity()
    assert [(row["low"], row["count"]) for row in dark] == [(0.0, 40 * NUM_IMAGES)]


def test_elements_at_the_ends_are_counted_and_the_coverage_of_their_levels_is_apart():
    mean = np.full(SHAPE, 0.25)
    mean[0], mean[1, :, 0] = 0.0, 1.0
    figures = _figures(0.1, 0.0, mean=mean, pit=0.99)
    figures["pit_8bit"] = np.where(mean == 0.25, 0.99, figures["pit_8bit"])
    found = Tally()
    found.add(figures)
    metrics = found.metrics(NUM_IMAGES)
    assert metrics["share_at_ends"] == pytest.approx((15 / 40, 0.0, "1"))
    assert metrics["coverage_8bit_90"].value == pytest.approx(15 / 40)
    assert metrics["coverage_90"].value == 0.0


def test_residuals_come_back_in_the_unit_of_the_data():
    residual = 0.1 * _noise()
    found = _tally(np.exp(_noise(seed=1)), residual).residuals()
    np.testing.assert_allclose(found, residual, rtol=1e-5)


def test_certainty_has_no_ratio_and_no_standardized_residual():
    scale = np.full(SHAPE, 0.1)
    scale[0, 0, 0] = 0.0
    found = _tally(scale, 0.1 * _noise())
    assert np.isnan(found.maps()["variance_ratio"][0, 0, 0])
    assert np.isfinite(found.maps()["variance_ratio"]).sum() == 39
    metrics = found.metrics(NUM_IMAGES)
    assert "standardized_variance" not in metrics and "variance_ratio" in metrics
    certain = _tally(0.0, 0.1)
    assert "variance_ratio" not in certain.metrics(NUM_IMAGES)
    assert certain.by_channel()[0]["variance_ratio"] is None
    # A residual counts over the rounding of 8 bits then.
    assert np.all(np.isfinite(certain.column("residual")))


def test_what_is_not_finite_is_named():
    found = Tally()
    figures = _figures(0.1, 0.1 * _noise())
    found.add(figures)
    figures["variance"] = figures["variance"].copy()
    figures["variance"][3, 1] = np.inf
    with pytest.raises(FloatingPointError, match="the variance of image 203 is not finite"):
        found.add(figures)
