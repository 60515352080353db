"""What every likelihood owes, with every network of images: walks both folders, new files too.

Only the contract is used, never what a single likelihood happens to be. By default that is eager,
on tiny images; what compiles a model for every likelihood or network is slow.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests._models import image_networks, images, set_weights, tiny_vae
from tests._representatives import REPRESENTATIVES
from tests.conformance._xla_steps import VARIANTS
from tf_sigma_vae import likelihoods, networks, plugins

tfd = tfp.distributions

LIKELIHOODS, NETWORKS = plugins.names("likelihoods"), image_networks()
# The likelihoods that stand for all with the smallest network, and every network with one of them.
PAIRS = [(name, "dense") for name in REPRESENTATIVES]
PAIRS += [("gaussian_optimal", network) for network in NETWORKS if network != "dense"]
COMPILED_PAIRS = [
    pytest.param(*pair, marks=() if pair == ("gaussian_optimal", "dense") else pytest.mark.slow)
    for pair in PAIRS
]
SHAPE, BATCH = (4, 5, 3), 3
# XLA fuses and reorders sums over some hundred elements.
COMPILED = {"rtol": 2e-4, "atol": 2e-4}


def _model(likelihood, network="dense", shape=(9, 11, 1), **kwargs):
    model = set_weights(tiny_vae(likelihood, shape, network, **kwargs), scale=0.1)
    model.calibrate(images(8, shape, seed=5))
    return model


@functools.cache
def _shared_model(likelihood):
    """A model that no test changes."""
    return _model(likelihood, shape=SHAPE)


def test_networks_of_every_latent_of_images_are_walked():
    """Those for frames of videos, which are no models of images, are all that is left out."""
    walked = {networks.latent_of(name) for name in NETWORKS}
    assert walked == set(networks.LATENTS) - {"sequence"}


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("shape", [(9, 11, 1), (8, 10, 3)])
def test_distribution_has_one_batch_axis_and_the_image_as_event(name, shape):
    likelihood = plugins.find("likelihoods", name)()
    channels = likelihood.params_channels(shape[-1])
    assert isinstance(channels, int) and channels >= 1
    rng = np.random.default_rng(0)
    params = rng.normal(size=(BATCH, *shape[:2], channels)).astype(np.float32)
    x = images(BATCH, shape)
    distribution = likelihood.distribution(params, x, training=True)
    assert isinstance(distribution, tfd.Distribution)
    assert distribution.batch_shape == (BATCH,) and distribution.event_shape == shape
    assert distribution.log_prob(x).shape == (BATCH,)
    assert distribution.log_prob(x).dtype == tf.float32
    assert likelihood.measure in ("density", "mass", None)
    low, high = likelihood.value_range or (-np.inf, np.inf)
    assert low < high


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_masses_means_and_samples_have_the_shape_of_the_images(name):
    model, x = _shared_model(name), images(BATCH, SHAPE)
    distribution = model(x).likelihood
    assert distribution.mean().shape == x.shape
    assert distribution.sample(seed=[1, 2]).shape == x.shape
    log_scale = model.likelihood.log_scale(distribution)
    assert log_scale is None or log_scale.shape == (BATCH,)
    assert (log_scale is not None) == model.likelihood.has_scale
    mass = model.likelihood.bin_log_mass(distribution, x)
    assert mass.shape == (BATCH,) and mass.dtype == tf.float64
    assert np.all(mass.numpy() <= 0.0)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_evaluation_does_not_read_x(name):
    model, params_x = _shared_model(name), images(BATCH, SHAPE)
    output = model(params_x)
    for x in (None, images(BATCH, SHAPE, seed=8), np.full((1, 1), np.nan)):
        distribution = model.likelihood.distribution(output.params, x)
        log_prob = distribution.log_prob(params_x)
        np.testing.assert_allclose(log_prob, -output.distortion, rtol=1e-6)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_unknown_batch_size_gives_the_eager_log_probabilities(name):
    likelihood, x = _shared_model(name).likelihood, images(BATCH, SHAPE)
    channels = likelihood.params_channels(SHAPE[-1])
    params = np.random.default_rng(0).normal(size=(*x.shape[:-1], channels)).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, *a.shape[1:]]) for a in (params, x)])
    def score(params, x):
        distribution = likelihood.distribution(params)
        assert distribution.event_shape == SHAPE
        return distribution.log_prob(x)

    expected = likelihood.distribution(params).log_prob(x)
    for num in (1, BATCH):
        found = score(params[:num], x[:num])
        np.testing.assert_allclose(found, expected[:num], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "network"), COMPILED_PAIRS)
def test_unknown_batch_size_of_a_model_gives_the_eager_values(name, network):
    model = _model(name, network)

    @tf.function(input_signature=[tf.TensorSpec([None, 9, 11, 1])])
    def score(x):
        output = model(x)
        assert output.likelihood.event_shape == (9, 11, 1)
        return output.distortion, output.rate

    for num in (1, BATCH):
        x = images(num, (9, 11, 1), seed=1)
        eager = model(x)
        for compiled, plain in zip(score(x), (eager.distortion, eager.rate), strict=True):
            np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("network", sorted({*NETWORKS} - {v.network for v in VARIANTS}))
def test_xla_gives_the_same_loss_gradients_and_state(network):
    """Of the networks that `test_xla`, which has every likelihood, does not compile."""
    x = tf.constant(images(BATCH, (9, 11, 1)))

    def step(model):
        with tf.GradientTape() as tape:
            output = model(x, training=True)
            loss = tf.reduce_mean(output.distortion + output.rate)
        return loss, tape.gradient(loss, model.trainable_variables)

    results = []
    for jit in (False, True):
        model = _model("gaussian_optimal", network, check_finite=False)
        function = tf.function(step, jit_compile=True) if jit else step
        loss, gradients = function(model)
        assert all(gradient is not None for gradient in gradients)
        state = [w.numpy() for w in model.likelihood.weights]
        results.append([loss.numpy(), *(g.numpy() for g in gradients), *state])
    for plain, compiled in zip(*results, strict=True):
        scale = max(1.0, float(np.max(np.abs(plain))))
        np.testing.assert_allclose(compiled / scale, plain / scale, **COMPILED)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_step_in_bfloat16_is_finite_in_float32(name):
    model = tiny_vae(name, SHAPE, dtype="mixed_bfloat16")
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    logs = model.train_on_batch(images(BATCH, SHAPE), return_dict=True)
    assert all(np.all(np.isfinite(value)) for value in logs.values())
    assert all(np.all(np.isfinite(weight.numpy())) for weight in model.weights)
    assert {"loss", "elbo", "rate", "distortion"} <= set(logs)
    assert ("bits_per_dim" in logs) == (model.likelihood.measure is not None)
    assert ("log_scale" in logs) == ("beta_equivalent" in logs) == model.likelihood.has_scale
    assert all(w.dtype != "bfloat16" for w in model.likelihood.weights)
    output = model(images(2, SHAPE))
    assert output.distortion.dtype == output.rate.dtype == tf.float32


@pytest.mark.parametrize(("name", "network"), COMPILED_PAIRS)
def test_fit_in_bfloat16_stays_finite_in_float32_and_is_traced_once(name, network):
    shape = (9, 11, 3)
    model = tiny_vae(name, shape, network, dtype="mixed_bfloat16")
    model.compile(keras.optimizers.Adam(1e-3))
    compute_loss, traces, by_epoch = model.compute_loss, [], []

    def counted(*args, **kwargs):
        traces.append(None)
        return compute_loss(*args, **kwargs)

    model.compute_loss = counted
    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: by_epoch.append(len(traces)))
    x = images(2 * BATCH, shape)
    history = model.fit(x, batch_size=BATCH, epochs=3, verbose=0, callbacks=[count]).history
    assert all(np.all(np.isfinite(values)) for values in history.values())
    # Python runs when the step is traced, in the first epoch, and never again.
    assert by_epoch[0] >= 1 and by_epoch == [by_epoch[0]] * 3


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_config_round_trip_by_keras_keeps_the_options(name):
    likelihood = plugins.find("likelihoods", name)()
    config = keras.saving.serialize_keras_object(likelihood)
    restored = keras.saving.deserialize_keras_object(config)
    assert type(restored) is type(likelihood)
    assert restored.get_config() == likelihood.get_config()
    own = plugins.options(type(likelihood))
    assert set(own) <= set(likelihood.get_config())


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_provenance_says_where_the_scale_comes_from(name):
    model = _shared_model(name)
    provenance = model.likelihood.provenance()
    assert provenance["source"] in {"weights", "constant", "network", "calibrate"}
    assert (provenance["source"] == "calibrate") == model.likelihood.needs_calibration
    assert isinstance(model.likelihood, likelihoods.Likelihood)
