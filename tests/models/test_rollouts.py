import numpy as np
import pytest
import tensorflow as tf

from tests._clips import CONTEXT, FRAME_SHAPE, LATENT_SIZE, clips, stirred, tiny_sequence
from tests._eagerly import eagerly
from tf_sigma_vae.models.sequence_vae import frame_noise

BATCH, FRAMES, COPIES = 3, 6, 2
FLOAT32 = 2e-6
"""Absolute, of outputs of size 1: frames one by one are other sums than all at once."""
NATS = 1e-3
"""Absolute, of sums over some thousand pixels."""

pytestmark = pytest.mark.usefixtures("untraced")


@pytest.fixture(scope="module")
def model():
    return stirred(tiny_sequence("gaussian_shared"))


@pytest.fixture(scope="module")
def x():
    return clips(BATCH, FRAMES)


@pytest.fixture(scope="module")
def context(x):
    return x[:, :CONTEXT]


@pytest.fixture(scope="module")
def ids(model, context):
    return model.rollout_noise_ids(context, COPIES, seed=1)


@pytest.fixture(scope="module")
def rolled(model, context, ids):
    with eagerly():
        return model.rollout(context, 3, ids).numpy()


def by_hand(model, context, noise, num_frames):
    """A rollout in a Python loop over frames, by the layers' calls over all frames so far."""
    frames, latents = list(np.moveaxis(np.asarray(context), 1, 0)), []
    for t in range(1, CONTEXT + num_frames):
        features = tf.stack([model.frame_encoder(f)[0] for f in frames], axis=1)
        if t < CONTEXT:
            q = model.gaussian(model.posterior_lstm(features[:, : t + 1])[0])
            latents.append(q.loc[:, t])
            continue
        z = noise[:, t - CONTEXT]
        if model.prior_lstm is not None:
            p = model.gaussian(model.prior_lstm(features)[0])
            z = p.loc[:, -1] + p.scale[:, -1] * z
        latents.append(z)
        inputs = tf.concat([features, tf.stack(latents, axis=1)], axis=-1)
        g = tf.tanh(model.predictor(inputs)[0][:, -1])
        skips = model.frame_encoder(frames[CONTEXT - 1])[1]
        frames.append(model.frame_distribution(model.frame_decoder(g, skips)).mean())
    return tf.stack(frames[CONTEXT:], axis=1)


@pytest.mark.parametrize("prior", ["learned", pytest.param("fixed", marks=pytest.mark.slow)])
def test_a_rollout_is_the_loop_over_frames_written_out(prior, context):
    model = stirred(tiny_sequence("gaussian_shared", prior=prior))
    ids = model.rollout_noise_ids(context, 1)
    noise = frame_noise(ids[:, 0], 3, LATENT_SIZE)
    params = model.rollout(context, 3, ids)[:, 0]
    found = model.frame_distribution(tf.reshape(params, [-1, *params.shape[2:]])).mean()
    expected = by_hand(model, context, noise, 3)
    np.testing.assert_allclose(tf.reshape(found, expected.shape), expected, atol=FLOAT32)


def test_latents_of_q_and_true_frames_give_the_elbo_of_training(model, x):
    output = model(x)
    teacher, z = x[:, np.newaxis, CONTEXT:], output.z[:, tf.newaxis]
    given = {"latents": z, "frames": teacher}
    params = model.rollout(x[:, :CONTEXT], FRAMES - CONTEXT, _unused_ids(BATCH), **given)[:, 0]
    np.testing.assert_allclose(params, output.params, atol=FLOAT32)
    distortion = -model.target_likelihood.distribution(params).log_prob(x[:, CONTEXT:])
    elbo = -(distortion + output.rate)
    np.testing.assert_allclose(elbo, -(output.distortion + output.rate), atol=NATS)


def _unused_ids(num_clips):
    return tf.zeros([num_clips, 1, 2], tf.uint32)


def test_own_frames_are_fed_back_unless_others_are_given(model, x, context):
    z = model(x).z[:, tf.newaxis]
    own = model.rollout(context, 4, _unused_ids(BATCH), latents=z)
    taught = model.rollout(context, 4, _unused_ids(BATCH), latents=z, frames=x[:, None, CONTEXT:])
    np.testing.assert_allclose(own[:, :, 0], taught[:, :, 0], atol=FLOAT32)
    assert np.all(np.any(own[:, :, 1:] != taught[:, :, 1:], axis=(-1, -2, -3)))


def test_a_longer_rollout_begins_as_a_shorter_one(model, context, ids, rolled):
    longer = model.rollout(context, 4, ids)
    assert longer.shape == (BATCH, COPIES, 4, *FRAME_SHAPE)
    np.testing.assert_allclose(longer[:, :, :3], rolled, atol=FLOAT32)


@pytest.mark.slow
def test_a_graph_of_a_rollout_gives_the_eager_values(model, context, ids, rolled):
    tf.config.run_functions_eagerly(False)
    np.testing.assert_allclose(model.rollout(context, 3, ids), rolled, atol=FLOAT32)


def test_more_rollouts_begin_with_the_same_ones(model, context, ids):
    np.testing.assert_array_equal(model.rollout_noise_ids(context, 5, seed=1)[:, :COPIES], ids)


def test_rollouts_of_a_clip_depend_on_it_and_their_ids_alone(model, context, ids, rolled):
    alone = model.rollout(context[1:2], 3, ids[1:2])
    np.testing.assert_allclose(alone[0], rolled[1], atol=FLOAT32)
    assert np.all(np.any(rolled[:, 0] != rolled[:, 1], axis=(-1, -2, -3)))


def test_generated_frames_are_the_means_of_a_rollout(model, context, ids, rolled):
    rows = tf.reshape(rolled, [-1, *rolled.shape[3:]])
    expected = tf.reshape(model.frame_distribution(rows).mean(), [BATCH, COPIES, 3, *FRAME_SHAPE])
    found = model.generate(context, 3, num_samples=COPIES, seed=1)
    np.testing.assert_allclose(found, expected, atol=FLOAT32)


def test_another_seed_is_another_rollout(model, context, ids):
    assert np.all(np.any(model.rollout_noise_ids(context, COPIES, seed=2) != ids, axis=-1))


def test_temperature_zero_takes_the_means_of_the_prior(model, context, ids):
    means = model.rollout(context, 3, ids, temperature=0.0)
    np.testing.assert_allclose(means[:, 0], means[:, 1], atol=FLOAT32)
    expected = by_hand(model, context, np.zeros([BATCH, 3, LATENT_SIZE], np.float32), 3)
    params = tf.reshape(means[:, 0], [-1, *means.shape[3:]])
    found = tf.reshape(model.frame_distribution(params).mean(), expected.shape)
    np.testing.assert_allclose(found, expected, atol=FLOAT32)


def test_skips_are_those_of_the_last_context_frame(model, context):
    maps = model.frame_encoder(context[:, CONTEXT - 1])[1]
    for found, expected in zip(model.encoded_frames(context)[1], maps, strict=True):
        np.testing.assert_allclose(found, expected, atol=FLOAT32)


def test_a_rollout_keeps_the_skips_of_the_context(model, x, context):
    """Also those of later frames that are fed to it do not become skips: they change vectors."""
    fed = x[:, None, CONTEXT:]
    given = {"latents": np.zeros([BATCH, 1, 4, LATENT_SIZE], np.float32), "frames": fed}
    found = model.rollout(context, 4, _unused_ids(BATCH), **given)[:, 0, -1]
    features, skips = model.encoded_frames(np.concatenate([context, fed[:, 0]], axis=1))
    latents = np.zeros([BATCH, FRAMES - 1, LATENT_SIZE], np.float32)
    latents[:, : CONTEXT - 1] = model.encode(x).mean()[:, 1:CONTEXT]
    g = model.predictor(tf.concat([features[:, :-1], latents], axis=-1))[0][:, -1]
    expected = model.frame_decoder(tf.tanh(g), skips)
    np.testing.assert_allclose(found, expected, atol=FLOAT32)
    last = model.frame_encoder(fed[:, 0, -2])[1]
    assert not np.allclose(found, model.frame_decoder(tf.tanh(g), last), atol=1e-3)


def test_wrong_arguments_are_refused_by_name(model, x, context, ids):
    with pytest.raises(ValueError, match=r"context must have shape \('B', 2, 16, 16, 1\), got"):
        model.rollout(x, 2, ids)
    with pytest.raises(ValueError, match="num_frames must be a whole number from 1, got 0"):
        model.rollout(context, 0, ids)
    with pytest.raises(ValueError, match="temperature must be a number from 0, got -1"):
        model.rollout(context, 2, ids, temperature=-1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"images must lie in \[0, 1\]"):
        model.rollout(context + 0.5, 2, ids)
