"""Inverse-gamma distribution of the per-image variance: moments and maximum likelihood."""

import numpy as np
import scipy.optimize
import scipy.special
import tensorflow as tf
from tensorflow.types.experimental import TensorLike

MIN_CONCENTRATION = 1.0 + 1e-3
"""The variance of the marginal exists only above a concentration of 1."""


def from_moments(mean: TensorLike, mean_square: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
    """Concentration and scale of the inverse gamma with the given first two moments.

    `mean = b / (a - 1)` and `var = mean^2 / (a - 2)`, hence `a = 2 + mean^2 / var`.

    Args:
      mean: Mean of the per-image variance, any shape.
      mean_square: Mean of its square, of the same shape.

    Returns:
      Pair `(a, b)` of that shape. A vanishing spread gives a large but finite `a`.
    """
    spread = tf.maximum(mean_square - mean**2, 1e-6 * mean**2 + 1e-30)
    concentration = 2.0 + mean**2 / spread
    return concentration, mean * (concentration - 1.0)


def fit(squared_errors: np.ndarray, num_dims: int) -> tuple[float, float]:
    """Maximum-likelihood concentration and scale given squared errors.

    Maximises `sum_i log integral N(x_i; loc_i, v I) InverseGamma(v; a, b) dv` over `(log a, log b)`
    by quasi-Newton steps from the moment estimate.

    Args:
      squared_errors: `[N]`, `|x - loc|^2` of each training example.
      num_dims: `D`, the scalars of one example.

    Returns:
      `(a, b)`, with `a` above 1 so that the marginal has a variance.
    """
    half_error = 0.5 * np.asarray(squared_errors, np.float64)
    half_dims = 0.5 * num_dims
    variance = np.maximum(half_error / half_dims, 1e-12)
    # In units of the mean variance the problem is well scaled, whatever the unit of the data.
    unit = variance.mean()
    half_error = half_error / unit

    def negative(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = np.exp(parameters)
        digamma = scipy.special.digamma
        value = scipy.special.gammaln(a + half_dims) - scipy.special.gammaln(a) + a * np.log(b)
        value = value - np.mean((a + half_dims) * np.log(b + half_error))
        grad_a = digamma(a + half_dims) - digamma(a) + np.log(b) - np.mean(np.log(b + half_error))
        grad_b = a / b - (a + half_dims) * np.mean(1.0 / (b + half_error))
        return -value, -np.array([a * grad_a, b * grad_b])

    a, b = (float(v) for v in from_moments(1.0, np.mean((variance / unit) ** 2)))
    bounds = [(np.log(MIN_CONCENTRATION), np.log(1e8)), (np.log(1e-8), np.log(1e8))]
    start = np.clip(np.log([a, b]), *np.transpose(bounds))
    found = scipy.optimize.minimize(negative, start, jac=True, method="L-BFGS-B", bounds=bounds)
    a, b = np.exp(found.x)
    return float(a), float(b * unit)
