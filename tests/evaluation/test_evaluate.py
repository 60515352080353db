import json
import math

import numpy as np
import pytest

from tests._models import set_weights, tiny_vae
from tests.evaluation._eagerly import eagerly
from tf_sigma_vae import data
from tf_sigma_vae.evaluation import table
from tf_sigma_vae.evaluation.evaluate import UNITS, evaluate_model
from tf_sigma_vae.likelihoods import GaussianFixed, NotCalibratedError

IMAGE_SHAPE = (4, 6, 3)
NUM_EXAMPLES = 11
# Batches of other sizes may round float32 sums otherwise.
ROUNDING = 1e-5
ALWAYS = {"elbo", "rate", "distortion", "iwae", "bits_per_dim_mass", "bits_per_dim_density"}
ALWAYS |= {"mse", "psnr", "active_units", "log_scale", "beta_equivalent"}


def levels(num_examples=NUM_EXAMPLES, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(num_examples, *IMAGE_SHAPE), dtype=np.uint8)


def unit_interval(images):
    return images.astype(np.float32) / np.float32(255.0)


def vae(likelihood="gaussian_optimal", **kwargs):
    model = set_weights(tiny_vae(likelihood, IMAGE_SHAPE, **kwargs))
    with eagerly():
        model.calibrate(unit_interval(levels(30, seed=1)))
    return model


def evaluate(model, images=None, num_samples=2, global_batch_size=4, **kwargs):
    """Of three images in one batch, unless others are given."""
    images = levels(3) if images is None else images
    with eagerly():
        return evaluate_model(model, images, num_samples, global_batch_size, **kwargs)


@pytest.fixture(scope="module")
def model():
    return vae()


@pytest.fixture(scope="module")
def evaluated(model):
    """The evaluation of `model` on `levels()`, compiled: it shows what others are held against."""
    return evaluate_model(model, levels(), num_samples=3, global_batch_size=4)


def test_metrics_have_their_units_and_their_order(evaluated):
    metrics = evaluated.metrics
    assert set(metrics) == ALWAYS | {"elbo_batch_scale", "distortion_batch_scale"}
    assert list(metrics) == [name for name in UNITS if name in metrics]
    assert all(metrics[name].unit == UNITS[name] for name in metrics)


def test_a_mass_has_no_bits_of_a_density_and_may_have_no_scale():
    absent = {"bits_per_dim_density", "log_scale", "beta_equivalent"}
    assert set(evaluate(vae("bitwise_categorical")).metrics) == ALWAYS - absent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("likelihood", "own"),
    [
        ("gaussian_optimal_per_image", {"elbo_image_scale", "distortion_image_scale"}),
        ("mse", set()),
        ("logistic_mixture", set()),
    ],
)
def test_a_likelihood_has_its_own_metrics(likelihood, own):
    assert set(evaluate(vae(likelihood)).metrics) >= {"elbo", "bits_per_dim_mass", *own}


def test_means_count_every_example_once(model, evaluated):
    # 11 images in batches of 4: the mean of the batches' means would weigh the last 3 more.
    output = model(unit_interval(levels()))
    metrics = evaluated.metrics
    expected = {
        "rate": output.rate.numpy(),
        "distortion": output.distortion.numpy(),
        "elbo": -(output.rate + output.distortion).numpy(),
    }
    for name, values in expected.items():
        values = values.astype(np.float64)
        assert metrics[name].value == pytest.approx(values.mean(), rel=ROUNDING)
        error = values.std(ddof=1) / math.sqrt(NUM_EXAMPLES)
        assert metrics[name].standard_error == pytest.approx(error, rel=1e3 * ROUNDING)


def test_psnr_is_averaged_over_images(model, evaluated):
    error = unit_interval(levels()) - model(unit_interval(levels())).likelihood.mean()
    mse = np.mean(np.square(error), axis=(1, 2, 3))
    metrics = evaluated.metrics
    assert metrics["mse"].value == pytest.approx(mse.mean(), rel=ROUNDING)
    assert metrics["psnr"].value == pytest.approx(np.mean(-10 * np.log10(mse)), rel=ROUNDING)


def test_only_the_batch_scale_depends_on_the_batch_size(model, evaluated):
    other = evaluate(model, levels(), 3, global_batch_size=NUM_EXAMPLES).metrics
    for name, found in evaluated.metrics.items():
        same = found.value == pytest.approx(other[name].value, rel=ROUNDING)
        assert same != name.endswith("_batch_scale"), name


def test_changing_an_image_changes_its_own_share_alone(model, evaluated):
    def change(images, before):
        """Of the sums over images, by inverting the third one."""
        changed = np.concatenate([images[:2], 255 - images[2:3], images[3:]])
        after = evaluate(model, changed, 3).metrics
        return {name: len(images) * (after[name].value - before[name].value) for name in before}

    found = change(levels(), evaluated.metrics)
    # The same change without the images after it changes nothing but a batch's own scale.
    few = levels()[:3]
    expected = change(few, evaluate(model, few, 3).metrics)
    for name in ("elbo", "iwae", "bits_per_dim_mass", "bits_per_dim_density", "mse", "psnr"):
        assert expected[name] != 0
        assert found[name] == pytest.approx(expected[name], rel=1e2 * ROUNDING), name
    name = "elbo_batch_scale"
    assert found[name] != pytest.approx(expected[name], rel=1e2 * ROUNDING)


def test_log_scale_and_beta_equivalent_are_of_the_stored_scale():
    metrics = evaluate(vae(GaussianFixed(scale=0.3), beta=5.0)).metrics
    assert metrics["log_scale"].value == pytest.approx(math.log(0.3), rel=ROUNDING)
    assert metrics["beta_equivalent"].value == pytest.approx(2 * 0.3**2 * 5.0, rel=ROUNDING)
    assert metrics["beta_equivalent"].standard_error == pytest.approx(0.0, abs=ROUNDING)


def test_the_error_of_beta_equivalent_is_by_the_delta_method():
    metrics = evaluate(vae("gaussian_per_pixel")).metrics
    assert set(metrics) == ALWAYS
    value, error, _ = metrics["beta_equivalent"]
    assert value == pytest.approx(2 * math.exp(2 * metrics["log_scale"].value))
    assert error == pytest.approx(2 * value * metrics["log_scale"].standard_error)
    assert error > 0


def test_the_evaluated_images_do_not_set_the_scale(model, evaluated):
    black = evaluate(model, np.zeros_like(levels(3)))
    expected = evaluated.metrics["log_scale"].value
    assert black.metrics["log_scale"].value == pytest.approx(expected, rel=ROUNDING)


def test_evaluating_twice_gives_the_same_digits(model):
    assert table.to_json(evaluate(model)) == table.to_json(evaluate(model))


def test_the_file_holds_metrics_and_protocol(evaluated):
    content = json.loads(table.to_json(evaluated))
    assert set(content) == {"metrics", "protocol"}
    assert all(
        set(metric) == {"value", "standard_error", "unit"} for metric in content["metrics"].values()
    )
    protocol = content["protocol"]
    assert protocol["scale"] == {"source": "calibrate", "num_examples": 30, "step": 0}
    assert (protocol["num_examples"], protocol["num_samples"]) == (NUM_EXAMPLES, 3)
    assert (protocol["global_batch_size"], protocol["seed"], protocol["step"]) == (4, 0, None)
    assert protocol["conventions"]["data_unit"] == "[0, 1]"
    assert set(protocol["versions"]) >= {"tensorflow", "keras", "tensorflow-probability"}


def test_the_step_of_a_compiled_model_is_noted():
    model = vae("gaussian_shared")
    model.compile("adam")
    model.optimizer.iterations.assign(3)
    assert evaluate(model).protocol["step"] == 3


def test_no_samples_means_no_iwae_and_progress_counts_images(model):
    counts = []
    metrics = evaluate(model, levels(), num_samples=0, progress=counts.append).metrics
    assert "iwae" not in metrics
    assert counts == [4, 4, 3]


def test_a_figure_that_is_not_finite_is_named():
    model = vae("gaussian_fixed")
    *others, bias = model.decoder.get_weights()
    model.decoder.set_weights([*others, bias * np.nan])
    with pytest.raises(FloatingPointError, match=r"elbo is not finite for 3 of 3 examples"):
        evaluate(model)


def test_a_scale_that_was_never_set_is_an_error():
    with pytest.raises(NotCalibratedError, match="calibrate"):
        evaluate(tiny_vae("gaussian_optimal", IMAGE_SHAPE))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": unit_interval(levels())}, "must be uint8, got float32"),
        ({"images": data.VideoSource()}, "must be uint8, got VideoSource"),
        ({"images": levels()[:, :3]}, r"shape \(4, 6, 3\), got \(3, 6, 3\)"),
        ({"images": levels(1)}, "at least 2 images, got 1"),
        ({"num_samples": -1}, "num_samples must not be negative"),
        ({"global_batch_size": 0}, "global_batch_size must be at least 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(model, given, message):
    with pytest.raises(ValueError, match=message):
        evaluate(model, **given)
