"""Distributions of which the truth is known, and a model's."""

import json

import numpy as np
import pytest
import scipy.stats
import tensorflow_probability as tfp

from tests._models import images, set_weights, tiny_vae
from tf_sigma_vae import distributions, plugins
from tf_sigma_vae.evaluation import calibration
from tf_sigma_vae.evaluation.calibration import predictions
from tf_sigma_vae.likelihoods import NotCalibratedError

tfd = tfp.distributions

SHAPE = (6, 8, 2)
MODEL_SHAPE = (6, 8, 3)
NUM_IMAGES = 300
TRUE_SCALE = 0.1
# Estimated from 100 images or more: by Student's t a correct mean is off by more once in 10^7 runs.
STANDARD_ERRORS = 6.0
# A grey level, in which 1/255 stands for 1/256, against a scale of 25 of them.
ROUNDING = 0.005


def _levels_of(values):
    """Values as the 8-bit level in whose bin they lie, scaled to [0, 1]."""
    return (np.clip(np.floor(256.0 * values), 0, 255) / 255.0).astype(np.float32)


def _predictions(scale, num_images=NUM_IMAGES, batch=NUM_IMAGES):
    rng = np.random.default_rng(0)
    loc = rng.uniform(0.4, 0.6, size=(num_images, *SHAPE))
    x = _levels_of(loc + TRUE_SCALE * rng.normal(size=loc.shape))
    for start in range(0, num_images, batch):
        part = slice(start, start + batch)
        yield tfd.Independent(tfd.Normal(loc[part], scale), 3), x[part]


def _is_near(estimate, truth, relative=ROUNDING):
    return (
        abs(estimate.value - truth) < STANDARD_ERRORS * estimate.standard_error + relative * truth
    )


@pytest.fixture(scope="module", params=[0.1, 0.08])
def scored(request):
    """Normal values of scale 0.1, scored by that scale and by another."""
    return request.param, calibration.from_predictions(_predictions(request.param))


def test_variance_ratio_is_the_true_variance_over_the_stored(scored):
    scale, found = scored
    ratio = (TRUE_SCALE / scale) ** 2
    for name in ("variance_ratio", "standardized_variance"):
        assert _is_near(found.metrics[name], ratio)
        # 28,800 independent squares have a relative error of sqrt(2 / 28,800).
        error = found.metrics[name].standard_error
        # Its own relative error is 1 / sqrt(2 x 300), or 4 %.
        assert error == pytest.approx(ratio * np.sqrt(2.0 / 28_800), rel=0.25)


def test_coverage_is_the_mass_that_the_truth_has_in_the_interval(scored):
    scale, found = scored
    for row in found.coverage:
        half = scipy.stats.norm.ppf(0.5 + 0.5 * row["nominal"]) * scale
        truth = 2.0 * scipy.stats.norm.cdf(half / TRUE_SCALE) - 1.0
        name = f"coverage_{100 * row['nominal']:.0f}"
        assert _is_near(found.metrics[name], truth)
        assert found.metrics[name][:2] == (row["value"], row["standard_error"])


def test_crps_and_sharpness_have_their_closed_forms(scored):
    scale, found = scored
    # E|X - Y| - E|X - X'| / 2 of a forecast X of that scale and the truth Y.
    crps = np.sqrt(2.0 / np.pi * (scale**2 + TRUE_SCALE**2)) - scale / np.sqrt(np.pi)
    assert _is_near(found.metrics["crps"], crps)
    assert found.metrics["sharpness_stddev"].value == pytest.approx(scale, rel=1e-6)
    width = 2.0 * scipy.stats.norm.ppf(0.95) * scale
    assert found.metrics["sharpness_90"].value == pytest.approx(width, rel=ROUNDING)


def test_pit_is_uniform_if_and_only_if_the_scale_is_true(scored):
    scale, found = scored
    share, error = (np.array(found.pit[name]) for name in ("share", "standard_error"))
    assert share.sum() == pytest.approx(1.0) and len(found.pit["edges"]) == 21
    size = NUM_IMAGES * np.prod(SHAPE)
    p_value = scipy.stats.chisquare(share * size, np.full(20, size / 20)).pvalue
    assert (p_value > 1e-7) == (scale == TRUE_SCALE)
    assert np.all(error > 0.0) and np.all(error < 0.1 * share)
    u = (np.arange(100_000) + 0.5) / 100_000
    pit = scipy.stats.norm.cdf(TRUE_SCALE / scale * scipy.stats.norm.ppf(u))
    assert _is_near(found.metrics["pit_mean"], 0.5)
    assert _is_near(found.metrics["pit_variance"], pit.var())


def test_parts_agree_with_the_whole(scored):
    scale, found = scored
    ratio = (TRUE_SCALE / scale) ** 2
    assert [row["channel"] for row in found.by_channel] == [0, 1]
    for row in (*found.by_channel, *found.by_intensity):
        assert row["rms_residual"] == pytest.approx(TRUE_SCALE, rel=0.1)
        assert row["rms_scale"] == pytest.approx(scale, rel=1e-6)
    assert sum(row["count"] for row in found.by_intensity) == NUM_IMAGES * np.prod(SHAPE)
    # Predicted means from 0.4 to 0.6, in bins of 1/16.
    assert [row["low"] for row in found.by_intensity] == [0.375, 0.4375, 0.5, 0.5625]
    assert {name: m.shape for name, m in found.maps.items()} == {
        "variance_ratio": SHAPE,
        "coverage_90": SHAPE,
    }
    assert found.maps["variance_ratio"].mean() == pytest.approx(ratio, rel=0.05)
    mean = found.maps["coverage_90"].mean()
    assert mean == pytest.approx(found.metrics["coverage_90"].value)
    assert found.by_scale is None
    # The residuals are independent: a relative standard deviation of 2 / 300.
    assert found.metrics["effective_pixels"].value == pytest.approx(96, rel=0.05)
    # 49 weights a channel, fitted on the 7,200 pixels of half of the images, lose 49 / 7,200 of the
    # mean square of each of 96 elements: a third of a nat, with a standard deviation of 0.07.
    assert found.metrics["correlation_cost"].value == pytest.approx(-0.33, abs=0.5)


@pytest.mark.parametrize("scale", [1.0, 0.06])
def test_black_images_do_not_hide_a_scale_that_is_too_large(scale):
    rng = np.random.default_rng(0)
    is_black = rng.uniform(size=(NUM_IMAGES // 3, *SHAPE)) < 0.8
    noise = 0.05 * rng.normal(size=is_black.shape)
    loc = np.where(is_black, np.abs(noise) if scale < 1.0 else 0.0, 0.5)
    x = np.where(is_black, 0.0, _levels_of(loc + noise)).astype(np.float32)
    distribution = tfd.Independent(tfd.Normal(loc, scale), 3)
    found = calibration.from_predictions([(distribution, x)])
    plain = [
        np.mean(np.abs(x - loc) <= scipy.stats.norm.ppf(0.5 + 0.5 * row["nominal"]) * scale)
        for row in found.coverage
    ]
    # The rounding moves black by half a level, 0.03 of the smaller scale: of the elements at the
    # end of the narrowest interval, 0.03.
    np.testing.assert_allclose([row["value"] for row in found.coverage], plain, atol=0.03)
    metrics = {name: estimate.value for name, estimate in found.metrics.items()}
    assert metrics["coverage_90"] == pytest.approx(plain[2], abs=0.01)
    assert metrics["share_at_ends"] == pytest.approx(is_black.mean())
    if scale == 1.0:
        assert metrics["coverage_90"] == 1.0
        # Black at a mean of 0 is uniform up to 0.5: nine tenths of it are within.
        # With a standard deviation of 0.003.
        assert metrics["coverage_8bit_90"] == pytest.approx(0.92, abs=0.02)
        assert found.maps["coverage_90"].min() == 1.0 and found.pit["share"][0] == 0.0
        assert {row["coverage_90"] for row in found.by_channel} == {1.0}


def test_a_bias_is_told_apart_from_dependence():
    rng = np.random.default_rng(0)
    is_still = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 2 == 1
    shape = (NUM_IMAGES, *SHAPE)
    residual = np.where(is_still, 0.1, 0.1 * rng.normal(size=shape))
    x = np.round(255.0 * (0.5 + residual)) / 255.0
    found = calibration.from_predictions(
        [(tfd.Independent(tfd.Normal(np.full(shape, 0.5), 0.1), 3), x)]
    )
    assert found.protocol["active_elements"] == 48
    assert found.metrics["effective_pixels"].value == pytest.approx(48, rel=0.05)
    assert found.metrics["bias_share"].value == pytest.approx(0.5, abs=0.02)
    assert "(of 48 that vary)" in found.sentence


def test_draws_of_a_mass_are_calibrated():
    rng = np.random.default_rng(1)
    logits = 3.0 * rng.normal(size=(100, *SHAPE, 256))
    cdf = np.cumsum(np.exp(logits), axis=-1)
    level = np.sum(cdf < rng.uniform(size=(100, *SHAPE, 1)) * cdf[..., -1:], axis=-1)
    distribution = tfd.Independent(distributions.GreyLevelCategorical(logits), 3)
    pair = distribution, (level / 255.0).astype(np.float32)
    found = calibration.from_predictions([pair], measure="mass").metrics
    assert _is_near(found["variance_ratio"], 1.0, relative=0.0)
    assert _is_near(found["pit_variance"], 1.0 / 12.0, relative=0.0)
    for nominal in (50, 80, 90, 95, 99):
        assert _is_near(found[f"coverage_{nominal}"], nominal / 100.0, relative=0.0)


def test_levels_are_gone_through_for_as_many_densities_as_is_quick(monkeypatch):
    few = 4
    monkeypatch.setattr(predictions, "MAX_CDFS", few * 256 * 96)
    found, whole = (
        calibration.from_predictions(_predictions(TRUE_SCALE, num_images=9, batch=batch))
        for batch in (5, 9)
    )
    for protocol in (found.protocol, whole.protocol):
        assert protocol["examples_over_levels"] == few and protocol["num_examples"] == 9
    for name, estimate in whole.metrics.items():
        assert found.metrics[name][:2] == pytest.approx(estimate[:2], rel=1e-5), name


# -- what is refused


def _pair(x=None, loc=0.5, shape=(3, *SHAPE)):
    distribution = tfd.Independent(tfd.Normal(np.full(shape, loc), 0.1), 3)
    return distribution, images(3, SHAPE) if x is None else x


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (_pair(images(3, SHAPE)[0]), r"\[B, H, W, C\]"),
        (_pair(np.zeros((3, *SHAPE), np.uint8)), "float values k / 255, got uint8"),
        (_pair(np.full((3, *SHAPE), 0.501)), "hold the values k / 255, got 0.501"),
        (_pair(np.full((3, *SHAPE), np.nan)), "got nan"),
        (_pair(shape=(2, *SHAPE)), "batch shape"),
        ((tfd.Normal(np.full((3, *SHAPE), 0.5), 0.1), images(3, SHAPE)), "batch shape"),
        (_pair(images(0, SHAPE), shape=(0, *SHAPE)), r"\[B, H, W, C\]"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(pair, message):
    with pytest.raises(ValueError, match=message):
        calibration.from_predictions([pair])


def test_options_and_too_few_images_are_refused():
    with pytest.raises(ValueError, match="measure must be one of"):
        calibration.from_predictions([_pair()], measure="masses")
    with pytest.raises(ValueError, match="seed must be"):
        calibration.from_predictions([_pair()], seed=-1)
    with pytest.raises(ValueError, match="at least 2 images, got 0"):
        calibration.from_predictions([])


def test_a_figure_that_is_not_finite_is_named_with_its_image():
    loc = np.full((3, *SHAPE), 0.5)
    loc[1, 2] = np.nan
    with pytest.raises(FloatingPointError, match="the pit of image 1 is not finite"):
        calibration.from_predictions([_pair(loc=loc)])


# -- models


def _uint8(num, seed=0):
    return np.round(255.0 * images(num, MODEL_SHAPE, seed)).astype(np.uint8)


def _vae(likelihood):
    model = set_weights(tiny_vae(likelihood, MODEL_SHAPE))
    model.calibrate(images(20, MODEL_SHAPE, seed=2))
    return model


@pytest.fixture(scope="module")
def model():
    return _vae("gaussian_optimal")


@pytest.fixture(scope="module")
def measured(model):
    progress = []
    found = calibration.model_calibration(model, _uint8(11), 4, seed=3, progress=progress.append)
    assert progress == [4, 4, 3]
    return found


def test_a_model_is_measured_with_the_draws_of_its_elbo_and_its_stored_scale(model, measured):
    x = (_uint8(11) / np.float32(255.0)).astype(np.float32)
    distribution = model(x, training=False).likelihood
    expected = calibration.from_predictions([(distribution, x)], seed=3)
    assert set(measured.metrics) == set(expected.metrics)
    # Other batches round the networks' float32 sums otherwise, and the CRPS and PIT follow.
    for name, estimate in expected.metrics.items():
        assert measured.metrics[name][:2] == pytest.approx(estimate[:2], rel=2e-3, abs=1e-4), name
    assert measured.metrics["sharpness_stddev"].value == pytest.approx(
        float(distribution.stddev()[0, 0, 0, 0])
    )


def test_the_record_is_fit_for_json_and_says_how_it_was_made(measured):
    found = calibration.to_dict(measured)
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again == found
    assert set(again["metrics"]["crps"]) == {"value", "standard_error", "unit"}
    assert np.shape(again["maps"]["coverage_90"]) == MODEL_SHAPE
    assert np.shape(again["autocorrelation"]) == (11, 11)
    protocol = again["protocol"]
    assert protocol["num_examples"] == 11 and protocol["seed"] == 3
    assert protocol["posterior_seed"] == 0 and protocol["measure"] == "density"
    assert protocol["scale"]["source"] == "calibrate"


def test_a_head_that_normalizes_its_own_mass_is_measured_by_its_own_cdf():
    model, levels = set_weights(tiny_vae("bernoulli", MODEL_SHAPE)), _uint8(5)
    found = calibration.model_calibration(model, levels)
    x = (levels / np.float32(255.0)).astype(np.float32)
    pair = model(x, training=False).likelihood, x
    expected = calibration.from_predictions([pair], None, model.likelihood.grey_level_cdf)
    for name, estimate in expected.metrics.items():
        assert found.metrics[name][:2] == pytest.approx(estimate[:2], rel=2e-3, abs=1e-4), name
    assert found.protocol["measure"] is None and found.protocol["examples_over_levels"] == 5


# Three channels also above; here of the head whose channels are coupled.
HEADS = [("logistic_mixture", 3)]
OTHERS = [(name, 1) for name in plugins.names("likelihoods")]


@pytest.mark.parametrize(
    ("name", "channels"),
    [*HEADS, *(pytest.param(*head, marks=pytest.mark.slow) for head in OTHERS)],
)
def test_every_head_is_measured_on_images_of_one_and_of_three_channels(name, channels):
    shape = (3, 4, channels)
    model = set_weights(tiny_vae(name, shape))
    x = images(4, shape)
    if model.likelihood.needs_calibration:
        model.calibrate(x)
    found = calibration.model_calibration(model, np.round(255.0 * x).astype(np.uint8), 4)
    assert found.protocol["examples_over_levels"] == 4
    assert len(found.by_channel) == channels and found.maps["coverage_90"].shape == shape
    assert 0.0 < found.metrics["crps"].value < 1.0
    levels = x * 255.0
    at_ends = np.mean((levels < 0.5) | (levels > 254.5))
    assert found.metrics["share_at_ends"].value == pytest.approx(at_ends)
    if model.likelihood.measure != "density":
        names = ("coverage_90", "coverage_8bit_90")
        assert found.metrics[names[0]] == found.metrics[names[1]]


def test_heads_of_many_outputs_take_smaller_batches():
    sizes = {
        name: predictions.rows_at_once(tiny_vae(name, (32, 32, 3)), 128)
        for name in ("gaussian_shared", "logistic_mixture", "categorical")
    }
    assert sizes == {"gaussian_shared": 42, "logistic_mixture": 40, "categorical": 5}
    assert predictions.rows_at_once(tiny_vae("gaussian_shared", MODEL_SHAPE), 3) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": images(3, MODEL_SHAPE)}, "must be uint8, got float32"),
        ({"images": [1, 2]}, "must be uint8, got <class 'list'>"),
        ({"images": _uint8(3)[:, :3]}, r"takes images of shape \(6, 8, 3\), got \(3, 8, 3\)"),
        ({"images": _uint8(1)}, "at least 2 images, got 1"),
        ({"global_batch_size": 0}, "global_batch_size must be at least 1"),
        ({"seed": 0.5}, "seed must be an integer"),
    ],
)
def test_what_cannot_be_measured_is_refused(model, given, message):
    with pytest.raises(ValueError, match=message):
        calibration.model_calibration(model, **{"images": _uint8(3), **given})


def test_a_scale_that_was_never_set_is_an_error():
    with pytest.raises(NotCalibratedError, match="calibrate"):
        calibration.model_calibration(tiny_vae("gaussian_optimal", MODEL_SHAPE), _uint8(3))
