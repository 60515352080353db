"""Diagonal Gaussians over a level's latent, and how q is made of what a network gives for it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

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
      bound: Of the log-scales, approached smoothly: `bound * tanh(raw / bound)`; 0 for none.
    """
    loc, log_scale = tf.split(tf.cast(params, tf.float32), 2, axis=-1)
    if bound > 0:
        log_scale = bound * tf.tanh(log_scale / bound)
    return Gaussian(loc, log_scale)


def merged(given: Gaussian, prior: Gaussian, merge: str) -> Gaussian:
    """The posterior, of what a network gives for it and the prior; see `hierarchical_vae`.

    Args:
      given: Of the network.
      prior: p.
      merge: Of `MERGES`.
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
