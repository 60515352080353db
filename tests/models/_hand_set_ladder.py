"""A ladder of latents: their distributions are simple functions with known parameters."""

import keras
import numpy as np
import tensorflow as tf

# Top first: a vector, and maps; of the last two, channels are drawn on the way up.
LEVEL_SHAPES = [(1, 1, 3), (1, 2, 3), (2, 3, 4)]
BOTTOM_UP_CHANNELS = [0, 1, 2]


def parameters(seed, channels, spread=0.5):
    """`[1, h, w, 2c]` for each level."""
    rng = np.random.default_rng(seed)
    shapes = [(1, *size, 2 * c) for (*size, _), c in zip(LEVEL_SHAPES, channels, strict=True)]
    return [spread * rng.normal(size=shape).astype(np.float32) for shape in shapes]


P = parameters(0, [shape[-1] for shape in LEVEL_SHAPES])
Q = parameters(1, [c - up for (*_, c), up in zip(LEVEL_SHAPES, BOTTOM_UP_CHANNELS, strict=True)])
Q_UP = parameters(2, BOTTOM_UP_CHANNELS)
"""What is added to the locs and log-scales, of p, of q, and of q on the way up."""


def moved(params, offset):
    """Parameters with an offset `[B, 1, 1, 1]` on the locs."""
    loc, log_scale = tf.split(params, 2, axis=-1)
    return tf.concat([loc + offset, log_scale + tf.zeros_like(offset)], axis=-1)


class Up(keras.layers.Layer):
    """Features are the mean of the image, and of what was drawn below; so are the locs."""

    def call(self, x, draw=None):
        state, features, drawn = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True), [], []
        for level in reversed(range(len(LEVEL_SHAPES))):
            features.append(state)
            drawn.append(None)
            if BOTTOM_UP_CHANNELS[level]:
                params = moved(Q_UP[level], state)
                drawn[-1] = draw(level, params), params
                state = state + tf.reduce_mean(drawn[-1][0], axis=[1, 2, 3], keepdims=True)
        return features[::-1], drawn[::-1]


class Down(keras.layers.Layer):
    """The state is the sum of the means of the latents above; it moves locs of p and of q."""

    level_shapes, bottom_up_channels = LEVEL_SHAPES, BOTTOM_UP_CHANNELS

    def __init__(self, image_shape, num_params, **kwargs):
        super().__init__(**kwargs)
        self.params_shape = (*image_shape[:2], num_params)

    def start(self, num_rows):
        return tf.zeros([num_rows, 1, 1, 1])

    def prior(self, level, state):
        return moved(P[level], state) if level else None

    def posterior(self, level, state, features):
        return moved(Q[level], features if level == 0 else features - 0.5 * state)

    def merge(self, level, state, z):
        return state + tf.reduce_mean(z, axis=[1, 2, 3], keepdims=True)

    def output(self, state):
        return tf.broadcast_to(state, [tf.shape(state)[0], *self.params_shape])

    def call(self, latents):
        state = self.start(tf.shape(latents[0])[0])
        for level, z in enumerate(latents):
            state = self.merge(level, state, z)
        return self.output(state)
