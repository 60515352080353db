"""One logistic, rounded to the grey levels of 8-bit data: its log-mass, mean and variance.

Level `k` is the bin `(k +- 1/2) / 255`; the first and the last reach to infinity. With `a`, `b` the
standardized edges of a bin and `d = b - a` its width,

    log[sigmoid(b) - sigmoid(a)] = -softplus(-b) - softplus(a) + log(1 - exp(-d))

holds exactly, and none of its terms overflows, cancels or has a clipped gradient: far out it is
linear in the distance. In an end bin the terms of the infinite edge vanish.
"""

import numpy as np
import tensorflow as tf

from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS

LAST_LEVEL = GREY_LEVELS - 1

_REACH = 16
"""Edges on either side of a location at which a logistic of scale one leaves 1e-7 of mass."""

_WIDE = 2.0
"""Scale in grey levels from which the variance is an integral instead of a sum."""

_TAIL = 24.0
"""Scales beyond a location after which a logistic has no mass worth an integral."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(2 * _REACH)
"""Gauss's rule on (-1, 1), of as many nodes as a narrow logistic has edges on one side."""


def log_mass(level: tf.Tensor, loc: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """Log-mass of the grey level `level`, 0 ... 255, of a shape that broadcasts to `loc`'s."""
    inverse_scale = tf.exp(-log_scale)
    lower = ((level - 0.5) / LAST_LEVEL - loc) * inverse_scale
    upper = ((level + 0.5) / LAST_LEVEL - loc) * inverse_scale
    width = inverse_scale / LAST_LEVEL
    # Factors instead of tf.where: all terms are finite, so that these zeros are.
    has_lower = tf.cast(level > 0.0, loc.dtype)
    has_upper = tf.cast(level < LAST_LEVEL, loc.dtype)
    inside = has_lower * has_upper * tf.math.log(-tf.math.expm1(-width))
    return inside - has_upper * tf.nn.softplus(-upper) - has_lower * tf.nn.softplus(lower)


def mean(loc: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """`E[k] / 255`, within 1e-6 of a grey level; float32 rounds by 1e-7 of the scale more.

    `E[k] = sum_j P(k > j)` over the 255 inner edges. Scales below a grey level are summed over the
    nearest edges only, the others being certain; larger ones by `_sum_over_edges`.
    """
    levels = LAST_LEVEL * loc
    scale = LAST_LEVEL * tf.exp(log_scale)
    # Clipped so that the edges are inner ones throughout.
    first = tf.clip_by_value(tf.round(levels), _REACH, LAST_LEVEL - _REACH) - _REACH
    distance = (levels - first) / scale

    def add_edge(edge: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        middle = tf.cast(edge, loc.dtype) + 0.5
        return edge + 1, total + tf.sigmoid(distance - middle / scale)

    # One edge at a time: the memory of one, whatever their number.
    _, near = tf.while_loop(
        lambda edge, _: edge < 2 * _REACH,
        add_edge,
        (tf.constant(0), first + tf.zeros_like(distance)),
        parallel_iterations=1,
        maximum_iterations=2 * _REACH,
    )
    wide = _sum_over_edges(levels, tf.maximum(scale, 1.0))
    # Far out, the integral's terms round to a mean just outside of the range.
    total = tf.clip_by_value(tf.where(scale < 1.0, near, wide), 0.0, LAST_LEVEL)
    return total / LAST_LEVEL


def _sum_over_edges(loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """`sum_{j < 255} sigmoid((loc - j - 1/2) / scale)` for scales of one and more.

    The midpoint rule by Euler and Maclaurin: the integral, corrected at both ends by the odd
    derivatives of the sigmoid. The ninth, left out, is below 2e-7 at a scale of one.
    """
    ends = loc / scale, (loc - LAST_LEVEL) / scale
    total = scale * (tf.nn.softplus(ends[0]) - tf.nn.softplus(ends[1]))
    for end, sign in zip(ends, (-1.0, 1.0), strict=True):
        first = tf.sigmoid(end) * tf.sigmoid(-end)
        third = 1.0 - 6.0 * first
        fifth = 1.0 + first * (-30.0 + 120.0 * first)
        seventh = 1.0 + first * (-126.0 + first * (1680.0 - 5040.0 * first))
        weights = 1 / 24, -7 / 5760, 31 / 967680, -127 / 154828800
        inverse_square = scale**-2
        series = weights[3] * seventh
        for weight, derivative in zip(weights[2::-1], (fifth, third, 1.0), strict=True):
            series = weight * derivative + inverse_square * series
        total += sign * first / scale * series
    return total


def variance(loc: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """`Var[k] / 255^2`, within a relative 1e-5; exactly 0 where all mass is rounded to one level.

    Around the median `m`, a grey level, all terms of

        E[(k - m)^2] = sum_j (2 j + 1) P(|k - m| > j)

    are positive, and subtracting `(E[k] - m)^2` halves it at most, since a mean is within a
    standard deviation of the median: nothing cancels, in whatever precision.
    """
    levels = LAST_LEVEL * loc
    scale = LAST_LEVEL * tf.exp(log_scale)
    median = tf.clip_by_value(tf.round(levels), 0.0, LAST_LEVEL)
    above, above_square = _moments_beyond(levels - median, scale, LAST_LEVEL - median)
    below, below_square = _moments_beyond(median - levels, scale, median)
    value = above_square + below_square - (above - below) ** 2
    return tf.maximum(value, 0.0) / LAST_LEVEL**2


def _moments_beyond(
    shift: tf.Tensor, scale: tf.Tensor, last: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """`sum_j P_j` and `sum_j (2 j + 1) P_j` over `0 <= j < last`: the edges on one side of a level.

    `P_j = sigmoid((shift - j - 1/2) / scale)`. Narrow logistics are summed over the nearest edges;
    for wide ones the sums are integrals by Gauss's rule, corrected at both ends as in
    `_sum_over_edges`: the fifth derivative, left out, weighs 3e-6 at most.
    """
    is_wide = scale >= _WIDE
    wide = tf.maximum(scale, _WIDE)
    length = tf.minimum(last, _TAIL * wide)
    nodes, weights = (tf.constant(a, shift.dtype) for a in (0.5 + 0.5 * _NODES, 0.5 * _WEIGHTS))

    def add_node(
        number: tf.Tensor, first: tf.Tensor, second: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        edge = tf.cast(number, shift.dtype) + 0.5
        offset = tf.where(is_wide, length * nodes[number], edge)
        weight = tf.where(is_wide, length * weights[number], tf.cast(edge < last, shift.dtype))
        mass = weight * tf.sigmoid((shift - offset) / scale)
        return number + 1, first + mass, second + 2.0 * offset * mass

    zeros = tf.zeros_like(length)
    _, first, second = tf.while_loop(
        lambda number, *_: number < len(_NODES),
        add_node,
        (tf.constant(0), zeros, zeros),
        parallel_iterations=1,
        maximum_iterations=len(_NODES),
    )
    start, end = (_end_correction(shift, wide, offset) for offset in (zeros, last))
    first += tf.where(is_wide, end[0] - start[0], 0.0)
    second += tf.where(is_wide, end[1] - start[1], 0.0)
    return first, second


def _end_correction(
    shift: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """`-f' / 24 + 7 f''' / 5760` at `t = offset`, of `f = s(t)` and of `f = 2 t s(t)`.

    `s(t) = sigmoid((shift - t) / scale)`; the terms of Euler and Maclaurin for the midpoint rule.
    """
    end = (shift - offset) / scale
    value = tf.sigmoid(end)
    inverse = 1.0 / scale
    first = -inverse * value * tf.sigmoid(-end)
    second = -inverse * first * (1.0 - 2.0 * value)
    third = inverse**2 * first * (1.0 + 6.0 * scale * first)
    weights = -1 / 24, 7 / 5760
    plain = weights[0] * first + weights[1] * third
    # (2 t s)' = 2 t s' + 2 s, and so on.
    return plain, 2.0 * (offset * plain + weights[0] * value + 3.0 * weights[1] * second)
