"""What `vae` refuses, and when."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import IMAGE_SHAPE, images, set_weights, tiny_vae
from tf_sigma_vae import likelihoods
from tf_sigma_vae.likelihoods import NotCalibratedError

DIMS = 48

untraced = pytest.mark.usefixtures("untraced")


def _compiled(likelihood="gaussian_fixed", **kwargs):
    model = tiny_vae(likelihood, **kwargs)
    model.compile(keras.optimizers.SGD(1e-3))
    return model


@pytest.fixture(scope="module")
def compiled():
    """A model whose step is a graph; refused batches leave it as it was."""
    return _compiled()


@pytest.mark.parametrize(
    "refused",
    [
        {"loss": "mse"},
        {"metrics": ["mae"]},
        {"weighted_metrics": ["mae"]},
        {"loss_weights": [1.0]},
    ],
)
def test_compile_refuses_another_objective(refused):
    with pytest.raises(ValueError, match=rf"compile\({next(iter(refused))}=...\) is not accepted"):
        tiny_vae().compile("adam", **refused)


def test_compile_refuses_a_loss_by_position():
    with pytest.raises(ValueError, match=r"compile\(loss=...\) is not accepted"):
        tiny_vae().compile("adam", "mse")


@untraced
@pytest.mark.parametrize("verb", ["fit", "evaluate"])
def test_eight_bit_images_are_refused_with_the_remedy(verb):
    x = np.zeros((4, *IMAGE_SHAPE), np.uint8)
    with pytest.raises(ValueError, match="images must be floats, got uint8: divide 8-bit images"):
        getattr(_compiled(), verb)(x, verbose=0)


@pytest.mark.parametrize("shape", [(6, 4, 2), (4, 6, 1), (4, 6)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"images must have shape \('B', 4, 6, 2\), got"):
        _compiled().check_images(tf.zeros([3, *shape]))


@untraced
def test_a_likelihood_of_grey_levels_refuses_values_between_them():
    model = _compiled("bitwise_categorical")
    exact, between = images(4), images(4)
    between[2, 1, 3, 0] = 100.5 / 255.0
    model.fit(exact, verbose=0)
    message = "images must hold grey levels k / 255"
    with pytest.raises(ValueError, match=message):
        model.fit(between, verbose=0)
    assert np.all(np.isfinite(_compiled()(between).distortion))


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_one_value_out_of_range_is_refused(value, compiled):
    x = images(4)
    x[2, 1, 3, 0] = value
    with pytest.raises(ValueError, match=rf"^images must lie in \[0, 1\].*; found {value}$"):
        compiled.fit(x, verbose=0)


@untraced
def test_data_of_any_range_fit_a_linear_mean():
    model = _compiled(likelihoods.GaussianFixed(loc_activation="linear"))
    history = model.fit(-30.0 + 5.0 * images(4), verbose=0).history
    assert np.isfinite(history["loss"][0])


@untraced
def test_calibrate_refuses_bad_images_of_an_uncompiled_model():
    model = tiny_vae("gaussian_optimal")
    with pytest.raises(ValueError, match=r"^images must lie in \[0, 1\].*"):
        model.calibrate(2.0 + images(4))
    with pytest.raises(ValueError, match="images must be floats, got uint8"):
        model.calibrate(np.zeros((4, *IMAGE_SHAPE), np.uint8))
    with pytest.raises(ValueError, match="at least one example"):
        model.calibrate(tf.data.Dataset.from_tensor_slices(images(4)).batch(2).take(0))
    assert model.likelihood.provenance() == {"source": "none"}


@untraced
def test_nothing_but_training_works_before_there_is_a_scale(tmp_path):
    model, x = _compiled("gaussian_optimal"), images(4)
    for attempt in (
        lambda: model(x),
        lambda: model.decode(tf.zeros([2, 3])),
        lambda: model.sample(2),
        lambda: model.log_importance_weights(x, 2),
        lambda: model.evaluate(x, verbose=0),
        lambda: model.predict(x, verbose=0),
        lambda: model.save(tmp_path / "model.keras"),
    ):
        with pytest.raises(NotCalibratedError, match="holds no scale yet"):
            attempt()
    assert not list(tmp_path.iterdir())
    model.fit(x, verbose=0)
    assert np.isfinite(model.evaluate(x, verbose=0, return_dict=True)["elbo"])


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("encoder", [np.nan, 0.0], "non-finite posterior loc"),
        # The exponential overflows.
        ("encoder", [0.0, 100.0], "non-finite posterior scale"),
        ("decoder", [np.nan], r"non-finite decoder output \(params\)"),
    ],
)
def test_non_finite_tensor_stops_training_and_is_named(part, values, message, compiled):
    # The last layer: a fused ReLU of oneDNN turns NaN into 0.
    bias, before = getattr(compiled, part).head.bias, compiled.get_weights()
    bias.assign(np.repeat(values, bias.shape[0] // len(values)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        compiled.fit(images(4), verbose=0)
    compiled.set_weights(before)


@untraced
def test_non_finite_scale_of_the_likelihood_is_named_by_its_term():
    model = _compiled("gaussian_shared")
    model.likelihood.trainable_variables[0].assign(np.nan)
    with pytest.raises(tf.errors.InvalidArgumentError, match="non-finite distortion"):
        model.fit(images(4), verbose=0)


@untraced
def test_check_of_finite_values_can_be_switched_off():
    model = _compiled(check_finite=False)
    bias = model.decoder.trainable_variables[-1]
    bias.assign(tf.fill(bias.shape, np.nan))
    assert np.isnan(model.fit(images(4), verbose=0).history["loss"][0])


@untraced
def test_calibrate_stores_the_float64_mean_over_every_batch():
    model = set_weights(tiny_vae("gaussian_optimal"))
    x = images(11)
    batches = tf.data.Dataset.from_tensor_slices((x, np.arange(11))).batch(4)
    provenance = model.calibrate(batches, step=42)
    assert provenance == {"source": "calibrate", "num_examples": 11, "step": 42}
    loc = model(x).likelihood.mean().numpy().astype(float)
    expected = np.mean((x - loc) ** 2)
    assert float(model.likelihood.variance) == pytest.approx(expected, rel=1e-5)
    model.calibrate(x)
    assert float(model.likelihood.variance) == pytest.approx(expected, rel=1e-5)


@untraced
def test_calibrate_notes_the_step_of_the_optimizer_and_training_after_it_shows():
    model = _compiled("gaussian_optimal")
    model.fit(images(8), batch_size=4, verbose=0)
    assert model.likelihood.provenance() == {"source": "moving_average", "num_updates": 2}
    provenance = model.calibrate(images(8))
    assert provenance == {"source": "calibrate", "num_examples": 8, "step": 2}
    model.fit(images(8), batch_size=4, verbose=0)
    assert model.likelihood.provenance() == {"source": "moving_average", "num_updates": 4}


@untraced
def test_calibrate_leaves_other_likelihoods_as_they_are():
    model = tiny_vae("gaussian_shared")
    before = model.likelihood.get_weights()
    assert model.calibrate(images(4)) == {"source": "weights"}
    np.testing.assert_array_equal(model.likelihood.get_weights(), before)


@untraced
def test_calibrated_variance_makes_the_training_set_distortion_optimal():
    likelihood = likelihoods.GaussianOptimal(bound="none")
    model, x = set_weights(tiny_vae(likelihood)), images(16)
    model.calibrate(x)
    variance = float(likelihood.variance)
    expected = DIMS / 2 * (np.log(2 * np.pi * variance) + 1)
    assert np.mean(model(x).distortion) == pytest.approx(expected, rel=1e-5)


def test_a_graph_that_uses_a_model_without_a_scale_fails():
    model = tiny_vae("gaussian_optimal")
    scored = tf.function(lambda x: model(x).distortion)
    with pytest.raises(tf.errors.InvalidArgumentError, match="holds no scale yet"):
        scored(tf.fill([2, *model.image_shape], 0.5))


@pytest.mark.parametrize("method", ["__call__", "encode"])
def test_unscaled_images_are_refused_outside_of_training_too(method):
    model = tiny_vae("gaussian_fixed")
    images = np.full([2, *model.image_shape], 200)
    with pytest.raises(ValueError, match="divide 8-bit images by 255"):
        getattr(model, method)(images.astype(np.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must lie in \[0, 1\]"):
        getattr(model, method)(images.astype(np.float32))
