"""What `dcgan64` and `vgg64` have in common."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_sigma_vae.networks import _map_convolutions, dcgan64, vgg64

MODULES = [dcgan64, vgg64]
FEATURE_SIZE, PARAMS_CHANNELS, WIDTH = 5, 6, 4
SHAPE = (16, 24, 3)
# The same sums of some hundred float32 terms in another order.
FLOAT32 = 2e-5

for_both = pytest.mark.parametrize("module", MODULES, ids=["dcgan64", "vgg64"])


def networks(module, shape=SHAPE, width=WIDTH, **options):
    keras.utils.set_random_seed(0)
    options = {"width": width, **options}
    encoder = module.FrameEncoder(shape, FEATURE_SIZE, **options)
    decoder = module.FrameDecoder(shape, FEATURE_SIZE, PARAMS_CHANNELS, **options)
    encoder.build((None, *shape))
    decoder.build((None, FEATURE_SIZE))
    return encoder, decoder


def values(decoder, num_rows, num_clips, seed=0):
    """Features and skips."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_rows, FEATURE_SIZE)).astype(np.float32)
    skips = [rng.normal(size=(num_clips, *s)).astype(np.float32) for s in decoder.skip_shapes]
    return features, skips


def norm(array):
    return np.sqrt(np.mean(np.asarray(array) ** 2))


def normalized(layer, maps):
    """Leaky ReLU of a group normalization, by its definition."""
    split = tf.reshape(maps, [*maps.shape[:3], layer.groups, -1])
    mean, variance = tf.nn.moments(split, [1, 2, 4], keepdims=True)
    maps = tf.reshape((split - mean) / tf.sqrt(variance + 1e-5), maps.shape)
    return tf.nn.leaky_relu(maps * layer.gamma + layer.beta, 0.2)


def written_out(module, network, maps, skips=None):
    """What a network's blocks make of maps, by TensorFlow's own functions, with skips beside."""
    strides, found = 2 if module is dcgan64 else 1, []
    for block in network.blocks:
        if skips and module is vgg64:
            maps = tf.repeat(tf.repeat(maps, 2, axis=1), 2, axis=2)
        for layer in block.convolutions:
            kernel = layer.convolution.kernel
            is_transposed = isinstance(layer.convolution, keras.layers.Conv2DTranspose)
            if layer.of_skips is not None:
                maps = tf.concat([maps, skips.pop()], axis=-1)
                axis = 3 if is_transposed else 2
                kernel = tf.concat([kernel, layer.of_skips.kernel], axis=axis)
            if is_transposed:
                rows, *sides = maps.shape[:3]
                size = [rows, *(2 * side for side in sides), kernel.shape[2]]
                maps = tf.nn.conv2d_transpose(maps, kernel, size, strides)
            else:
                maps = tf.nn.conv2d(maps, kernel, strides, "SAME")
            maps += layer.convolution.bias
            if layer.normalization is not None:
                maps = normalized(layer.normalization, maps)
        found.append(maps)
        if skips is None and module is vgg64:
            maps = tf.nn.max_pool2d(maps, 2, 2, "SAME")
    return maps, found


@for_both
def test_networks_compute_their_layers_written_out(module):
    encoder, decoder = networks(module)
    rng = np.random.default_rng(0)
    for network in (encoder, decoder):
        shifted = [w + 0.1 * rng.normal(size=w.shape) for w in network.get_weights()]
        network.set_weights(shifted)
    x = rng.uniform(size=(3, *SHAPE)).astype(np.float32)
    maps, skips = written_out(module, encoder, tf.constant(x))
    features = tf.tanh(tf.reshape(maps, [3, -1]) @ encoder.head.kernel + encoder.head.bias)
    found, found_skips = encoder(x)
    np.testing.assert_allclose(found, features, atol=FLOAT32)
    for one, other in zip(found_skips, skips, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    # A kernel of a transposed convolution holds the input channels last.
    stem = tf.tensordot(features, decoder.stem.kernel, [[1], [3]]) + decoder.stem.bias
    params, _ = written_out(module, decoder, normalized(decoder.stem_normalization, stem), skips)
    np.testing.assert_allclose(decoder(found, found_skips), params, rtol=1e-4, atol=1e-4)


@for_both
def test_config_round_trip_keeps_every_option(module):
    options = {"width": 3, "normalization": "layer"}
    encoder = module.FrameEncoder(SHAPE, feature_size=7, **options)
    decoder = module.FrameDecoder(SHAPE, 7, PARAMS_CHANNELS, **options)
    given = {"image_shape": SHAPE, "feature_size": 7, **options}
    more = {"params_channels": PARAMS_CHANNELS}
    for network, expected in ((encoder, given), (decoder, {**given, **more})):
        config = type(network).from_config(network.get_config()).get_config()
        assert {name: config[name] for name in expected} == expected


@for_both
def test_frames_of_a_clip_share_the_skips_of_one(module):
    decoder = networks(module)[1]
    features, skips = values(decoder, num_rows=6, num_clips=2)
    repeated = [np.repeat(skip, 3, axis=0) for skip in skips]
    found = decoder(features, skips)
    np.testing.assert_allclose(found, decoder(features, repeated), rtol=FLOAT32, atol=FLOAT32)
    # Rows of a clip lie one after the other.
    alone = decoder(features[3:4], [skip[1:] for skip in skips])
    np.testing.assert_allclose(found[3:4], alone, rtol=FLOAT32, atol=FLOAT32)


@for_both
def test_gradients_of_shared_skips_are_sums_over_the_frames(module):
    decoder = networks(module)[1]
    features, skips = values(decoder, num_rows=6, num_clips=2)
    gradients = []
    for each in (1, 3):
        given = [tf.repeat(tf.constant(skip), each, axis=0) for skip in skips]
        with tf.GradientTape() as tape:
            tape.watch(given)
            total = tf.reduce_sum(decoder(features, given) ** 3)
        gradients.append(tape.gradient(total, given))
    for shared, single in zip(*gradients, strict=True):
        summed = tf.reduce_sum(tf.reshape(single, [2, 3, *single.shape[1:]]), axis=1)
        scale = np.max(np.abs(summed))
        np.testing.assert_allclose(shared / scale, summed / scale, atol=FLOAT32)


def test_no_rows_stay_none_and_rows_that_do_not_divide_are_refused():
    """A replica may have been handed no row."""
    add = _map_convolutions._add_to_each
    assert add(tf.zeros([0, 4, 6, 3]), tf.zeros([0, 4, 6, 3])).shape == (0, 4, 6, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="reshape"):
        add(tf.zeros([5, 4, 6, 3]), tf.zeros([2, 4, 6, 3]))


@for_both
@pytest.mark.parametrize("normalization", ["group", "none"])
def test_every_pixel_of_a_frame_reaches_the_features(module, normalization):
    encoder = networks(module, normalization=normalization)[0]
    x = tf.random.stateless_uniform([1, *SHAPE], seed=[1, 2])
    with tf.GradientTape() as tape:
        tape.watch(x)
        features, _ = encoder(x)
        total = tf.reduce_sum(features**2)
    gradient = tape.gradient(total, x).numpy()
    # Max pooling without normalization may leave out single numbers, but no pixel.
    assert np.all(np.any(gradient != 0, axis=-1))


@for_both
@pytest.mark.parametrize("normalization", ["group", "none"])
def test_numbers_neither_vanish_nor_saturate_at_the_start(module, normalization):
    """Bounds are far from what is common, 0.1 to 1.1: ten layers that halve would be off by far."""
    encoder, decoder = networks(module, (64, 64, 3), width=8, normalization=normalization)
    x = np.random.default_rng(0).uniform(size=(4, 64, 64, 3)).astype(np.float32)
    features, skips = encoder(x)
    assert 0.04 < norm(features) < 0.95
    assert all(0.04 < norm(skip) < 5.0 for skip in skips)
    assert 0.04 < norm(decoder(features, skips)) < 5.0


def test_negative_numbers_leak_by_a_fifth():
    layer = _map_convolutions.MapConvolution(keras.layers.Conv2D, 2, 1, 1, 2, normalization="none")
    layer.build((None, 4, 6, 2))
    layer.set_weights([np.eye(2)[np.newaxis, np.newaxis], np.zeros(2)])
    maps = np.random.default_rng(0).normal(size=(3, 4, 6, 2)).astype(np.float32)
    np.testing.assert_allclose(layer(maps), np.where(maps > 0, maps, 0.2 * maps), rtol=FLOAT32)


@for_both
def test_normalization_is_by_group_by_layer_or_not_at_all(module):
    groups = {}
    for kind in _map_convolutions.NORMALIZATIONS:
        layers = [
            layer
            for network in networks(module, width=32, normalization=kind)
            for layer in network._flatten_layers()
            if isinstance(layer, keras.layers.GroupNormalization)
        ]
        groups[kind] = {(layer.gamma.shape[0], layer.groups) for layer in layers}
    assert groups["group"] == {(32, 2), (64, 4)}
    assert groups["layer"] == {(32, 1), (64, 1)}
    assert groups["none"] == set()


@pytest.mark.parametrize(
    ("channels", "groups"), [(4, 1), (16, 1), (24, 1), (32, 2), (48, 3), (56, 2), (64, 4)]
)
def test_groups_divide_the_channels_and_have_at_least_sixteen(channels, groups):
    assert _map_convolutions._num_groups(channels) == groups


@pytest.mark.parametrize("kind", [keras.layers.Conv2D, keras.layers.Conv2DTranspose])
def test_skips_are_joined_as_by_a_convolution_of_both_side_by_side(kind):
    joined = _map_convolutions.MapConvolution(kind, 5, 4, 2, 3, joins=True)
    joined.build((None, 8, 6, 3))
    rng = np.random.default_rng(0)
    joined.set_weights([rng.normal(size=weight.shape) for weight in joined.get_weights()])
    # Kernels of transposed convolutions hold the input channels last.
    axis = -1 if kind is keras.layers.Conv2DTranspose else -2
    kernel = np.concatenate([joined.convolution.kernel, joined.of_skips.kernel], axis=axis)
    whole = kind(5, 4, 2, padding="same")
    whole.build((None, 8, 6, 6))
    whole.set_weights([kernel, joined.convolution.bias])
    maps, skips = rng.normal(size=(2, 2, 8, 6, 3)).astype(np.float32)
    expected = whole(np.concatenate([maps, skips], axis=-1))
    np.testing.assert_allclose(joined(maps, skips), expected, rtol=1e-4, atol=1e-4)


@for_both
def test_layers_start_from_numbers_of_their_own(module):
    kernels = [
        v.numpy().ravel()[:36]
        for network in networks(module)
        for v in network.weights
        if v.name == "kernel" and np.size(v) >= 36
    ]
    assert len(kernels) > 5
    correlation = np.abs(np.corrcoef(kernels))
    # |r| of independent pairs of 36 numbers exceeds 0.9 with probability 1e-13.
    assert np.all(correlation[np.triu_indices(len(correlation), k=1)] < 0.9)


@for_both
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 64, 1), "needs frames of at least 16x16; got"),
        ((30, 32, 1), "with sides that are multiples of 4; got"),
        ((64, 72, 3), "with sides that are multiples of 16; got"),
    ],
)
def test_sizes_that_cannot_be_halved_often_are_refused_by_name(module, shape, message):
    name = module.__name__.rpartition(".")[2]
    for make in (module.FrameEncoder, lambda *a: module.FrameDecoder(*a, PARAMS_CHANNELS)):
        with pytest.raises(ValueError, match=f"{name} {message}|{name} needs .*{message}"):
            make(shape, FEATURE_SIZE)


@for_both
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("width", 0, "width must be a whole number of at least 1, got 0"),
        ("width", 2.5, "width must be a whole number of at least 1, got 2.5"),
        ("feature_size", True, "feature_size must be a whole number of at least 1, got True"),
        ("normalization", "batch", "must be one of group, layer, none; got 'batch'"),
    ],
)
def test_impossible_options_are_refused(module, option, value, message):
    given = {"feature_size": FEATURE_SIZE, option: value}
    with pytest.raises(ValueError, match=message):
        module.FrameEncoder(SHAPE, **given)
    with pytest.raises(ValueError, match=message):
        module.FrameDecoder(SHAPE, params_channels=1, **given)
    with pytest.raises(ValueError, match="params_channels must be a whole number"):
        module.FrameDecoder(SHAPE, FEATURE_SIZE, 0)
