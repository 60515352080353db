"""Outputs, draws and samples of `vae`, without training."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tests._eagerly import eagerly
from tests._models import IMAGE_SHAPE, LATENT_SIZE, images, set_weights, tiny_vae, weights_of
from tf_sigma_vae import likelihoods, models

tfd = tfp.distributions

BATCH = 5
FLOAT32 = 2e-5
NUM_STANDARD_ERRORS = 5.5
"""Of a mean of two hundred numbers: further off once in some ten million runs."""
# A test whose verdict rests on independent normal draws fails by chance once in a million runs.
CHANCE = 1e-6


@pytest.fixture(scope="module", params=["gaussian_optimal", "logistic_mixture"])
def model(request):
    """A model of a density and one of a mass, with seeded weights and a scale."""
    built = set_weights(tiny_vae(request.param))
    with eagerly():
        built.calibrate(images(20, seed=7))
    return built


def test_output_has_the_shapes_of_its_documentation(model):
    output = model(images(BATCH))
    channels = model.likelihood.params_channels(IMAGE_SHAPE[-1])
    assert isinstance(output, models.Output)
    assert output.posterior.batch_shape == (BATCH,)
    assert output.posterior.event_shape == (LATENT_SIZE,)
    assert output.likelihood.batch_shape == (BATCH,)
    assert output.likelihood.event_shape == IMAGE_SHAPE
    assert output.z.shape == output.rate_groups.shape == (BATCH, LATENT_SIZE)
    assert output.params.shape == (BATCH, *IMAGE_SHAPE[:2], channels)
    assert output.rate.shape == output.distortion.shape == (BATCH,)
    assert model.prior.event_shape == (LATENT_SIZE,)


def test_terms_are_those_of_the_distributions_in_the_output(model):
    x = images(BATCH)
    output = model(x)
    np.testing.assert_allclose(-output.likelihood.log_prob(x), output.distortion, rtol=FLOAT32)
    np.testing.assert_allclose(tf.reduce_sum(output.rate_groups, 1), output.rate, rtol=FLOAT32)
    loc, scale = (
        v.numpy().astype(float) for v in (output.posterior.mean(), output.posterior.stddev())
    )
    closed_form = 0.5 * (loc**2 + scale**2 - 1) - np.log(scale)
    np.testing.assert_allclose(output.rate_groups, closed_form, rtol=1e-4, atol=1e-6)


def test_encode_and_decode_are_the_parts_of_call(model):
    x = images(BATCH)
    output = model(x)
    np.testing.assert_array_equal(model.encode(x).mean(), output.posterior.mean())
    log_prob = model.decode(output.z).log_prob(x)
    np.testing.assert_allclose(log_prob, output.likelihood.log_prob(x), rtol=FLOAT32)


def test_changing_one_image_never_changes_anothers_terms(model):
    x = images(BATCH)
    changed = x.copy()
    changed[2] = 1.0 - changed[2]
    before, after = model(x), model(changed)
    others = [0, 1, 3, 4]
    for name in ("rate", "distortion", "z"):
        first, second = getattr(before, name).numpy(), getattr(after, name).numpy()
        np.testing.assert_array_equal(first[others], second[others])
        assert np.all(first[2] != second[2])


def test_terms_of_an_image_do_not_depend_on_batch_or_place(model):
    x = images(BATCH)
    whole = model(x)
    for rows in ([3, 1, 4, 0, 2], [2], [4, 4]):
        part = model(x[rows])
        for name in ("rate", "distortion", "z"):
            expected = getattr(whole, name).numpy()[rows]
            np.testing.assert_allclose(getattr(part, name), expected, rtol=FLOAT32, atol=1e-6)


def test_importance_weight_of_the_first_draw_is_that_of_calls_z(model):
    x = images(BATCH)
    output = model(x)
    log_weights = model.log_importance_weights(x, 4)
    assert log_weights.shape == (4, BATCH)
    log_prior = scipy.stats.norm.logpdf(output.z).sum(axis=1)
    expected = log_prior - output.distortion.numpy() - output.posterior.log_prob(output.z).numpy()
    np.testing.assert_allclose(log_weights[0], expected, rtol=FLOAT32, atol=1e-4)
    np.testing.assert_allclose(model.log_importance_weights(x, 2), log_weights[:2], rtol=1e-4)
    assert not np.any(log_weights[0].numpy() == log_weights[1].numpy())


def test_samples_repeat_by_seed_and_the_first_do_not_depend_on_their_number(model):
    likelihood, image, z = model.sample(3, seed=1)
    assert image.shape == likelihood.mean().shape == (3, *IMAGE_SHAPE)
    more = model.sample(6, seed=1)
    np.testing.assert_allclose(more[2][:3], z, atol=1e-6)
    np.testing.assert_allclose(more[1][:3], image, atol=1e-5)
    np.testing.assert_array_equal(model.sample(3, seed=1)[1], image)
    other = model.sample(3, seed=2)
    assert not np.any(other[2].numpy() == z.numpy())
    assert np.mean(np.abs(other[1].numpy() - image.numpy())) > 1e-3


def test_model_of_another_size_is_built_on_construction():
    built = tiny_vae(image_shape=(3, 5, 1), latent_size=2)
    assert built.built and built.count_params() > 0
    assert built(images(2, (3, 5, 1))).z.shape == (2, 2)


def test_posterior_noise_is_standard_normal():
    model = tiny_vae(latent_size=20)
    output = model(images(500))
    noise = (output.z - output.posterior.mean()) / output.posterior.stddev()
    assert scipy.stats.kstest(noise.numpy().ravel(), "norm").pvalue > CHANCE


def test_posterior_noise_depends_on_the_seed_of_the_model():
    x = images(BATCH)
    first, same, other = (set_weights(tiny_vae(seed=s))(x).z.numpy() for s in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.any(first == other)


def test_training_draws_anew_each_step_and_evaluation_does_not():
    model, x = tiny_vae(), images(BATCH)
    model.compile("sgd")

    def draws(training):
        model.optimizer.iterations.assign(0)
        first = model(x, training=training).z.numpy()
        model.optimizer.iterations.assign(1)
        return first, model(x, training=training).z.numpy()

    assert not np.any(np.equal(*draws(True)))
    np.testing.assert_array_equal(*draws(False))
    # The first step's draw is not the evaluation's either.
    assert not np.any(draws(True)[0] == draws(False)[0])


def test_uncompiled_model_can_be_called_in_training():
    x = images(BATCH)
    output = tiny_vae("gaussian_optimal")(x, training=True)
    assert np.all(np.isfinite(output.distortion))


def test_prior_temperature_scales_the_latent():
    model = tiny_vae()
    hot, cold = model.sample(4, seed=3)[2], model.sample(4, seed=3, temperature=0.5)[2]
    np.testing.assert_allclose(cold, 0.5 * hot, rtol=1e-6)


def test_noisy_samples_have_the_likelihoods_noise_around_its_mean():
    model = tiny_vae(likelihoods.GaussianFixed(scale=0.2))
    likelihood, image, _ = model.sample(400, seed=5)
    residuals = (image - likelihood.mean()).numpy().ravel() / 0.2
    assert scipy.stats.kstest(residuals, "norm").pvalue > CHANCE


def test_images_are_scored_exactly_under_a_low_precision_policy():
    model = tiny_vae(likelihoods.GaussianFixed(scale=0.01), dtype="mixed_bfloat16")
    x = images(BATCH)
    output = model(x)
    for value in (*output[2:3], *output[4:], output.posterior.mean(), output.likelihood.mean()):
        assert value.dtype == tf.float32
    mean = output.likelihood.mean().numpy().astype(float)
    expected = -scipy.stats.norm.logpdf(x.astype(float), mean, 0.01).sum(axis=(1, 2, 3))
    # bfloat16 images would be off by per cents at this scale.
    np.testing.assert_allclose(output.distortion, expected, rtol=FLOAT32)


def test_log_importance_weights_are_the_elbo_on_average():
    model, x = set_weights(tiny_vae(likelihoods.GaussianFixed(scale=0.3))), images(200)
    output, log_weights = model(x), model.log_importance_weights(x, 8).numpy()
    elbo = -(output.distortion + output.rate).numpy()
    difference = log_weights.mean(axis=0) - elbo
    error = difference.std() / np.sqrt(len(x))
    assert abs(difference.mean()) < NUM_STANDARD_ERRORS * error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (4, 6)}, r"image_shape must be \(H, W, C\), got \(4, 6\)"),
        ({"image_shape": (4, 0, 1)}, "image_shape must be"),
        ({"latent_size": 0}, "latent_size must be a whole number from 1, got 0"),
        ({"likelihood": "gaussian"}, "unknown likelihood .* 'gaussian'"),
        ({"network": "conv29"}, "unknown network 'conv29'; did you mean 'conv28'"),
        ({"network_options": {"widht": 3}}, "network 'dense' has no option 'widht'"),
        ({"beta": -1.0}, "beta must not be negative, got -1.0"),
        ({"rate_warmup_steps": -1}, "rate_warmup_steps must not be negative"),
        ({"free_bits": float("nan")}, "free_bits must not be negative, got nan"),
    ],
)
def test_impossible_argument_is_rejected(options, message):
    given = {"image_shape": IMAGE_SHAPE, "network": "dense", **options}
    with pytest.raises(ValueError, match=message):
        models.VAE(**given)


def _custom_layers():
    encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2 * LATENT_SIZE)])
    decoder = keras.Sequential([keras.layers.Dense(48), keras.layers.Reshape(IMAGE_SHAPE)])
    return encoder, decoder


def test_networks_may_be_layers_of_ones_own():
    model = tiny_vae("gaussian_shared", network=_custom_layers())
    model.compile("adam", run_eagerly=True)
    before = weights_of(model)
    model.train_on_batch(images(8))
    assert not any(np.array_equal(a, w) for a, w in zip(before, weights_of(model), strict=True))
    assert len(model.trainable_variables) == 5
    restored = models.VAE.from_config(model.get_config())
    restored.set_weights(model.get_weights())
    x = images(BATCH)
    np.testing.assert_allclose(restored(x).distortion, model(x).distortion, rtol=FLOAT32)
