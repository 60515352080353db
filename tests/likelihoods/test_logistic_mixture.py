import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, set_weights, tiny_vae
from tf_sigma_vae import likelihoods
from tf_sigma_vae.distributions import DiscretizedLogisticMixture

BATCH, HEIGHT, WIDTH = 3, 4, 6
COMPONENTS = 5
# float32 rounds standardized edges of some hundreds.
FLOAT32 = 5e-5


def _params(channels, components=COMPONENTS, seed=1):
    size = components * (1 + 2 * channels + channels * (channels - 1) // 2)
    rng = np.random.default_rng(seed)
    return rng.normal(size=(BATCH, HEIGHT, WIDTH, size)).astype(np.float32)


def _softplus(value):
    return np.logaddexp(0.0, value)


def _soft_clip(value, low, high):
    return low + _softplus(high - _softplus(high - value) - low)


@pytest.mark.parametrize(("channels", "expected"), [(1, 30), (2, 60), (3, 100), (4, 150)])
def test_decoder_emits_ten_numbers_a_component_for_colour(channels, expected):
    likelihood = likelihoods.LogisticMixture()
    assert likelihood.params_channels(channels) == expected
    assert likelihoods.LogisticMixture(num_components=1).params_channels(3) == 10


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_last_axis_is_logits_locations_log_scales_and_couplings(channels):
    likelihood = likelihoods.LogisticMixture(COMPONENTS, log_scale_min=-6.0, log_scale_max=-0.5)
    x, params = images(BATCH, (HEIGHT, WIDTH, channels)), _params(channels)
    raw = params.astype(np.float64).reshape(BATCH, HEIGHT, WIDTH, -1, COMPONENTS)
    loc, log_scale = raw[..., 1 : 1 + channels, :], raw[..., 1 + channels : 1 + 2 * channels, :]
    pixels = DiscretizedLogisticMixture(
        raw[..., 0, :],
        (1.0 + loc) / 2.0,
        _soft_clip(log_scale - np.log(2.0), -6.0, -0.5),
        np.tanh(raw[..., 1 + 2 * channels :, :]) if channels > 1 else None,
    )
    distribution = likelihood.distribution(params)
    assert distribution.dtype == tf.float32
    assert distribution.batch_shape == (BATCH,)
    assert distribution.event_shape == (HEIGHT, WIDTH, channels)
    expected = pixels.log_prob(x.astype(np.float64)).numpy().sum(axis=(1, 2))
    np.testing.assert_allclose(distribution.log_prob(x), expected, rtol=FLOAT32)
    np.testing.assert_allclose(distribution.mean(), pixels.mean(), atol=1e-5)
    mass = likelihood.bin_log_mass(distribution, x)
    assert mass.dtype == tf.float64
    np.testing.assert_allclose(mass, expected, rtol=FLOAT32)


@pytest.mark.parametrize("raw", [-1e4, 1e4])
def test_scale_stays_inside_its_bounds_and_its_gradient_alive(raw):
    likelihood = likelihoods.LogisticMixture(1)
    params = np.zeros((1, 1, 1, 3), np.float32)
    params[..., 2] = raw
    log_scale = likelihood.distribution(params).distribution.log_scale
    # The lower clip comes last and lifts the upper bound by softplus(7.7) - 7.7 = 5e-4.
    np.testing.assert_allclose(log_scale, -7.7 if raw < 0 else 0.0, atol=1e-3)
    params = tf.constant(params / 1e4 * 12.0)
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = likelihood.distribution(params).log_prob(np.full((1, 1, 1, 1), 0.2, np.float32))
    gradient = tape.gradient(log_prob, params).numpy()[0, 0, 0]
    assert np.all(np.isfinite(gradient)) and gradient[2] != 0.0


def test_raw_outputs_of_any_size_give_finite_masses_and_gradients():
    likelihood = likelihoods.LogisticMixture(COMPONENTS)
    x = images(BATCH, (HEIGHT, WIDTH, 3))
    for size in (1e2, 1e4):
        params = tf.constant(size * _params(3))
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = likelihood.distribution(params).log_prob(x)
        assert np.all(np.isfinite(log_prob)) and np.all(log_prob < 0.0)
        assert np.all(np.isfinite(tape.gradient(log_prob, params)))


def test_floor_of_the_scale_lets_one_level_hold_nearly_all_mass():
    params = np.zeros((1, 1, 1, 3), np.float32)
    params[..., 1], params[..., 2] = 2.0 * 128 / 255 - 1.0, -1e4
    distribution = likelihoods.LogisticMixture(1).distribution(params)
    mass = np.exp(distribution.log_prob(np.full((1, 1, 1, 1), 128 / 255, np.float32)))
    # tanh(w / 4) for a bin of w = exp(7.7) / 255 scales.
    assert float(mass[0]) == pytest.approx(np.tanh(np.exp(7.7) / 255 / 4), abs=1e-3)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_low_precision_params_give_a_float32_distribution(dtype):
    likelihood = likelihoods.LogisticMixture(COMPONENTS, dtype="mixed_bfloat16")
    x, params = images(BATCH, (HEIGHT, WIDTH, 2)), tf.cast(_params(2), dtype)
    log_prob = likelihood.distribution(params).log_prob(x)
    exact = likelihood.distribution(tf.cast(params, tf.float32)).log_prob(x)
    assert log_prob.dtype == tf.float32
    np.testing.assert_allclose(log_prob, exact, rtol=1e-6)


def test_any_number_of_axes_lies_between_the_batch_and_the_pixel():
    likelihood = likelihoods.LogisticMixture(COMPONENTS)
    x, params = images(BATCH, (HEIGHT, WIDTH, 2)), _params(2)
    expected = likelihood.distribution(params).log_prob(x)
    flat = likelihood.distribution(params.reshape(BATCH, HEIGHT * WIDTH, -1))
    assert flat.event_shape == (HEIGHT * WIDTH, 2)
    np.testing.assert_allclose(flat.log_prob(x.reshape(BATCH, -1, 2)), expected, rtol=1e-6)
    pixels = likelihood.distribution(params.reshape(BATCH * HEIGHT * WIDTH, -1))
    assert pixels.batch_shape == (BATCH * HEIGHT * WIDTH,) and pixels.event_shape == (2,)
    by_pixel = pixels.log_prob(x.reshape(-1, 2)).numpy().reshape(BATCH, -1)
    np.testing.assert_allclose(by_pixel.sum(axis=1), expected, rtol=1e-5)


def test_trained_coupling_codes_a_channel_by_its_difference_to_the_one_before():
    rng = np.random.default_rng(0)
    first = rng.integers(60, 181, size=(300, 1, 1, 1))
    levels = np.concatenate([first, first + rng.integers(-1, 2, first.shape)], axis=-1)
    x = (levels / 255.0).astype(np.float32)
    likelihood = likelihoods.LogisticMixture(num_components=1)
    params = tf.Variable(tf.zeros([1, 1, 1, likelihood.params_channels(2)]))
    optimizer = keras.optimizers.Adam(0.1)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(likelihood.distribution(params).log_prob(x))
        optimizer.apply_gradients([(tape.gradient(loss, params), params)])
        return loss

    losses = [float(step()) for _ in range(200)]
    assert np.all(np.isfinite(losses))
    bits_per_dim = losses[-1] / (2 * np.log(2.0))
    # 121 levels, then 3; uniform noise costs a logistic some 0.3 bits more, as does training this
    # short. Without the coupling, both channels have 121.
    entropy = (np.log2(121) + np.log2(3)) / 2
    # The 300 levels drawn have a smaller entropy than their law, by 0.3 bits at most.
    assert entropy - 0.3 < bits_per_dim < entropy + 1.0 < np.log2(121)


def test_model_scores_reconstructs_and_samples_grey_levels():
    model, x = set_weights(tiny_vae("logistic_mixture")), images(BATCH)
    output = model(x)
    np.testing.assert_allclose(output.likelihood.log_prob(x), -output.distortion, rtol=1e-6)
    reconstruction = output.likelihood.mean().numpy()
    assert reconstruction.shape == x.shape
    assert reconstruction.min() >= 0.0 and reconstruction.max() <= 1.0
    levels = 255.0 * output.likelihood.sample(seed=1).numpy()
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-3)


@pytest.mark.parametrize(("size", "components"), [(99, 10), (10, 10), (40, 10), (7, 5)])
def test_params_of_no_number_of_channels_are_rejected(size, components):
    likelihood = likelihoods.LogisticMixture(components)
    with pytest.raises(ValueError, match=rf"{3 * components} \(C = 1\), .*; got {size}$"):
        likelihood.distribution(np.zeros((BATCH, HEIGHT, WIDTH, size), np.float32))


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "10", None])
def test_number_of_components_must_be_a_positive_integer(value):
    with pytest.raises(ValueError, match="num_components must be a positive integer, got"):
        likelihoods.LogisticMixture(num_components=value)


@pytest.mark.parametrize(("low", "high"), [(0.0, -6.0), (-3.0, -3.0), ("-7", 0.0), (-7.0, np.inf)])
def test_bounds_out_of_order_are_rejected(low, high):
    with pytest.raises(ValueError, match="log_scale_min must be a number below log_scale_max"):
        likelihoods.LogisticMixture(log_scale_min=low, log_scale_max=high)


def test_config_round_trip_keeps_the_options():
    likelihood = likelihoods.LogisticMixture(4, -5.0, 1.0)
    restored = likelihoods.LogisticMixture.from_config(likelihood.get_config())
    assert (restored.num_components, restored.log_scale_min, restored.log_scale_max) == (
        4,
        -5.0,
        1.0,
    )
    assert likelihood.measure == "mass" and not likelihood.has_scale
    assert likelihood.value_range == (0.0, 1.0)
    assert likelihood.provenance() == {"source": "network"}
