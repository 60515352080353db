"""Mass of 8-bit images under a Gaussian whose one variance is integrated out.

    P(k) = integral InverseGamma(v; a, b) prod_d mass_d(k_d; v) dv,

where the bins of an image share the variance, so that no CDF gives the product. The integrand, as a
function of `l = log v`, has one peak. Where it lies is not where the density has its posterior of
the variance: a black or white pixel owns an open tail, which any large variance fills, and a
residual within a grey level fits any small one. So the peak is searched, image by image; then the
integral is taken by the trapezoidal rule in `t`, with `l = peak + width sinh(t)`, which resolves
the peak and follows the tail, exponential in `l`, until it is negligible.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS, grey_level

_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_MAX_SEARCH_STEPS = 60
# sinh(4.5) = 45 widths: the slowest tail, exp(-a l) at a = 1, has fallen by e^-45.
_REACH = 4.5
_NUM_NODES = 41


def log_mass(
    loc: tf.Tensor, concentration: tf.Tensor, scale: tf.Tensor, x: tf.Tensor, event_axes: list[int]
) -> tf.Tensor:
    """Log-mass of 8-bit images.

    Args:
      loc: `[B, E...]`, the mean, float64.
      concentration: `a`, `[B]`, float64.
      scale: `b`, `[B]`, float64.
      x: `[B, E...]`, images scaled as `k / 255`, float64.
      event_axes: Axes of `E...`.

    Returns:
      float64 `[B]`, nats.
    """
    prior = tfp.distributions.InverseGamma(concentration, scale)
    near, far = _edges(loc, x)
    column = tf.concat([tf.shape(concentration), tf.ones([len(event_axes)], tf.int32)], axis=0)

    def log_integrand(log_variance: tf.Tensor) -> tf.Tensor:
        variance = tf.exp(log_variance)
        precision = tf.reshape(tf.exp(-0.5 * log_variance), column)
        masses = tf.reduce_sum(_log_interval(near * precision, far * precision), axis=event_axes)
        return prior.log_prob(variance) + log_variance + masses

    squared_error = tf.reduce_sum((x - loc) ** 2, axis=event_axes)
    num_dims = tf.cast(tf.size(loc) / tf.maximum(tf.size(concentration), 1), tf.float64)
    step = 1.0 / tf.sqrt(concentration + 0.5 * num_dims)
    low, high = _bracket(concentration, scale, squared_error, num_dims)
    peak = _highest(log_integrand, low, high, step)
    width = _width(log_integrand, peak, step, 1.0 / tf.sqrt(concentration))
    nodes = np.linspace(-_REACH, _REACH, _NUM_NODES)

    def node(t: tf.Tensor) -> tf.Tensor:
        return log_integrand(peak + width * tf.sinh(t)) + tf.math.log(tf.cosh(t))

    # One node at a time: the memory of one, whatever their number.
    values = tf.map_fn(node, tf.constant(nodes, tf.float64))
    spacing = tf.math.log(width * (nodes[1] - nodes[0]))
    return tf.minimum(tf.reduce_logsumexp(values, axis=0) + spacing, 0.0)


def _edges(loc: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Edges of the bin relative to the mean, the right one first, mirrored to lie on the left.

    The CDFs of a bin in the right tail are close to one and lose their difference; mirrored they
    are small. An open tail has its far edge at minus infinity.
    """
    level = grey_level(x)
    infinity = tf.constant(np.inf, tf.float64)
    lower = tf.where(level <= 0.0, -infinity, level / GREY_LEVELS - loc)
    upper = tf.where(level >= GREY_LEVELS - 1.0, infinity, (level + 1.0) / GREY_LEVELS - loc)
    is_right = lower + upper > 0.0
    return tf.where(is_right, -lower, upper), tf.where(is_right, -upper, lower)


def _log_interval(near: tf.Tensor, far: tf.Tensor) -> tf.Tensor:
    """`log(Phi(near) - Phi(far))` for `far < near` with `far + near <= 0`."""
    log_near = _log_ndtr(near)
    gap = tf.maximum(log_near - _log_ndtr(far), 1e-300)
    return log_near + tf.math.log(-tf.math.expm1(-gap))


def _log_ndtr(value: tf.Tensor) -> tf.Tensor:
    """Log of the standard normal CDF."""
    zero, one = tf.zeros([], value.dtype), tf.ones([], value.dtype)
    return tfp.distributions.Normal(zero, one).log_cdf(value)


def _bracket(
    concentration: tf.Tensor, scale: tf.Tensor, squared_error: tf.Tensor, num_dims: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Two values of `l` between which the integrand has its peak, each `[B]`.

    The slope of the prior in `l` is `b / v - a`. A bin of width zero at the distance r of the mean
    adds `r^2 / 2v - 1/2`, hence the lower value, and the upper one but for open tails. A tail that
    begins at the distance r adds up to `0.4 r / sqrt(v)` however far r; the sum of r is at most
    `sqrt(D e)`.
    """
    low = tf.math.log(scale / (concentration + 0.5 * num_dims))
    by_bins = (scale + squared_error) / concentration
    by_tails = 0.16 * num_dims * squared_error / concentration**2
    return low - 1.0, tf.math.log(tf.maximum(by_bins, by_tails)) + 1.0


def _highest(
    function: Callable[[tf.Tensor], tf.Tensor],
    low: tf.Tensor,
    high: tf.Tensor,
    tolerance: tf.Tensor,
) -> tf.Tensor:
    """Where a function of one peak is highest, to a tolerance, by golden sections; all `[B]`."""

    def inner(low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        part = _GOLDEN * (high - low)
        return high - part, low + part

    def go_on(step: tf.Tensor, low: tf.Tensor, high: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return (step < _MAX_SEARCH_STEPS) & tf.reduce_any(high - low > tolerance)

    def shrink(
        step: tf.Tensor,
        low: tf.Tensor,
        high: tf.Tensor,
        left: tf.Tensor,
        right: tf.Tensor,
        at_left: tf.Tensor,
        at_right: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        goes_left = at_left > at_right
        low, high = tf.where(goes_left, low, left), tf.where(goes_left, right, high)
        new_left, new_right = inner(low, high)
        # One of the two inner points is an old one: a single evaluation for each image.
        value = function(tf.where(goes_left, new_left, new_right))
        at_left, at_right = (
            tf.where(goes_left, value, at_right),
            tf.where(goes_left, at_left, value),
        )
        return step + 1, low, high, new_left, new_right, at_left, at_right

    left, right = inner(low, high)
    state = (tf.constant(0), low, high, left, right, function(left), function(right))
    _, low, high, *_ = tf.while_loop(go_on, shrink, state)
    return 0.5 * (low + high)


def _width(
    log_integrand: Callable[[tf.Tensor], tf.Tensor],
    peak: tf.Tensor,
    step: tf.Tensor,
    widest: tf.Tensor,
) -> tf.Tensor:
    """Width of the peak from its curvature, between `step` and `widest`, `[B]`."""
    drop = 2.0 * log_integrand(peak) - log_integrand(peak + step) - log_integrand(peak - step)
    return tf.clip_by_value(step / tf.sqrt(tf.maximum(drop, 1e-12)), step, tf.maximum(step, widest))
