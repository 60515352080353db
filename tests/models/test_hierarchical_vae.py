"""`hierarchical_vae` on its own network: what it shares with `vae`, and what it does not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import IMAGE_SHAPE, LATENT_SIZE, images, set_weights, tiny_vae, weights_of
from tf_sigma_vae import models, objectives

BATCH = 4
FLOAT32 = 2e-5
NATS = 1e-4
"""Absolute: sums of some hundred terms of either sign, in float32."""
DETERMINISTIC = {"latents": [(4, 1), (1, 2)], "stochastic_bottom_up": False}

untraced = pytest.mark.usefixtures("untraced")


def hierarchy(likelihood="gaussian_fixed", options=None, **kwargs):
    given = {"channels": 4, "latents": [(4, 1), (1, 1)], "latent_channels": 2, "num_blocks": 1}
    given |= options or {}
    return tiny_vae(likelihood, network="ladder32", network_options=given, **kwargs)


@pytest.fixture(scope="module")
def model():
    return set_weights(hierarchy("gaussian_shared"))


@pytest.fixture(scope="module")
def deterministic():
    """No draws on the way up; two levels of vectors and one of maps."""
    return set_weights(hierarchy(options=DETERMINISTIC))


@pytest.fixture(scope="module")
def output(model):
    return model(images(BATCH))


class Encoder(keras.layers.Layer):
    """The way up a ladder of one level, as the encoder of a flat latent."""

    def __init__(self, networks, **kwargs):
        super().__init__(**kwargs)
        self.bottom_up, self.top_down = networks
        self.built = True

    def call(self, x):
        features, _ = self.bottom_up(x)
        return tf.reshape(self.top_down.posterior(0, None, features[0]), [-1, 2 * LATENT_SIZE])


class Decoder(Encoder):
    """The way down."""

    def call(self, z):
        return self.top_down([tf.reshape(z, [-1, 1, 1, LATENT_SIZE])])


def test_one_level_has_the_elbo_and_the_gradients_of_the_flat_model():
    one = hierarchy("gaussian_shared", {"latents": [(1, 1)]}, log_scale_bound=0)
    set_weights(one)
    flat = tiny_vae(one.likelihood, network=(Encoder(one.networks), Decoder(one.networks)))
    x, results = images(BATCH), []
    for tried in (one, flat):
        with tf.GradientTape() as tape:
            output = tried(x, training=True)
            loss = tf.reduce_mean(output.distortion + output.rate)
        gradients = tape.gradient(loss, one.trainable_variables)
        results.append([output.z, output.rate, output.distortion, *gradients])
        weights = tried.log_importance_weights(x, 2)
        results[-1] += [weights, tried.encode(x).stddev(), tried.sample(2, seed=1)[1]]
    assert one.latent_size == LATENT_SIZE and one.num_levels == flat.num_levels == 1
    for found, expected in zip(*results, strict=True):
        largest = np.max(np.abs(expected))
        assert largest > 0
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * largest)


def test_output_has_the_shapes_of_its_documentation(model, output):
    assert model.level_shapes == [(1, 1, LATENT_SIZE), (2, 3, 4)]
    assert model.num_levels == 2 and model.latent_size == LATENT_SIZE + 24
    assert output.z.shape == (BATCH, model.latent_size)
    assert output.posterior.event_shape == (model.latent_size,)
    assert output.rate_groups.shape == (BATCH, 2)
    assert output.params.shape == (BATCH, *IMAGE_SHAPE)
    assert output.rate.shape == output.distortion.shape == (BATCH,)
    assert model.prior.event_shape == (LATENT_SIZE,)
    levels = model.split_levels(output.z)
    assert [level.shape for level in levels] == [(BATCH, 1, 1, LATENT_SIZE), (BATCH, 2, 3, 4)]
    np.testing.assert_array_equal(model.join_levels(levels), output.z)


def test_decoding_the_draw_gives_the_likelihood_of_the_output(model, output):
    np.testing.assert_allclose(model.decode_params(output.z), output.params, FLOAT32, FLOAT32)
    mean = model.decode(output.z).mean()
    np.testing.assert_allclose(mean, output.likelihood.mean(), rtol=FLOAT32)


def test_decoding_a_draw_from_the_prior_is_a_sample(model):
    likelihood, image, z = model.sample(3, seed=1)
    np.testing.assert_allclose(model.decode(z).mean(), likelihood.mean(), rtol=FLOAT32)
    more = model.sample(5, seed=1)
    np.testing.assert_allclose(more[2][:3], z, atol=NATS)
    np.testing.assert_allclose(more[1][:3], image, atol=NATS)
    cold = [model.sample(n, seed=s, temperature=0.0)[2] for n, s in ((3, 1), (3, 2))]
    np.testing.assert_array_equal(*cold)
    assert not np.any(cold[0][:, :LATENT_SIZE]) and np.any(cold[0] != z)


def test_importance_weights_are_numbered_and_do_not_depend_on_their_number(model):
    x = images(BATCH)
    log_weights = model.log_importance_weights(x, 3)
    assert log_weights.shape == (3, BATCH)
    np.testing.assert_allclose(model.log_importance_weights(x, 2), log_weights[:2], rtol=NATS)
    later = model.log_importance_weights(x, 1, first_sample=tf.constant(2))
    np.testing.assert_allclose(later[0], log_weights[2], rtol=NATS)
    assert not np.any(log_weights[0] == log_weights[1])


def test_one_way_up_for_all_samples_gives_the_weights_of_one_for_each(deterministic, monkeypatch):
    x = images(BATCH)
    found = deterministic.log_importance_weights(x, 3)
    monkeypatch.setattr(deterministic._levels, "draws_on_the_way_up", True)
    np.testing.assert_allclose(found, deterministic.log_importance_weights(x, 3), rtol=NATS)


def test_terms_of_an_image_do_not_depend_on_the_others(model, output):
    x = images(BATCH)
    changed = x.copy()
    changed[2] = 1.0 - changed[2]
    after, part = model(changed), model(x[[3, 1]])
    for name in ("rate_groups", "distortion", "z"):
        first, second = getattr(output, name).numpy(), getattr(after, name).numpy()
        np.testing.assert_allclose(second[[0, 1, 3]], first[[0, 1, 3]], rtol=FLOAT32, atol=NATS)
        assert np.all(first[2] != second[2])
        np.testing.assert_allclose(getattr(part, name), first[[3, 1]], rtol=FLOAT32, atol=NATS)


def test_gradient_reaches_every_weight(model):
    with tf.GradientTape() as tape:
        output = model(images(BATCH), training=True)
        loss = tf.reduce_mean(output.distortion + output.rate)
    gradients = tape.gradient(loss, model.trainable_variables)
    for gradient, variable in zip(gradients, model.trainable_variables, strict=True):
        assert gradient is not None and np.any(gradient), variable.path


def test_top_posterior_is_the_first_part_of_the_outputs(deterministic):
    x = images(BATCH)
    top, whole = deterministic.top_posterior(x), deterministic(x).posterior
    assert top.event_shape == (LATENT_SIZE,)
    for name in ("mean", "stddev"):
        expected = getattr(whole, name)()[:, :LATENT_SIZE]
        np.testing.assert_allclose(getattr(top, name)(), expected, rtol=FLOAT32, atol=FLOAT32)


def test_top_posterior_after_draws_on_the_way_up_is_refused(model):
    with pytest.raises(ValueError, match="is a mixture over them and no Gaussian"):
        model.top_posterior(images(BATCH))


def trained(model, x, **kwargs):
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    return model.train_on_batch(x, return_dict=True, **kwargs)


def test_rates_of_the_levels_are_reported_and_free_bits_are_granted_to_each(output):
    model, x = set_weights(hierarchy("gaussian_shared", free_bits=1e5)), images(BATCH)
    logs = trained(model, x)
    rates = {name: value for name, value in logs.items() if name.startswith("rate_level")}
    assert list(rates) == ["rate_level_0", "rate_level_1"]
    assert sum(rates.values()) == pytest.approx(logs["rate"], rel=FLOAT32)
    assert logs["loss"] == pytest.approx(logs["distortion"] + 2 * 1e5, rel=FLOAT32)
    granted = objectives.free_bits(output.rate_groups, [0.0, 1e9], 2.0)
    np.testing.assert_allclose(
        granted, output.rate_groups[:, 0] * 0 + 2.0 + output.rate_groups[:, 1]
    )


@untraced
def test_a_likelihood_trains_calibrates_scores_and_samples():
    model, x = hierarchy("gaussian_optimal", {"stochastic_bottom_up": False}), images(BATCH)
    with tf.GradientTape() as tape:
        output = model(x, training=True)
        loss = tf.reduce_mean(output.distortion + output.rate)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    model.calibrate(x)
    output = model(x)
    assert np.all(np.isfinite(output.distortion)) and np.all(np.isfinite(output.rate))
    _, image, _ = model.sample(2, seed=1)
    assert image.shape == (2, *IMAGE_SHAPE) and np.all(np.isfinite(image))


@pytest.mark.slow
def test_batch_in_parts_makes_the_step_of_the_whole_batch():
    results = []
    for parts in (1, 2):
        model = hierarchy("gaussian_optimal", free_bits=0.05, gradient_accumulation_steps=parts)
        logs = trained(set_weights(model), images(BATCH + 1))
        results.append([*weights_of(model), *logs.values()])
    for whole, in_parts in zip(*results, strict=True):
        np.testing.assert_allclose(in_parts, whole, rtol=NATS, atol=1e-6)


def test_config_round_trip_keeps_every_argument(model):
    given = {"merge": "concat", "log_scale_bound": 3.0, "beta": 2.5, "free_bits": 0.25, "seed": 3}
    config = hierarchy(options=DETERMINISTIC, **given).get_config()
    restored = models.HierarchicalVAE.from_config(config)
    assert {name: restored.get_config()[name] for name in given} == given
    assert restored.top_size == LATENT_SIZE and restored.latent_size == 2 * LATENT_SIZE + 12
    own = models.HierarchicalVAE(
        IMAGE_SHAPE, LATENT_SIZE, likelihood=model.likelihood, network=model.networks
    )
    again = models.HierarchicalVAE.from_config(own.get_config())
    assert own.network == again.network == "custom"
    again.set_weights(model.get_weights())
    x = images(BATCH)
    np.testing.assert_allclose(again(x).distortion, model(x).distortion, rtol=FLOAT32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"network": "conv28", "network_options": {}},
            "'conv28' is for a flat latent, the model has a ladder one; networks for it: ladder32",
        ),
        ({"merge": "sum"}, "merge must be one of residual, precision, concat, got 'sum'"),
        ({"log_scale_bound": -1}, "log_scale_bound must be a number from 0"),
        ({"latent_size": 0}, "latent_size must be a whole number from 1, got 0"),
        ({"network_options": {"width": 3}}, "network 'ladder32' has no option 'width'"),
    ],
)
def test_impossible_argument_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        models.HierarchicalVAE(IMAGE_SHAPE, **{"network": "ladder32", **changes})


def custom(network, **kwargs):
    return models.HierarchicalVAE(IMAGE_SHAPE, LATENT_SIZE, network=network, **kwargs)


def test_layers_that_do_not_fit_are_refused(model):
    up, down = model.networks
    dense = keras.layers.Dense(3)
    with pytest.raises(ValueError, match="network: Dense has no level_shapes"):
        custom([dense, dense])
    with pytest.raises(ValueError, match=r"the layers \(bottom_up, top_down\), got 1 of them"):
        custom([up])
    with pytest.raises(ValueError, match="latent_size is 7, the top of the network has 3"):
        models.HierarchicalVAE(IMAGE_SHAPE, 7, network=[up, down])
    other = hierarchy(options=DETERMINISTIC).bottom_up
    with pytest.raises(ValueError, match="level_shapes of the way up, .* are not those of the"):
        custom([other, down])


@pytest.mark.parametrize("temperature", [-0.5, float("nan"), float("inf")])
def test_impossible_temperature_is_refused(model, temperature):
    with pytest.raises(ValueError, match="temperature must be a number from 0, got"):
        model.sample(1, temperature=temperature)
    with pytest.raises(ValueError, match="temperature must be a number from 0, got"):
        model.reconstructions_by_level(images(1), [[0, 1]], temperature)


def test_flat_model_refuses_a_ladder_and_names_its_networks():
    with pytest.raises(
        ValueError, match="is for a ladder latent, the model has a flat one; .*conv28"
    ):
        models.VAE(IMAGE_SHAPE, network="ladder32")


def require_answers(model, answers):
    """Compares with the model what `answers(name, **inputs)` gives for signatures."""
    x, seed = tf.constant(images(BATCH)), tf.constant([[0, 1], [7, 2], [0, 1], [3, 4]])
    encoded = answers("encode", images=x)
    posterior = model.encode(x)
    np.testing.assert_allclose(encoded["z_mean"], posterior.mean(), rtol=NATS, atol=NATS)
    np.testing.assert_allclose(encoded["z_scale"], posterior.stddev(), rtol=NATS, atol=NATS)
    decoded = answers("decode", z=posterior.mean())
    expected = model.decode(posterior.mean()).mean()
    np.testing.assert_allclose(decoded["mean"], expected, rtol=NATS, atol=NATS)
    score = model(x).distortion + model(x).rate
    np.testing.assert_allclose(answers("anomaly", images=x)["score"], score, rtol=NATS)
    sampled = answers("sample", seed=seed)
    assert sampled["z"].shape == (4, model.latent_size)
    np.testing.assert_allclose(sampled["image"][0], sampled["image"][2], atol=NATS)
    np.testing.assert_allclose(model.decode(sampled["z"]).mean(), sampled["mean"], NATS, NATS)


@untraced
def test_signatures_answer_as_the_model_does(model):
    functions = model.signatures(validation_scores=[1.0, 2.0])
    require_answers(model, lambda name, **inputs: functions[name](*inputs.values()))


@pytest.mark.slow
def test_model_answers_when_exported(model, tmp_path):
    functions = model.signatures(validation_scores=[1.0, 2.0])
    # Most of the others hold the same functions.
    written = {name: functions[name] for name in ("encode", "decode", "sample", "anomaly")}
    model.export(tmp_path / "saved", functions=written)
    loaded = tf.saved_model.load(tmp_path / "saved").signatures
    require_answers(model, lambda name, **inputs: loaded[name](**inputs))
