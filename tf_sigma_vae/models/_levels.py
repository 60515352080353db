"""The way down a ladder of latents: at each level a prior, a draw, and the next state.

All conditionals are diagonal Gaussians; `merged` says how q is made of what a network gives.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import noise
from tf_sigma_vae.models._latent_variable_model import Check, unchecked

MERGES = ("residual", "precision", "concat")


class Gaussian(NamedTuple):
    """Independent normal numbers, float32."""

    loc: tf.Tensor
    """`[B, h, w, c]`, or what broadcasts to it."""
    log_scale: tf.Tensor
    """Likewise."""

    @property
    def scale(self) -> tf.Tensor:
        """Likewise."""
        return tf.exp(self.log_scale)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """Of each element, nats."""
        square = tf.square((z - self.loc) * tf.exp(-self.log_scale))
        return -0.5 * square - self.log_scale - 0.5 * math.log(2.0 * math.pi)

    def split(self, sizes: list[int]) -> list["Gaussian"]:
        """Of groups of channels."""
        parts = [tf.split(value, sizes, axis=-1) for value in self]
        return [Gaussian(*part) for part in zip(*parts, strict=True)]

    def join(self, other: "Gaussian") -> "Gaussian":
        """Of the channels of both."""
        return Gaussian(*(tf.concat(pair, axis=-1) for pair in zip(self, other, strict=True)))


class Draw(NamedTuple):
    """A level's latent, and the distributions that it is of."""

    z: tf.Tensor
    """`[B, h, w, c]`."""
    posterior: Gaussian
    """q, or p where z is not inferred."""
    prior: Gaussian
    """p given the levels above."""


def standard(shape: Sequence[int]) -> Gaussian:
    """N(0, I) for latents `[B, *shape]`."""
    return Gaussian(tf.zeros([1, *shape]), tf.zeros([1, *shape]))


def from_params(params: tf.Tensor, bound: float) -> Gaussian:
    """Of the numbers that a network gives.

    Args:
      params: `[B, h, w, 2c]`, locs and log-scales.
      bound: Bound of the log-scales, approached smoothly, `bound * tanh(raw / bound)`; 0 for none.
    """
    loc, log_scale = tf.split(tf.cast(params, tf.float32), 2, axis=-1)
    if bound > 0:
        log_scale = bound * tf.tanh(log_scale / bound)
    return Gaussian(loc, log_scale)


def merged(given: Gaussian, prior: Gaussian, merge: str) -> Gaussian:
    """The posterior of a level; see `hierarchical_vae`.

    Args:
      given: Gaussian that the network gives, `[B, h, w, c]`.
      prior: p of the level, `[B, h, w, c]`.
      merge: One of `MERGES`.
    """
    if merge == "residual":
        return Gaussian(prior.loc + prior.scale * given.loc, prior.log_scale + given.log_scale)
    if merge == "precision":
        # precision_given / precision_prior = exp(log_ratio), and both sum to that of the product.
        log_ratio = 2.0 * (prior.log_scale - given.log_scale)
        weight = tf.sigmoid(log_ratio)
        return Gaussian(
            weight * given.loc + (1.0 - weight) * prior.loc,
            prior.log_scale - 0.5 * tf.math.softplus(log_ratio),
        )
    return given


def divergence(q: Gaussian, p: Gaussian) -> tf.Tensor:
    """KL(q || p) of each element, nats; 0 exactly where they are equal."""
    relative_loc = (q.loc - p.loc) * tf.exp(-p.log_scale)
    log_ratio = q.log_scale - p.log_scale
    return 0.5 * (tf.square(relative_loc) + tf.math.expm1(2.0 * log_ratio)) - log_ratio


def check_options(merge: str, log_scale_bound: float) -> None:
    """Checks what a hierarchy is told of its Gaussians.

    Raises:
      ValueError: On another merge, or a bound that is negative or not finite.
    """
    if merge not in MERGES:
        raise ValueError(f"merge must be one of {', '.join(MERGES)}, got {merge!r}")
    is_number = not isinstance(log_scale_bound, bool) and isinstance(log_scale_bound, int | float)
    if not is_number or not 0 <= log_scale_bound < math.inf:
        raise ValueError(
            f"log_scale_bound must be a number from 0 (0 for none), got {log_scale_bound!r}"
        )


Choice = Callable[[int, tf.Tensor, Gaussian], Draw]
"""Draws the latent of a level, given the state above it and the prior."""


class Levels:
    """The levels of a model, given its networks.

    Attributes:
      shapes: `(h, w, c)` of the latent of each level, top first.
      draws_on_the_way_up: Whether a part of a latent is drawn before the levels above it.
    """

    def __init__(
        self,
        bottom_up: keras.layers.Layer,
        top_down: keras.layers.Layer,
        merge: str,
        log_scale_bound: float,
    ) -> None:
        """Keeps what it is given.

        Args:
          bottom_up: Network, as `networks` describes it.
          top_down: Likewise.
          merge: See `hierarchical_vae`.
          log_scale_bound: See there.
        """
        check_options(merge, log_scale_bound)
        self.bottom_up, self.top_down = bottom_up, top_down
        self.merge, self.log_scale_bound = merge, log_scale_bound
        self.shapes = list(top_down.level_shapes)
        # Of each level the channels that are inferred on the way down, and on the way up.
        ups = top_down.bottom_up_channels
        self._channels = [[c - up, up] for (*_, c), up in zip(self.shapes, ups, strict=True)]
        self.draws_on_the_way_up = any(ups)

    def split(self, z: tf.Tensor) -> list[tf.Tensor]:
        """The latents of the levels, `[B, h, w, c]`, top first, of vectors `[B, latent_size]`."""
        parts = tf.split(z, [math.prod(shape) for shape in self.shapes], axis=-1)
        return [
            tf.reshape(part, [-1, *shape]) for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def join(self, levels: Sequence[tf.Tensor]) -> tf.Tensor:
        """Inverse of `split`."""
        flat = [
            tf.reshape(level, [-1, math.prod(shape)])
            for level, shape in zip(levels, self.shapes, strict=True)
        ]
        return tf.concat(flat, axis=-1)

    def start(self, rows: tf.Tensor) -> tf.Tensor:
        """The state above the top, for as many rows as a tensor `[B, ...]` has."""
        return self.top_down.start(tf.shape(rows)[0])

    def step(self, level: int, state: tf.Tensor, choose: Choice) -> tuple[tf.Tensor, Draw]:
        """The state after a level, and its draw.

        Args:
          level: From 0.
          state: What the network knows of the levels above.
          choose: Function of the level, the state and the prior that gives a `Draw`.
        """
        params = self.top_down.prior(level, state)
        prior = standard(self.shapes[level]) if params is None else self.gaussian(params)
        draw = choose(level, state, prior)
        return self.top_down.merge(level, state, draw.z), draw

    def descend(
        self, state: tf.Tensor, choose: Choice, first_level: int = 0
    ) -> tuple[tf.Tensor, list[Draw]]:
        """The state after the last level, and the draws on the way there; see `step`."""
        draws = []
        for level in range(first_level, len(self.shapes)):
            state, draw = self.step(level, state, choose)
            draws.append(draw)
        return state, draws

    def generated(self, noise_ids: tf.Tensor | None, temperature: float) -> Choice:
        """A choice for `step`: draws from the prior, or its means without ids.

        Args:
          noise_ids: uint32 `[B, 2]`, or None.
          temperature: Factor on the scales.
        """
        standard_draws = None if noise_ids is None else self._noise(noise_ids)

        def choose(level: int, state: tf.Tensor, prior: Gaussian) -> Draw:
            z = tf.broadcast_to(prior.loc, [tf.shape(state)[0], *self.shapes[level]])
            if standard_draws is not None:
                z += temperature * prior.scale * standard_draws[level]
            return Draw(z, prior, prior)

        return choose

    def inferred(
        self,
        x: TensorLike,
        noise_ids: tf.Tensor | None,
        check: Check = unchecked,
        num_copies: int = 1,
    ) -> Choice:
        """A choice for `step`: draws from the posterior of images, or its means without ids.

        Args:
          x: `[B, H, W, C]`.
          noise_ids: uint32 `[num_copies * B, 2]`, or None.
          check: Function of a tensor and its name that gives the tensor.
          num_copies: Draws of each image.
        """
        standard_draws = None if noise_ids is None else self._noise(noise_ids)

        def drawn(level: int, gaussian: Gaussian, up: bool) -> tf.Tensor:
            which = f" of level {level}" if len(self.shapes) > 1 else ""
            which += " on the way up" if up else ""
            loc = check(gaussian.loc, f"posterior loc{which}")
            scale = check(gaussian.scale, f"posterior scale{which}")
            if standard_draws is None:
                return loc
            return loc + scale * tf.split(standard_draws[level], self._channels[level], axis=-1)[up]

        # A way up without draws is the same for all copies of an image.
        late = 1 if self.draws_on_the_way_up else num_copies
        features, from_below = self.bottom_up(
            copies(x, num_copies // late),
            draw=lambda level, params: drawn(level, self.gaussian(params), True),
        )
        features = [copies(maps, late) for maps in features]

        def choose(level: int, state: tf.Tensor, prior: Gaussian) -> Draw:
            own_prior, _ = prior.split(self._channels[level])
            own = self.gaussian(self.top_down.posterior(level, state, features[level]))
            own = merged(own, own_prior, self.merge) if level else own
            z = drawn(level, own, False)
            if from_below[level] is None:
                return Draw(z, own, prior)
            z_from_below, params = from_below[level]
            z = tf.concat([z, z_from_below], axis=-1)
            return Draw(z, own.join(self.gaussian(params)), prior)

        return choose

    def rate_of(self, level: int, draw: Draw) -> tf.Tensor:
        """Rate of a level, `[B]`; of what is drawn on the way up by the draw."""
        (q, q_up), (p, p_up) = (
            g.split(self._channels[level]) for g in (draw.posterior, draw.prior)
        )
        rate = tf.reduce_sum(divergence(q, p), axis=[1, 2, 3])
        if q_up.loc.shape[-1]:
            _, z = tf.split(draw.z, self._channels[level], axis=-1)
            rate += tf.reduce_sum(q_up.log_prob(z) - p_up.log_prob(z), axis=[1, 2, 3])
        return rate

    def gaussian(self, params: tf.Tensor) -> Gaussian:
        """Of parameters `[B, h, w, 2c]`."""
        return from_params(params, self.log_scale_bound)

    def _noise(self, noise_ids: tf.Tensor) -> list[tf.Tensor]:
        """Standard normal noise for each level; that of the top is what a flat latent gets.

        For the first numbers of a row do not depend on how many are drawn.
        """
        size = sum(math.prod(shape) for shape in self.shapes)
        return self.split(noise.normal(noise_ids, [size]))

    def posterior_of(self, draws: list[Draw]) -> tfd.Independent:
        """The posteriors of all levels as one distribution of `z`."""
        loc = self.join([draw.posterior.loc for draw in draws])
        scale = self.join([draw.posterior.scale for draw in draws])
        return tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=1)


def copies(rows: tf.Tensor, number: int) -> tf.Tensor:
    """`[number * B, ...]`: all rows of `[B, ...]`, then all again."""
    return rows if number == 1 else tf.tile(rows, [number] + [1] * (rows.shape.rank - 1))
