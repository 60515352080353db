"""Rates, draws and importance weights of a hierarchy, by distributions with hand-set parameters."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tests._models import IMAGE_SHAPE, images
from tests.models import _hand_set_ladder as ladder
from tf_sigma_vae import models, noise
from tf_sigma_vae.models._levels import MERGES

tfd = tfp.distributions

BATCH = 5
NATS = 1e-4
"""Absolute: sums of some twenty terms of either sign, in float32."""
NUM_STANDARD_ERRORS = 5.5
"""Of a normal mean: further off once in some ten million runs."""
CHANCE = 1e-7
"""P-value that a correct program undercuts; there are some ten in this module."""


def hand_set(merge="residual", **kwargs):
    network = ladder.Up(), ladder.Down(IMAGE_SHAPE, IMAGE_SHAPE[-1])
    given = {"log_scale_bound": 0, "latent_size": ladder.LEVEL_SHAPES[0][-1], **kwargs}
    return models.HierarchicalVAE(
        IMAGE_SHAPE, likelihood="gaussian_fixed", network=network, merge=merge, **given
    )


def conditionals(model, x, z):
    """The latents, and q and p of each at the draw `z`: written independently of `models`."""
    x_mean = np.mean(x, axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    levels = [level.numpy().astype(np.float64) for level in model.split_levels(z)]
    below, state, found = {}, np.zeros_like(x_mean), []
    for level in reversed(range(len(levels))):
        below[level] = x_mean
        up = ladder.BOTTOM_UP_CHANNELS[level]
        if up:
            x_mean = x_mean + levels[level][..., -up:].mean(axis=(1, 2, 3), keepdims=True)
    for level, drawn in enumerate(levels):
        up = ladder.BOTTOM_UP_CHANNELS[level]
        p_loc, p_log_scale = np.split(ladder.P[level], 2, axis=-1) if level else (0.0, 0.0)
        p_loc, p_scale = p_loc + state * (level > 0), np.exp(p_log_scale) + 0 * drawn[:1]
        loc, log_scale = np.split(ladder.Q[level], 2, axis=-1)
        loc, scale = loc + below[level] - 0.5 * state * (level > 0), np.exp(log_scale)
        if level:
            own = p_loc[..., : loc.shape[-1]], p_scale[..., : loc.shape[-1]]
            loc, scale = merged(loc, scale, *own, model.merge)
        up_loc, up_log_scale = np.split(ladder.Q_UP[level], 2, axis=-1)
        q_loc = np.concatenate([loc + 0 * state, up_loc + below[level]], axis=-1)
        q_scale = np.concatenate([scale, np.exp(up_log_scale)], axis=-1) + 0 * drawn
        found.append((tfd.Normal(q_loc, q_scale), tfd.Normal(p_loc + 0 * drawn, p_scale), up))
        state = state + drawn.mean(axis=(1, 2, 3), keepdims=True)
    return levels, found


def merged(loc, scale, p_loc, p_scale, merge):
    if merge == "residual":
        return p_loc + p_scale * loc, p_scale * scale
    if merge == "concat":
        return loc, scale
    precision, p_precision = scale**-2.0, p_scale**-2.0
    total = precision + p_precision
    return (precision * loc + p_precision * p_loc) / total, total**-0.5


@pytest.mark.parametrize("merge", MERGES)
def test_rate_of_a_level_is_the_divergence_on_the_way_down_and_the_log_ratio_on_the_way_up(merge):
    model, x = hand_set(merge), images(BATCH)
    output = model(x)
    levels, found = conditionals(model, x, output.z)
    for level, (z, (q, p, up)) in enumerate(zip(levels, found, strict=True)):
        closed_form = tfd.kl_divergence(q, p).numpy()
        log_ratio = (q.log_prob(z) - p.log_prob(z)).numpy()
        split = closed_form.shape[-1] - up
        expected = np.sum(closed_form[..., :split], axis=(1, 2, 3))
        expected += np.sum(log_ratio[..., split:], axis=(1, 2, 3))
        np.testing.assert_allclose(output.rate_groups[:, level], expected, rtol=NATS, atol=NATS)
    np.testing.assert_allclose(output.rate, np.sum(output.rate_groups, axis=1), rtol=NATS)


@pytest.mark.parametrize("merge", MERGES)
def test_posterior_of_an_output_is_that_of_its_draw_and_weights_are_the_joint_densities(merge):
    model, x = hand_set(merge), images(BATCH)
    output = model(x)
    levels, found = conditionals(model, x, output.z)
    for name in ("mean", "stddev"):
        given = model.split_levels(getattr(output.posterior, name)())
        for value, (q, _, _) in zip(given, found, strict=True):
            np.testing.assert_allclose(value, getattr(q, name)(), rtol=NATS, atol=NATS)
    log_ratios = [
        np.sum(p.log_prob(z) - q.log_prob(z), axis=(1, 2, 3))
        for z, (q, p, _) in zip(levels, found, strict=True)
    ]
    log_weights = model.log_importance_weights(x, 3)
    expected = np.sum(log_ratios, axis=0) - output.distortion
    np.testing.assert_allclose(log_weights[0], expected, rtol=NATS, atol=NATS)


def test_rate_is_the_mean_of_the_log_ratio_of_the_joint_densities():
    """Also of what is drawn on the way up, whose prior depends on it by way of what is above."""
    model = hand_set("residual")
    x = np.repeat(images(1), 4000, axis=0)
    ids = noise.row_ids(len(x), seed=3)
    output = model.score(x, ids)
    levels, found = conditionals(model, x, output.z)
    for level, (z, (q, p, _)) in enumerate(zip(levels, found, strict=True)):
        log_ratio = np.sum(q.log_prob(z) - p.log_prob(z), axis=(1, 2, 3))
        difference = output.rate_groups[:, level] - log_ratio
        error = np.std(difference) / np.sqrt(len(x))
        assert abs(np.mean(difference)) < NUM_STANDARD_ERRORS * error + NATS, level
    # The closed form on the way up is another quantity: z has been drawn together with its prior.
    q, p, up = found[-1]
    closed_form = np.sum(tfd.kl_divergence(q, p)[..., -up:], axis=(1, 2, 3))
    log_ratio = np.sum((q.log_prob(levels[-1]) - p.log_prob(levels[-1]))[..., -up:], axis=(1, 2, 3))
    bias = closed_form - log_ratio
    assert abs(np.mean(bias)) > 2 * NUM_STANDARD_ERRORS * np.std(bias) / np.sqrt(len(x))


def test_level_whose_posterior_equals_the_prior_has_no_rate(monkeypatch):
    nothing = [0] * len(ladder.LEVEL_SHAPES)
    monkeypatch.setattr(ladder, "BOTTOM_UP_CHANNELS", nothing)
    monkeypatch.setattr(ladder.Down, "bottom_up_channels", nothing)

    def zeros(self, level, state, features):
        *size, channels = ladder.LEVEL_SHAPES[level]
        return tf.zeros([BATCH, *size, 2 * channels])

    monkeypatch.setattr(ladder.Down, "posterior", zeros)
    output = hand_set("residual")(images(BATCH))
    assert not np.any(output.rate_groups) and np.any(output.posterior.mean())


def test_noise_of_all_levels_is_standard_normal_and_independent():
    model = hand_set("concat")
    x = images(600)
    output = model(x)
    draws = ((output.z - output.posterior.mean()) / output.posterior.stddev()).numpy()
    assert scipy.stats.kstest(draws.ravel(), "norm").pvalue > CHANCE
    correlation = np.corrcoef(draws, rowvar=False) - np.eye(model.latent_size)
    # The largest of some five hundred pairs, hence a standard error more.
    assert np.max(np.abs(correlation)) < (NUM_STANDARD_ERRORS + 1) / np.sqrt(len(x))


def test_means_are_followed_on_the_way_of_means():
    model, x = hand_set("residual"), images(BATCH)
    encoded = model.encode(x)
    _, found = conditionals(model, x, encoded.mean())
    for value, (q, _, _) in zip(model.split_levels(encoded.mean()), found, strict=True):
        np.testing.assert_allclose(value, q.mean(), rtol=NATS, atol=NATS)


def test_samples_of_the_prior_follow_its_conditionals():
    model = hand_set()
    # Of no influence on p.
    ids, x = noise.row_ids(2000, seed=1), np.repeat(images(1), 2000, axis=0)
    z = model.sample_prior(ids)
    levels, found = conditionals(model, x, z)
    standard = [
        (level - p.mean()) / p.stddev() for level, (_, p, _) in zip(levels, found, strict=True)
    ]
    for level, draws in enumerate(standard):
        assert scipy.stats.kstest(np.ravel(draws), "norm").pvalue > CHANCE, level
    cold, none = (model.sample_prior(ids, temperature=t) for t in (0.5, 0.0))
    np.testing.assert_allclose(cold[:, :3], 0.5 * z[:, :3], rtol=1e-6)
    levels, found = conditionals(model, x, none)
    for level, (_, p, _) in zip(levels, found, strict=True):
        np.testing.assert_allclose(level, p.mean(), rtol=NATS, atol=NATS)


def test_draws_from_the_prior_below_do_not_depend_on_those_from_the_posterior_above():
    # The parts drawn on the way up, of all levels, shape what is above: with the same noise below,
    # the rows of this ladder would spread wider by a tenth.
    model, draws = hand_set(), 20_000
    x = tf.repeat(images(1), draws, axis=0)
    ids = noise.row_ids(draws, seed=1)
    rows = model.reconstructions_by_level(x, ids, temperature=1.0)
    levels = model._levels
    for row in (1, 2):
        other = levels.generated(noise.row_ids(draws, seed=2), 1.0)
        state, q = levels.start(x), levels.inferred(x, ids)
        for level in range(row):
            state, _ = levels.step(level, state, q)
        state, _ = levels.descend(state, other, row)
        independent = model.likelihood.distribution(model.top_down.output(state)).mean()
        found, wanted = (np.std(v, axis=0).mean() for v in (rows[row], independent))
        # Each has a standard error of half a percent, their ratio of 0.7 %.
        assert found == pytest.approx(wanted, rel=0.05), row


def test_upper_levels_alone_are_followed_by_means_of_the_prior():
    model, x = hand_set(), images(BATCH)
    rows = model.reconstructions_by_level(x)
    assert rows.shape == (4, BATCH, *IMAGE_SHAPE)
    # Row 0 knows nothing of x; the last one is the reconstruction by the means.
    np.testing.assert_allclose(rows[0], np.broadcast_to(rows[0, :1], rows[0].shape), rtol=1e-6)
    expected = model.decode(model.encode(x).mean()).mean()
    np.testing.assert_allclose(rows[-1], expected, rtol=NATS, atol=NATS)
    top = model.split_levels(model.encode(x).mean())[0]
    state = tf.reduce_mean(top, axis=[1, 2, 3])
    for params in ladder.P[1:]:
        state = state + np.mean(np.split(params, 2, axis=-1)[0]) + state
    one = model.likelihood.distribution(tf.broadcast_to(state[:, None, None, None], x.shape))
    np.testing.assert_allclose(rows[1], one.mean(), rtol=NATS, atol=NATS)
    ids = model.posterior_noise_ids(tf.constant(x), training=False)
    drawn = model.reconstructions_by_level(x, ids, temperature=0.7)
    np.testing.assert_allclose(drawn[-1], model(x).likelihood.mean(), rtol=NATS, atol=NATS)
    assert np.any(drawn[0, 0] != drawn[0, 1])
    with pytest.raises(ValueError, match="temperature=0.7 takes noise_ids"):
        model.reconstructions_by_level(x, temperature=0.7)
