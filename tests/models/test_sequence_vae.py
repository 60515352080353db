import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests._clips import CONTEXT, FRAME_SHAPE, LATENT_SIZE, clips, stirred, tiny_sequence
from tests._models import weights_of
from tf_sigma_vae import models, objectives
from tf_sigma_vae.models.sequence_vae import frame_noise

tfd = tfp.distributions
BATCH, FRAMES = 3, 5
PREDICTED = FRAMES - CONTEXT
FLOAT32 = 2e-6
"""Absolute, of numbers of size 1: the same sums in another order."""
NATS = 1e-3
"""Absolute, of sums over some thousand pixels."""

untraced = pytest.mark.usefixtures("untraced")


@pytest.fixture(scope="module")
def x():
    return clips(BATCH, FRAMES)


@pytest.fixture(scope="module")
def model():
    return stirred(tiny_sequence("gaussian_shared"))


@pytest.fixture(scope="module")
def output(model, x):
    return model(x)


def normals(outputs):
    """Mean and scale of the outputs of a recurrent part, in NumPy."""
    loc, log_scale = np.split(outputs.numpy().astype(np.float64), 2, axis=-1)
    return loc, np.exp(log_scale)


def features_of(model, x):
    """Features of each frame, encoded one frame at a time: `[B, T, F]`."""
    return tf.stack([model.frame_encoder(x[:, t])[0] for t in range(x.shape[1])], axis=1)


def test_an_output_is_of_the_predicted_frames(output):
    assert output.z.shape == (BATCH, PREDICTED, LATENT_SIZE)
    assert output.params.shape == (BATCH, PREDICTED, *FRAME_SHAPE)
    assert output.rate_groups.shape == (BATCH, PREDICTED)
    assert output.rate.shape == output.distortion.shape == (BATCH,)
    assert output.likelihood.event_shape == (PREDICTED, *FRAME_SHAPE)
    assert output.posterior.event_shape == (PREDICTED, LATENT_SIZE)


def test_one_frame_with_a_fixed_prior_is_a_conditional_vae():
    """Its elbo written out by TFP: q(z|x_0, x_1), p = N(0, I), x_1 decoded from z and x_0."""
    model = stirred(tiny_sequence("gaussian_shared", context_frames=1, prior="fixed"))
    pair = clips(BATCH, 2)
    ids = model.posterior_noise_ids(tf.constant(pair), False)
    found = model.score(pair, ids)
    features = features_of(model, pair)
    q = model.gaussian(model.posterior_lstm(features)[0][:, 1])
    p = tfd.Normal(tf.zeros([LATENT_SIZE]), 1.0)
    z = found.z[:, 0]
    g = tf.tanh(model.predictor(tf.concat([features[:, :1], z[:, None]], axis=-1))[0][:, 0])
    params = model.frame_decoder(g, model.frame_encoder(pair[:, 0])[1])
    distortion = -tf.reduce_sum(
        tfd.Normal(
            tf.sigmoid(params), tf.exp(model.likelihood.log_scale(found.likelihood)[0])
        ).log_prob(pair[:, 1]),
        axis=[1, 2, 3],
    )
    np.testing.assert_allclose(found.distortion, distortion, atol=NATS)
    kl = tf.reduce_sum(tfd.kl_divergence(q, p), axis=-1)
    np.testing.assert_allclose(found.rate, kl, atol=FLOAT32)
    draws = (z - q.loc) / q.scale
    np.testing.assert_allclose(draws, frame_noise(ids, 1, LATENT_SIZE)[:, 0], atol=1e-5)


def test_frames_are_those_of_calls_that_know_no_later_one(model, x):
    """The sum over time is that of a loop over frames, each with what came before it."""
    ids = model.posterior_noise_ids(tf.constant(x), False)
    whole = model.score(x, ids)
    distortion, rate = np.zeros(BATCH), np.zeros(BATCH)
    for t in range(CONTEXT, FRAMES):
        until = model.score(x[:, : t + 1], ids)
        np.testing.assert_allclose(until.z[:, -1], whole.z[:, t - CONTEXT], atol=1e-5)
        distortion += model.frame_distortions(until, x[:, : t + 1])[:, -1]
        rate += until.rate_groups[:, -1]
    np.testing.assert_allclose(whole.distortion, distortion, atol=NATS)
    np.testing.assert_allclose(whole.rate, rate, atol=1e-5)


@pytest.mark.parametrize("prior", ["learned", "fixed"])
def test_rates_are_the_kl_of_each_frame(prior, model, x):
    if prior == "fixed":
        model = stirred(tiny_sequence(prior=prior))
    features = features_of(model, x)
    q_loc, q_scale = normals(model.posterior_lstm(features)[0][:, CONTEXT:])
    p_loc, p_scale = np.zeros_like(q_loc), np.ones_like(q_scale)
    if prior == "learned":
        p_loc, p_scale = normals(model.prior_lstm(features[:, :-1])[0][:, CONTEXT - 1 :])
    kl = np.log(p_scale / q_scale) + (q_scale**2 + (q_loc - p_loc) ** 2) / (2 * p_scale**2) - 0.5
    found = model(x)
    np.testing.assert_allclose(found.rate_groups, kl.sum(axis=-1), rtol=1e-5)
    np.testing.assert_allclose(found.rate, kl.sum(axis=(1, 2)), rtol=1e-5)


def test_context_frames_owe_nothing(model, x, output):
    """Their KL and error are there, and are in neither term."""
    q, p = (d.distribution for d in (model.encode(x), model.priors(x)))
    kl = tf.reduce_sum(tfd.kl_divergence(q, p), axis=-1)
    assert np.all(kl[:, :CONTEXT] > 0.01)
    np.testing.assert_allclose(output.rate, tf.reduce_sum(kl[:, CONTEXT:], axis=1), rtol=1e-5)
    log_prob = tfd.Normal(output.likelihood.mean(), output.likelihood.stddev()).log_prob(
        x[:, CONTEXT:]
    )
    expected = -tf.reduce_sum(log_prob, axis=[1, 2, 3, 4])
    np.testing.assert_allclose(output.distortion, expected, atol=NATS)


def test_another_loss_on_context_frames_changes_nothing(model, x, output):
    """Whatever the likelihood would say of them, it is not asked."""
    asked = []
    ask = model.likelihood.distribution

    def spy(params, targets=None, training=False):
        asked.append((params, targets))
        return ask(params, targets, training)

    model.likelihood.distribution = spy
    try:
        found = model(x, training=True)
    finally:
        model.likelihood.distribution = ask
    ((params, targets),) = asked
    np.testing.assert_array_equal(targets, x[:, CONTEXT:])
    assert params.shape[:2] == (BATCH, PREDICTED)
    np.testing.assert_allclose(found.distortion, output.distortion, atol=NATS)


def test_latents_of_the_context_are_means_and_matter(model, x, output):
    """They have no draw of their own: only those of predicted frames change with the noise."""
    ids = model.posterior_noise_ids(tf.constant(x), False)
    other = model.score(x, ids + tf.constant(1, tf.uint32))
    assert np.all(other.z != output.z)
    # Without the rest: an LSTM of the predictor that sees z_1 alone.
    given = model.encode(x).mean()[:, :CONTEXT]
    features = features_of(model, x)
    for moved, differs in ((0.0, False), (1.0, True)):
        latents = tf.concat([given[:, 1:] + moved, output.z], axis=1)
        g = model.predictor(tf.concat([features[:, :-1], latents], axis=-1))[0]
        rows = tf.reshape(tf.tanh(g[:, CONTEXT - 1 :]), [-1, g.shape[-1]])
        params = model.frame_decoder(rows, model.encoded_frames(x)[1])
        close = np.allclose(tf.reshape(params, output.params.shape), output.params, atol=FLOAT32)
        assert close != differs


def test_q_sees_frames_up_to_its_own_and_p_those_before(model, x):
    changed = x.copy()
    changed[:, 3] = 1.0 - changed[:, 3]
    for method, first in ((model.encode, 3), (model.priors, 4)):
        before, after = method(x).mean(), method(changed).mean()
        np.testing.assert_allclose(after[:, :first], before[:, :first], atol=FLOAT32)
        assert np.all(np.any(after[:, first:] != before[:, first:], axis=-1))


def test_importance_weights_are_those_of_tfp(model, x):
    log_weights = model.log_importance_weights(x, 2)
    ids = model.sample_noise_ids(tf.constant(x), 2)
    q, p = (d.distribution for d in (model.encode(x), model.priors(x)))
    for k in range(2):
        one = model.score(x, ids[k])
        log_ratio = sum(
            sign * tf.reduce_sum(d.log_prob(_padded(one.z))[:, CONTEXT:], axis=[1, 2])
            for sign, d in ((1.0, p), (-1.0, q))
        )
        np.testing.assert_allclose(log_weights[k], log_ratio - one.distortion, atol=NATS)
    np.testing.assert_allclose(model.score(x, ids[0]).z, model(x).z, atol=FLOAT32)
    later = model.log_importance_weights(x, 1, first_sample=1)
    np.testing.assert_allclose(later[0], log_weights[1], atol=NATS)


def _padded(z):
    return tf.pad(z, [[0, 0], [CONTEXT, 0], [0, 0]])


def test_clips_of_unknown_length_are_counted_and_encoded(model, x):
    @tf.function(input_signature=[tf.TensorSpec([None, None, *FRAME_SHAPE])])
    def encoded(x):
        return model.num_dims(x), model.encode(x).mean()

    num_dims, means = encoded(x)
    assert num_dims == model.num_dims(x) == PREDICTED * 256
    np.testing.assert_allclose(means, model.encode(x).mean(), atol=FLOAT32)


@pytest.mark.slow
def test_a_graph_of_unknown_length_gives_the_eager_values(model, x, output):
    spec = tf.TensorSpec([None, None, *FRAME_SHAPE])
    ids = model.posterior_noise_ids(tf.constant(x), False)

    @tf.function(input_signature=[spec, tf.TensorSpec([None, 2], tf.uint32)])
    def scored(x, ids):
        found = model.score(x, ids)
        return found.distortion, found.rate_groups, model.num_dims(x), model.encode(x).mean()

    distortion, rates, num_dims, means = scored(x, ids)
    np.testing.assert_allclose(distortion, output.distortion, atol=NATS)
    np.testing.assert_allclose(rates, output.rate_groups, rtol=1e-5)
    assert num_dims == model.num_dims(x) == PREDICTED * 256
    assert means.shape == (BATCH, FRAMES, LATENT_SIZE)
    with pytest.raises(tf.errors.InvalidArgumentError, match="longer than the 2 context frames"):
        scored(x[:, :CONTEXT], ids)


@untraced
def test_metrics_count_predicted_frames(x):
    model = tiny_sequence()
    model.compile("adam")
    found = model.evaluate(x, batch_size=BATCH, return_dict=True, verbose=0)
    output = model(x)
    elbo = -np.mean(output.distortion + output.rate)
    np.testing.assert_allclose(found["elbo"], elbo, rtol=1e-6)
    np.testing.assert_allclose(found["elbo_per_frame"], elbo / PREDICTED, rtol=1e-6)
    bits = objectives.bits_per_dim(-elbo, PREDICTED * 256, "density")
    np.testing.assert_allclose(found["bits_per_dim"], bits, rtol=1e-6)


def test_free_bits_are_granted_to_frames(model, output, monkeypatch):
    rates = output.rate_groups.numpy()
    # Between the two smallest mean rates: one frame is free.
    monkeypatch.setattr(model, "free_bits", float(np.sort(rates.mean(axis=0))[:2].mean()))
    is_free = rates.mean(axis=0) < model.free_bits
    assert np.count_nonzero(is_free) == 1
    expected = np.where(is_free, model.free_bits, rates).sum(axis=1)
    np.testing.assert_allclose(model.objective_rate(output), expected, rtol=1e-6)


@untraced
def test_every_weight_is_trained(x):
    model = tiny_sequence("gaussian_shared")
    model.compile(keras.optimizers.SGD(1e-3))
    before = weights_of(model)
    model.fit(x, batch_size=BATCH, verbose=0)
    after = weights_of(model)
    still = [w.path for w, a, b in zip(model.weights, before, after, strict=True) if np.all(a == b)]
    assert still == []


@untraced
@pytest.mark.parametrize(
    "options",
    [
        {"prior": "fixed", "scale_over": "frame", "context_frames": 1, "dtype": "mixed_bfloat16"},
        pytest.param({}, marks=pytest.mark.slow),
    ],
)
def test_a_saved_model_is_the_same(options, x, tmp_path):
    model = stirred(tiny_sequence("gaussian_optimal", **options))
    model.calibrate(x)
    model.save(tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras")
    names = ("context_frames", "feature_size", "lstm_units", "prior", "scale_over")
    found, expected = loaded.get_config(), model.get_config()
    assert [found[name] for name in names] == [expected[name] for name in names]
    np.testing.assert_array_equal(loaded(x).distortion, model(x).distortion)
    np.testing.assert_array_equal(loaded(x).rate_groups, model(x).rate_groups)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (clips(2, CONTEXT), "clips must be longer than the 2 context frames, got 2 frames"),
        (clips(2, 4)[0], r"clips must have shape \[B, T, 16, 16, 1\], got \(4, 16, 16, 1\)"),
        (clips(2, 4, (16, 32, 1)), r"got \(2, 4, 16, 32, 1\)"),
        (np.zeros([2, 4, *FRAME_SHAPE], np.uint8), "images must be floats, got uint8"),
    ],
)
def test_what_is_no_clip_is_refused(model, value, words):
    with pytest.raises(ValueError, match=words):
        model.score(value, tf.zeros([2, 2], tf.uint32))


def test_values_out_of_range_are_refused(model, x):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"images must lie in \[0, 1\]"):
        model(x + 0.5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"context_frames": 0}, "context_frames must be a whole number from 1, got 0"),
        ({"lstm_units": 2.5}, "lstm_units must be a whole number from 1, got 2.5"),
        ({"prior": "flat"}, "prior must be one of learned, fixed; got 'flat'"),
        ({"scale_over": "image"}, "scale_over must be one of clip, frame; got 'image'"),
        ({"network": "conv28", "network_options": {}}, "for a flat latent.*dcgan64, vgg64"),
        (
            {"network_options": {"feature_size": 3}},
            "no option 'feature_size'; it takes: normalization, width",
        ),
    ],
)
def test_impossible_options_are_refused_by_name(options, words):
    with pytest.raises(ValueError, match=words):
        tiny_sequence(**options)
