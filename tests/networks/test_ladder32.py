import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_sigma_vae.networks import _gated_blocks, ladder32

OPTIONS = {"channels": 4, "latents": ((4, 2), (1, 1)), "latent_channels": 3, "num_blocks": 1}
FLOAT32 = 1e-5
CONVOLVED = 1e-4
"""Of the largest element: a convolution sums some hundred products."""


def shapes(image_shape, **options):
    bottom_up = ladder32.BottomUp(image_shape, 5, **{**OPTIONS, **options})
    return bottom_up.level_shapes


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


@pytest.mark.parametrize(
    ("image_shape", "maps"),
    [
        ((32, 32, 3), [(4, 4), (8, 8), (16, 16)]),
        ((64, 64, 3), [(4, 4), (8, 8), (16, 16)]),
        ((28, 28, 1), [(4, 4), (7, 7), (14, 14)]),
        ((28, 20, 1), [(4, 3), (7, 5), (14, 10)]),
    ],
)
def test_latents_lie_on_the_first_map_that_is_small_enough(image_shape, maps):
    latents, channels = ((16, 1), (8, 1), (4, 1), (1, 2)), (4, 3, 2)
    given = {"latents": latents, "latent_channels": channels}
    assert shapes(image_shape, **given) == [
        (1, 1, 5),
        (1, 1, 10),
        *((*size, 2 * c) for size, c in zip(maps, channels[::-1], strict=True)),
    ]
    one_part = shapes(image_shape, **given, stochastic_bottom_up=False)
    assert [c for *_, c in one_part] == [5, 5, 2, 3, 4]


@pytest.mark.parametrize("image_shape", [(4, 4, 1), (3, 2, 1), (1, 1, 1)])
def test_images_of_one_map_may_have_vectors_alone(image_shape):
    options = {"channels": 4, "latents": ((1, 2),), "latent_channels": (), "num_blocks": 1}
    up = ladder32.BottomUp(image_shape, 5, **options)
    down = ladder32.TopDown(image_shape, 5, 3, True, **options)
    features, _ = up(np.zeros((2, *image_shape), np.float32), draw=lambda _, p: p[..., :5])
    assert [maps.shape for maps in features] == [(2, 1, 1, 4)] * 2
    assert down([np.zeros((2, *s), np.float32) for s in down.level_shapes]).shape == (
        2,
        *image_shape[:2],
        3,
    )


def test_a_draw_is_needed_where_a_level_is_inferred_on_the_way_up():
    x = np.zeros((2, 8, 8, 1), np.float32)
    with pytest.raises(ValueError, match="level 2 is inferred on the way up: it needs draw"):
        ladder32.BottomUp((8, 8, 1), 5, **OPTIONS)(x)
    features, _ = ladder32.BottomUp((8, 8, 1), 5, stochastic_bottom_up=False, **OPTIONS)(x)
    assert len(features) == 3


def test_latents_may_lie_on_maps_of_few_pixels():
    given = {"latents": ((3, 1), (2, 1), (1, 1)), "latent_channels": 2}
    assert shapes((9, 12, 1), **given) == [(1, 1, 5), (2, 2, 4), (3, 3, 4)]


def test_reference_has_fifteen_latents_of_falling_width():
    bottom_up = ladder32.BottomUp((32, 32, 3), 160)
    assert len(bottom_up.levels) == 15
    channels = [level.top_down_channels for level in bottom_up.levels]
    assert channels == [160, *range(12, 40, 2)]
    assert [level.size for level in bottom_up.levels[:6]] == [
        (1, 1),
        (4, 4),
        *3 * [(8, 8)],
        (16, 16),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latents": ()}, "latents must be pairs .* falling to 1, that of vectors; got \\(\\)"),
        ({"latents": ((8, 1), (4, 1))}, "latents must be pairs"),
        ({"latents": ((4, 1), (8, 1), (1, 1))}, "latents must be pairs"),
        ({"latents": ((4, 0), (1, 1))}, "latents must be pairs"),
        ({"latents": (4, 1)}, "latents must be pairs"),
        ({"latents": 3}, "latents must be pairs"),
        ({"latent_channels": (3,)}, "one for each of the 2 maps of latents, finest first; got 1"),
        ({"latent_channels": 0}, "latent_channels must be a whole number of at least 1, got 0"),
        ({"latent_channels": (3, "4")}, "latent_channels must be a whole number"),
        ({"channels": 0}, "channels must be a whole number of at least 1, got 0"),
        ({"num_blocks": True}, "num_blocks must be a whole number of at least 1, got True"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ladder32.BottomUp((8, 8, 3), 5, **{**OPTIONS, **changes})


def test_kernels_have_the_norm_g_whatever_v_is():
    keras.utils.set_random_seed(0)
    layer = _gated_blocks.WeightNormConv(2, 1)
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
    expected = layer(x)
    v = layer.v.numpy()
    np.testing.assert_allclose(expected, x @ (v / np.linalg.norm(v, axis=2))[0, 0], atol=FLOAT32)
    layer.v.assign(7.0 * v)
    np.testing.assert_allclose(layer(x), expected, atol=FLOAT32)
    layer.g.assign([2.0, -3.0])
    layer.bias.assign([1.0, 0.0])
    np.testing.assert_allclose(layer(x), expected * [2.0, -3.0] + [1.0, 0.0], atol=FLOAT32)


def test_outputs_start_with_the_mean_square_of_the_inputs_whatever_the_fan_in():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 40)).astype(np.float32)
    found = _gated_blocks.WeightNormConv(64, 3, padding="valid", gain=0.5)(x)
    # The mean over 64 filters and 200 places of what has a standard error of about 2 %.
    assert np.mean(found**2) == pytest.approx(0.25, rel=0.1)


def test_block_adds_one_half_gated_by_the_other():
    keras.utils.set_random_seed(0)
    block = _gated_blocks.GatedBlock(3, kernel_size=1)
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
    found = block(x)
    kernels = [conv.v.numpy()[0, 0] for conv in (block.first, block.second)]
    first, second = (kernel / np.linalg.norm(kernel, axis=0) for kernel in kernels)
    change, gate = np.split(elu(elu(x) @ first) @ second, 2, axis=-1)
    np.testing.assert_allclose(found, x + change / (1 + np.exp(-gate)), atol=FLOAT32)


def up(**options):
    keras.utils.set_random_seed(0)
    layer = ladder32.BottomUp((8, 6, 2), 5, **{**OPTIONS, **options})
    layer.build(None)
    return layer


def test_draws_on_the_way_up_change_what_is_above_and_nothing_else():
    x = np.random.default_rng(0).uniform(size=(1, 8, 6, 2)).astype(np.float32)
    layer, called = up(), []

    def draw(level, params):
        called.append(level)
        return tf.split(params, 2, axis=-1)[0] + (level == changed)

    found = {}
    for changed in (None, 1, 2):
        found[changed], _ = layer(x, draw=draw)
    assert called == 3 * [2, 1]
    for changed in (1, 2):
        for level in range(3):
            same = np.array_equal(found[None][level], found[changed][level])
            assert same == (level >= changed), (changed, level)


def test_without_draws_on_the_way_up_none_is_asked_for():
    features, drawn = up(stochastic_bottom_up=False)(np.zeros((1, 8, 6, 2), np.float32))
    assert len(features) == 3 and drawn == [None, None, None]


class Trained(keras.Model):
    """A ladder whose way down sees what the way up makes of an image."""

    def __init__(self, rematerialize):
        super().__init__()
        keras.utils.set_random_seed(0)
        options = {**OPTIONS, "latents": ((4, 1), (1, 1)), "rematerialize": rematerialize}
        self.up = ladder32.BottomUp((8, 6, 2), 5, **options)
        self.down = ladder32.TopDown((8, 6, 2), 5, 3, True, **options)
        self.up.build(None)
        self.down.build(None)
        self.built = True

    def call(self, x, training=False):
        features, drawn = self.up(x, draw=lambda level, params: params[..., :3])
        state, total = self.down.start(tf.shape(x)[0]), 0.0
        for level, (*_, channels) in enumerate(self.down.level_shapes):
            posterior = self.down.posterior(level, state, features[level])
            z = posterior[..., : channels - self.down.bottom_up_channels[level]]
            if level:
                total += tf.reduce_sum(self.down.prior(level, state) ** 2)
                z = tf.concat([z, drawn[level][0]], axis=-1)
            state = self.down.merge(level, state, z)
        return total + tf.reduce_sum(self.down.output(state) ** 2)


def test_rematerialization_computes_twice_and_gives_the_same_gradients(monkeypatch):
    x = np.random.default_rng(0).uniform(size=(2, 8, 6, 2)).astype(np.float32)
    results, calls, call = [], [], _gated_blocks.WeightNormConv.call

    def counted(layer, inputs):
        calls[-1] += 1
        return call(layer, inputs)

    monkeypatch.setattr(_gated_blocks.WeightNormConv, "call", counted)
    for rematerialize in (False, True):
        model = Trained(rematerialize)
        calls.append(0)
        with tf.GradientTape() as tape:
            loss = model(x, training=True)
        results.append((loss, tape.gradient(loss, model.trainable_variables)))
    (loss, kept), (other_loss, again) = results
    np.testing.assert_allclose(other_loss, loss, rtol=FLOAT32)
    for one, other, variable in zip(kept, again, model.trainable_variables, strict=True):
        largest = np.max(np.abs(one))
        assert largest > 0, variable.path
        np.testing.assert_allclose(other, one, rtol=0, atol=CONVOLVED * largest)
    assert calls[1] > 1.2 * calls[0]
