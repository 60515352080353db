"""Student-t distribution whose tails are accurate: on both sides, and as far out as one likes.

TFP takes `log_cdf` and `log_survival_function` as the log of a CDF in [0, 1], so that the upper
tail is rounding error from some 1e-16 on, and -inf soon after. Here both come, by symmetry, from

    log S(t) = log(1/2) + log I_x(a, 1/2),    t = |value - loc| / scale, a = df / 2,
    x = df / (df + t^2),

the upper tail at `t >= 0`. Far out it is summed as a series, whose logarithm cannot underflow:

    I_x(a, 1/2) = x^a (1 - x)^(1/2) / (a B(a, 1/2)) sum_n x^n (a + 1/2)_n / (a + 1)_n.

Source: DLMF 8.17.8, with the hypergeometric function as its power series.
"""

import math

import tensorflow as tf
import tensorflow_probability as tfp

_LARGEST_RATIO = 1.0 / 3.0
_NUM_TERMS = 34
"""Terms fall by the factor 1/3 at least: 3^-34 is half the rounding error of float64."""


class StudentT(tfp.distributions.StudentT):
    """`tfd.StudentT` with `log_cdf` and `log_survival_function` accurate in both tails.

    In float64 to a relative 1e-12 for `df` up to 1000. Beyond, the CDF underflows before the series
    takes over, at `t^2 = 2 df`.
    """

    def _log_cdf(self, value: tf.Tensor) -> tf.Tensor:
        t = self._standardized(value)
        tail = self._log_tail(tf.abs(t))
        return tf.where(t < 0.0, tail, tf.math.log1p(-tf.exp(tail)))

    def _log_survival_function(self, value: tf.Tensor) -> tf.Tensor:
        t = self._standardized(value)
        tail = self._log_tail(tf.abs(t))
        return tf.where(t > 0.0, tail, tf.math.log1p(-tf.exp(tail)))

    def _survival_function(self, value: tf.Tensor) -> tf.Tensor:
        return tf.exp(self._log_survival_function(value))

    def _standardized(self, value: tf.Tensor) -> tf.Tensor:
        return (value - self.loc) / self.scale

    def _log_tail(self, t: tf.Tensor) -> tf.Tensor:
        """`log P(T > t)` of the standard distribution, `t >= 0`."""
        df = tf.convert_to_tensor(self.df)
        square = t**2 / df
        is_far = square > 1.0 / _LARGEST_RATIO - 1.0
        # What is not selected gets arguments at which value and gradient are finite.
        near = tf.where(is_far, tf.zeros_like(t), t)
        standard = tfp.distributions.StudentT(df, tf.zeros([], t.dtype), tf.ones([], t.dtype))
        far = _log_tail_series(0.5 * df, tf.where(is_far, square, 2.0 * tf.ones_like(square)))
        return tf.where(is_far, far, tf.math.log(standard.cdf(-near)))


def _log_tail_series(a: tf.Tensor, square: tf.Tensor) -> tf.Tensor:
    """`log(I_x(a, 1/2) / 2)` at `x = 1 / (1 + square)`, for `x` up to 1/3."""
    x = 1.0 / (1.0 + square)
    series = tf.ones_like(x)
    for n in reversed(range(_NUM_TERMS)):
        series = 1.0 + series * x * (a + 0.5 + n) / (a + 1.0 + n)
    half = tf.constant(0.5, x.dtype)
    head = -a * tf.math.log1p(square) + 0.5 * tf.math.log1p(-x)
    return head - tf.math.log(a) - tfp.math.lbeta(a, half) + tf.math.log(series) - math.log(2.0)
