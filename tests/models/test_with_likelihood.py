"""`WithLikelihood`: any backbone under the objective of a likelihood."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tests._models import IMAGE_SHAPE, images, weights_of
from tf_sigma_vae import likelihoods, models, plugins

tfd = tfp.distributions

BATCH = 5
# Sums of some hundred float32 terms.
FLOAT32 = 2e-5
untraced = pytest.mark.usefixtures("untraced")


def backbone(channels=2, **kwargs):
    """A functional model from `[B, 4, 6, 3]` to `[B, 4, 6, channels]`."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 6, 3))
    hidden = keras.layers.Conv2D(4, 3, padding="same", activation="relu", **kwargs)(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(channels, 3, padding="same", **kwargs)(hidden))


def pairs(num_examples, seed=0):
    """Inputs `[N, 4, 6, 3]` and targets `[N, 4, 6, 2]`."""
    return images(num_examples, (4, 6, 3), seed), images(num_examples, seed=seed + 100)


def with_likelihood(likelihood="gaussian_shared", calibrated=True, **kwargs):
    if isinstance(likelihood, str):
        likelihood = plugins.find("likelihoods", likelihood)()
    channels = likelihood.params_channels(IMAGE_SHAPE[-1])
    model = models.WithLikelihood(backbone(channels, **kwargs), likelihood)
    if calibrated:
        model.calibrate(*pairs(8, seed=7))
    return model


def gaussian_nll(y, mean, scale):
    log_prob = scipy.stats.norm.logpdf(y.astype(float), np.asarray(mean, float), scale)
    return -log_prob.sum(axis=(1, 2, 3))


@untraced
@pytest.mark.parametrize("name", ["gaussian_optimal", "logistic_mixture"])
def test_model_is_a_distribution_over_the_targets(name):
    model, (x, y) = with_likelihood(name), pairs(BATCH)
    distribution = model(x)
    assert isinstance(distribution, tfd.Distribution)
    assert distribution.batch_shape == (BATCH,) and distribution.event_shape == IMAGE_SHAPE
    log_prob = distribution.log_prob(y)
    assert log_prob.shape == (BATCH,) and log_prob.dtype == tf.float32
    assert np.all(np.isfinite(log_prob))
    np.testing.assert_allclose(
        model.predict(x, batch_size=2, verbose=0), distribution.mean(), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", ["gaussian_optimal", "gaussian_per_pixel"])
def test_training_changes_every_weight_and_the_configuration_goes_round(name):
    model, (x, y) = with_likelihood(name, calibrated=False), pairs(8)
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    before = [w.numpy() for w in model.trainable_variables]
    logs = model.train_on_batch(x, y, return_dict=True)
    assert all(np.isfinite(value) for value in logs.values())
    assert ("log_scale" in logs) == model.likelihood.has_scale
    after = [w.numpy() for w in model.trainable_variables]
    assert not any(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    restored = models.WithLikelihood.from_config(model.get_config())
    restored.set_weights(model.get_weights())
    np.testing.assert_allclose(restored(x).log_prob(y), model(x).log_prob(y), rtol=FLOAT32)


@untraced
def test_loss_is_the_nll_summed_over_the_event_and_averaged_over_the_batch():
    model, (x, y) = with_likelihood(likelihoods.GaussianFixed(scale=0.3)), pairs(BATCH)
    model.compile(keras.optimizers.SGD(0.0))
    expected = gaussian_nll(y, model.predict(x, verbose=0), 0.3).mean()
    logs = model.train_on_batch(x, y, return_dict=True)
    assert logs["loss"] == pytest.approx(expected, rel=FLOAT32)
    assert logs["nll"] == pytest.approx(expected, rel=FLOAT32)
    assert logs["log_scale"] == pytest.approx(np.log(0.3), rel=FLOAT32)


@untraced
def test_evaluate_and_fit_are_means_over_examples_with_a_partial_last_batch():
    model, (x, y) = with_likelihood(likelihoods.GaussianFixed(scale=0.3)), pairs(7)
    model.compile(keras.optimizers.SGD(0.0))
    expected = gaussian_nll(y, model.predict(x, verbose=0), 0.3).mean()
    logs = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    history = model.fit(x, y, batch_size=4, verbose=0).history
    for value in (logs["loss"], logs["nll"], history["loss"][0], history["nll"][0]):
        assert value == pytest.approx(expected, rel=FLOAT32)


def test_trained_scale_comes_to_the_root_mean_squared_error():
    # The backbone cannot see the noise: the best it can do is the mean, and the scale is the rest.
    noise = np.random.default_rng(0).normal(0.4, 0.2, size=(64, 2)).astype(np.float32)
    x = np.zeros((64, 1), np.float32)
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    head = likelihoods.GaussianShared(initial_scale="data", loc_activation="linear")
    model = models.WithLikelihood(network, head)
    model.compile(keras.optimizers.Adam(0.03))
    model.fit(tf.data.Dataset.from_tensors((x, noise)).repeat(150), shuffle=False, verbose=0)
    distribution = model(x)
    scale, error = float(distribution.stddev()[0, 0]), noise - distribution.mean()
    # It starts at more than twice that. All steps see the same batch: what is left is the way of
    # Adam to the optimum.
    assert scale == pytest.approx(np.sqrt(np.mean(error**2)), rel=0.02)


@untraced
def test_calibrated_scale_is_the_root_mean_squared_error_of_the_training_set():
    model, (x, y) = with_likelihood("gaussian_optimal", calibrated=False), pairs(150)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(x, y, batch_size=64, verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(64)
    stored = []
    for given in ((x, y), (dataset,)):
        provenance = model.calibrate(*given)
        assert provenance == {"source": "calibrate", "num_examples": 150, "step": 3}
        stored.append(float(model.likelihood.variance.numpy()))
    expected = np.mean((y.astype(float) - model.predict(x, verbose=0)) ** 2)
    assert stored == pytest.approx([expected, expected], rel=FLOAT32)


@untraced
def test_training_scale_is_that_of_the_targets_and_evaluation_never_sets_it():
    model, (x, y) = with_likelihood("gaussian_optimal", calibrated=False), pairs(8)
    model.compile(keras.optimizers.SGD(0.0))
    logs = model.train_on_batch(x, y, return_dict=True)
    error = np.mean((y.astype(float) - model.predict(x, verbose=0)) ** 2)
    expected = 0.5 * np.log(error + (1 / 510) ** 2)
    assert logs["log_scale"] == pytest.approx(expected, rel=FLOAT32)
    before = weights_of(model)
    model.evaluate(x[:3], 1 - y[:3], verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights_of(model), strict=True))


@untraced
def test_saved_model_predicts_the_same_and_goes_on_training(tmp_path):
    model, (x, y) = with_likelihood(likelihoods.GaussianShared(initial_scale="data")), pairs(8)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(x, y, batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x).log_prob(y), model(x).log_prob(y), rtol=1e-6)
    assert int(loaded.optimizer.iterations.numpy()) == 2
    for each in (model, loaded):
        each.train_on_batch(x, y)
    for first, second in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-5, atol=1e-7)


@untraced
def test_analytic_head_without_a_scale_is_refused_before_use(tmp_path):
    model, (x, y) = with_likelihood("gaussian_optimal", calibrated=False), pairs(4)
    model.compile("sgd")
    with pytest.raises(likelihoods.NotCalibratedError):
        model.predict(x, verbose=0)
    with pytest.raises(likelihoods.NotCalibratedError):
        model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="sample_weight is not supported by GaussianOptimal"):
        model.train_on_batch(x, y, sample_weight=np.ones(4))


@untraced
def test_sample_weights_weigh_the_loss_by_example():
    weights = np.array([0.0, 2.0, 1.0, 0.5, 3.0], np.float32)
    model, (x, y) = with_likelihood(likelihoods.GaussianFixed(scale=0.3)), pairs(BATCH)
    model.compile(keras.optimizers.SGD(0.0))
    nll = gaussian_nll(y, model.predict(x, verbose=0), 0.3)
    logs = model.train_on_batch(x, y, sample_weight=weights, return_dict=True)
    assert logs["loss"] == pytest.approx(np.sum(weights * nll) / BATCH, rel=FLOAT32)
    assert logs["nll"] == pytest.approx(np.average(nll, weights=weights), rel=FLOAT32)


@untraced
def test_penalties_of_the_backbone_are_kept():
    x, y = pairs(BATCH)
    losses = []
    for regularizer in (None, keras.regularizers.L2(0.5)):
        model = with_likelihood("gaussian_fixed", kernel_regularizer=regularizer)
        model.compile(keras.optimizers.SGD(0.0))
        losses.append(model.train_on_batch(x, y, return_dict=True))
    kernels = [w.numpy() for w in model.backbone.weights if w.name == "kernel"]
    penalty = sum(0.5 * np.sum(kernel**2) for kernel in kernels)
    assert losses[1]["loss"] - losses[0]["loss"] == pytest.approx(penalty, rel=1e-3)
    assert losses[1]["nll"] == pytest.approx(losses[0]["nll"], rel=FLOAT32)


def test_layers_know_whether_they_are_trained():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5, seed=0)])
    model = models.WithLikelihood(network, likelihoods.GaussianFixed(loc_activation="linear"))
    x = np.ones((4, 3), np.float32)
    np.testing.assert_array_equal(model(x).mean(), x)
    assert set(np.unique(model(x, training=True))) == {0.0, 2.0}


def test_targets_are_scored_exactly_under_a_low_precision_policy():
    model = with_likelihood(likelihoods.GaussianFixed(scale=0.01), dtype="mixed_bfloat16")
    x, y = pairs(BATCH)
    assert model.backbone(x).dtype == tf.bfloat16
    distribution = model(x)
    expected = -gaussian_nll(y, distribution.mean(), 0.01)
    # bfloat16 targets would be off by per cents at this scale.
    np.testing.assert_allclose(distribution.log_prob(y), expected, rtol=FLOAT32)
    model.compile("adam", run_eagerly=True)
    model.train_on_batch(x, y)
    assert {w.dtype for w in model.trainable_variables} == {"float32"}


def test_batches_of_other_sizes_are_not_traced_again():
    traces = []

    @keras.saving.register_keras_serializable("tests")
    class Counting(keras.layers.Layer):
        def call(self, inputs):
            traces.append(inputs.shape)
            return inputs

    inputs = keras.Input((3,))
    network = keras.Model(inputs, Counting()(keras.layers.Dense(3)(inputs)))
    model = models.WithLikelihood(network, "gaussian_shared")
    model.compile("adam", jit_compile=False)
    x = images(10, (3,))
    dataset = tf.data.Dataset.from_tensor_slices((x, x)).batch(4)
    model.fit(dataset, epochs=2, shuffle=False, verbose=0)
    count = len(traces)
    model.fit(dataset, epochs=2, shuffle=False, verbose=0)
    assert len(traces) == count


@untraced
def test_backbone_without_known_input_is_built_by_its_first_batch(tmp_path):
    network = keras.Sequential([keras.layers.Dense(4, "relu"), keras.layers.Dense(2)])
    model = models.WithLikelihood(network, "gaussian_shared")
    model.compile("adam")
    x, y = images(6, (3,)), images(6, (2,))
    model.fit(x, y, verbose=0)
    assert len(model.trainable_variables) == 5
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x).log_prob(y), model(x).log_prob(y), rtol=1e-6)


@untraced
@pytest.mark.parametrize(
    ("likelihood", "shape", "message"),
    [
        ("gaussian_per_pixel", (4, 6, 2), "emits 4 channels for targets of 2; this one emits 2"),
        ("gaussian_fixed", (4, 6), r"targets must have 4 axes, .* got shape \(4, 4, 6\)"),
        ("gaussian_fixed", (4, 5, 2), r"must have shape \('B', 4, 6, 2\)"),
    ],
)
def test_targets_that_do_not_fit_are_rejected(likelihood, shape, message):
    model = models.WithLikelihood(backbone(2), likelihood)
    model.compile("sgd")
    with pytest.raises(ValueError, match=message):
        model.fit(pairs(4)[0], images(4, shape), verbose=0)


@untraced
def test_missing_or_byte_targets_are_rejected():
    model = with_likelihood()
    model.compile("sgd")
    x, y = pairs(4)
    with pytest.raises(ValueError, match="targets are needed"):
        model.fit(x, verbose=0)
    with pytest.raises(ValueError, match="must be floats, got uint8"):
        model.fit(x, (255 * y).astype(np.uint8), verbose=0)


@untraced
def test_target_out_of_range_is_rejected():
    model, (x, y) = with_likelihood("gaussian_fixed"), pairs(4)
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        model.fit(x, 2 * y, verbose=0)


def test_impossible_argument_is_rejected():
    with pytest.raises(ValueError, match="unknown likelihood .* 'gaussian'"):
        models.WithLikelihood(backbone(), "gaussian")
    with pytest.raises(ValueError, match="likelihood must be a name or a Likelihood, got 3"):
        models.WithLikelihood(backbone(), 3)
    inputs = keras.Input((3,))
    forked = keras.Model(inputs, [keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)])
    with pytest.raises(ValueError, match="must have one output"):
        models.WithLikelihood(forked, "gaussian_fixed")
    with pytest.raises(ValueError, match=r"compile\(loss=\.\.\.\) is not accepted"):
        with_likelihood().compile("adam", loss="mse")
