"""`bernoulli`: intensities read as probabilities of a white pixel.

    log p(x|z) = x log p + (1 - x) log(1 - p),    p = sigmoid(l(z)),    x in [0, 1].

Customary for grey images, but a likelihood of black and white ones only: over the grey values it
does not integrate to one, and by how much depends on `p` (Loaiza-Ganem & Cunningham 2019, who
divide by the integral over [0, 1], the "continuous Bernoulli"). So it has no `measure`: its elbo
compares with no other. `bin_log_mass` divides by the sum over the 256 grey levels instead, which
gives a mass of 8-bit data that compares with all other likelihoods: with `t = l / 255`,

    P(k) = exp(t k) / S(t),    S(t) = sum_{k=0}^{255} exp(t k) = expm1(256 t) / expm1(t),

a truncated geometric distribution (`x log p + (1 - x) log(1 - p) = l x + log(1 - p)`, and the last
term is the same for all k). Since `expm1(u) = 2 exp(u / 2) sinh(u / 2)`,

    log P(k) = t (k - 255 / 2) - log 256 - G(256 t) + G(t),    G(u) = log(sinh(u / 2) / (u / 2)),

with `G` even, smooth and 0 at 0, so that nothing cancels around `l = 0`, where `P` is uniform.

Source: Rybkin et al. 2021, Sec. 3.2; the normalized mass is ours.
"""

import math

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS, grey_level
from tf_sigma_vae.distributions.grey_level_cdf import LevelCdf, with_ends
from tf_sigma_vae.likelihoods._base import Likelihood

_SERIES_BELOW = 0.01
"""Where the series of G, cut off after `u^4`, is off by less than `u^6 / 181440 = 6e-18`."""

_UNIFORM_BELOW = 1e-30
"""Size of the log-odds below which the levels are as probable, to more than any rounding."""


@keras.saving.register_keras_serializable("tf_sigma_vae")
class Bernoulli(Likelihood):
    """Black or white pixels with log-odds `[B, H, W, C]`; grey values are scored as averages."""

    measure = None
    has_scale = False
    value_range = (0.0, 1.0)

    def params_channels(self, channels: int) -> int:
        """The log-odds of each channel."""
        return channels

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """See `Likelihood.distribution`; samples are 0 or 1, the mean is `p`."""
        self.ensure_built(params.shape)
        logits = tf.cast(params, tf.float32)
        marginal = tfd.Bernoulli(logits, dtype=tf.float32)
        return tfd.Independent(marginal, reinterpreted_batch_ndims=logits.shape.rank - 1)

    def bin_log_mass(self, distribution: tfd.Distribution, x: TensorLike) -> tf.Tensor:
        """Log-mass of the 8-bit images `x`, normalized over the 256 levels, float64 `[B]`, nats."""
        logits = tf.cast(distribution.distribution.logits, tf.float64)
        log_mass = _log_mass(logits, grey_level(tf.cast(x, tf.float64)))
        return tf.reduce_sum(log_mass, axis=list(range(1, log_mass.shape.rank)))

    def grey_level_cdf(self, distribution: tfd.Distribution, x: TensorLike) -> LevelCdf:
        """See `Likelihood.grey_level_cdf`; of the mass normalized over the 256 levels."""
        logits = tf.cast(distribution.distribution.logits, tf.float64)
        return with_ends(lambda level: _cdf(logits, level))

    def provenance(self) -> dict[str, object]:
        """All parameters are outputs of the network."""
        return {"source": "network"}


def _log_mass(logits: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """`log P(k)` of levels k 0 ... 255, elementwise, float64."""
    last = GREY_LEVELS - 1
    t = logits / last
    log_normalizer = math.log(GREY_LEVELS) + _log_sinhc(GREY_LEVELS * t) - _log_sinhc(t)
    return t * (level - last / 2) - log_normalizer


def _cdf(logits: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """`P(K <= k) = S_{k+1}(t) / S_256(t)`, elementwise, float64.

    `S_n(t) = expm1(n t) / expm1(t)` is the sum of the first `n` terms. For positive `t` a power is
    taken out, so that no exponential overflows.
    """
    number = level + 1.0
    # The limit at 0, where all levels are as probable, is reached long before.
    least = tf.constant(_UNIFORM_BELOW, logits.dtype)
    t = tf.where(tf.abs(logits) < least, least, logits) / (GREY_LEVELS - 1)
    size = tf.abs(t)
    value = tf.math.expm1(-number * size) / tf.math.expm1(-GREY_LEVELS * size)
    return value * tf.exp(-(GREY_LEVELS - number) * tf.maximum(t, 0.0))


def _log_sinhc(u: tf.Tensor) -> tf.Tensor:
    """`G(u) = log(sinh(u / 2) / (u / 2))`, float64, of the shape of `u`."""
    is_small = tf.abs(u) < _SERIES_BELOW
    series = u**2 / 24.0 - u**4 / 2880.0
    # Where the series holds, a harmless number keeps the gradient of the unused branch finite.
    size = tf.where(is_small, tf.ones_like(u), tf.abs(u))
    direct = size / 2.0 + tf.math.log(-tf.math.expm1(-size) / size)
    return tf.where(is_small, series, direct)
