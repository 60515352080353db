"""The terms of the objective, their units, and the conversions between conventions.

Every term is summed over the event (pixels, channels, latent dimensions) and never averaged over
it: an average would silently change `beta` by a factor `D` or `latent_size`.

Reference: Rybkin et al. 2021, Eq. 3 and 4.
"""

import math

import tensorflow as tf
from tensorflow.types.experimental import TensorLike

from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS

WRITTEN_LOSSES = (
    "half_squared_error",
    "squared_error",
    "mean_squared_error",
    "half_mean_squared_error",
)


def elbo(distortion: TensorLike, rate: TensorLike) -> TensorLike:
    """Evidence lower bound, `-(distortion + rate)`, nats per example: larger is better.

    Args:
      distortion: `[B]`, nats, `-log p(x|z)` summed over the event.
      rate: `[B]`, nats, `KL(q(z|x) || p(z))` summed over the latent.

    Returns:
      `[B]`, nats.

    Source: Rybkin et al. 2021, Eq. 3.
    """
    return -(distortion + rate)


def iwae_bound(log_weights: TensorLike, axis: int = 0) -> tf.Tensor:
    """Importance-weighted bound on `log p(x)`, `log mean_k exp(log_weights_k)`.

    Equals the (single-sample) elbo for one sample and rises in expectation with the number of
    samples towards `log p(x)`.

    Args:
      log_weights: `[K, B]`, nats, `log p(x|z_k) + log p(z_k) - log q(z_k|x)` with `z_k ~ q(z|x)`.
      axis: Axis of the K samples.

    Returns:
      `[B]`, nats.

    Source: Burda et al. 2016, Eq. 8.
    """
    log_weights = tf.convert_to_tensor(log_weights)
    num_samples = tf.cast(tf.shape(log_weights)[axis], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis=axis) - tf.math.log(num_samples)


def bits_per_dim(nll: TensorLike, num_dims: int | tf.Tensor, convention: str) -> TensorLike:
    """Bits per dimension of 8-bit data from a negative log-likelihood (or its bound).

    * `"mass"`: `nll` is of the 8-bit values themselves: `nll / (D log 2)`.
    * `"density"`: `nll` is of a density over data dequantized in the unit interval:
      `(nll + D log 256) / (D log 2)`.

    Args:
      nll: Any shape, nats per example.
      num_dims: `D`, the scalars of one example.
      convention: `"mass"` or `"density"`.

    Returns:
      Same shape as `nll`, bits per dimension.

    Raises:
      ValueError: If the convention is neither.
    """
    if convention not in ("mass", "density"):
        raise ValueError(f"unknown convention {convention!r}; allowed: 'mass', 'density'")
    offset = num_dims * math.log(GREY_LEVELS) if convention == "density" else 0.0
    return (nll + offset) / (num_dims * math.log(2.0))


def gaussian_floor(num_dims: int) -> float:
    """Smallest distortion that a unit-variance Gaussian can report, `(D / 2) log(2 pi)` nats."""
    return 0.5 * num_dims * math.log(2.0 * math.pi)


def optimal_distortion(variance: TensorLike, num_dims: int) -> tf.Tensor:
    """Mean distortion of a Gaussian at its optimal variance, `(D / 2)(log(2 pi s^2) + 1)` nats.

    Source: Rybkin et al. 2021, Eq. 5 (as the variance), substituted in Eq. 2.
    """
    variance = tf.convert_to_tensor(variance)
    return 0.5 * num_dims * (tf.math.log(2.0 * math.pi * variance) + 1.0)


def beta_equivalent(scale: TensorLike, beta: float = 1.0) -> TensorLike:
    """The beta of `squared error + beta * rate` with the same optimum: `2 * scale**2 * beta`.

    Source: Rybkin et al. 2021, Sec. 3.1 and Table 1 (`scale = sqrt(beta / 2)`).
    """
    return 2.0 * scale**2 * beta


def _variance_per_beta(written_loss: str, num_dims: int) -> float:
    """Equivalent Gaussian variance of a loss written with `beta = 1`."""
    factors = dict(zip(WRITTEN_LOSSES, (1.0, 0.5, 0.5 * num_dims, float(num_dims)), strict=True))
    if written_loss not in factors:
        raise ValueError(f"unknown written loss {written_loss!r}; allowed: {WRITTEN_LOSSES}")
    if num_dims < 1:
        raise ValueError(f"num_dims must be at least 1, got {num_dims}")
    return factors[written_loss]


def beta_to_scale(beta: float, written_loss: str, num_dims: int) -> float:
    """Scale of the Gaussian likelihood that `written_loss + beta * rate` amounts to.

    | written loss                       | equivalent variance |
    |------------------------------------|---------------------|
    | `half_squared_error` (Eq. 4)       | `beta`              |
    | `squared_error` (Table 1)          | `beta / 2`          |
    | `mean_squared_error` over D        | `D beta / 2`        |
    | `half_mean_squared_error` over D   | `D beta`            |

    Args:
      beta: Weight of the rate in the written loss, positive.
      written_loss: One of `WRITTEN_LOSSES`.
      num_dims: `D`, the scalars of one example.

    Returns:
      A standard deviation in the unit of the data.

    Raises:
      ValueError: If the loss is unknown, or beta not positive.
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")
    return math.sqrt(beta * _variance_per_beta(written_loss, num_dims))


def scale_to_beta(scale: float, written_loss: str, num_dims: int) -> float:
    """Inverse of `beta_to_scale`.

    Raises:
      ValueError: If the loss is unknown, or the scale not positive.
    """
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    return scale**2 / _variance_per_beta(written_loss, num_dims)


def free_bits(
    rate_groups: tf.Tensor, batch_mean: tf.Tensor, minimum: float | tf.Tensor
) -> tf.Tensor:
    """Rate for the objective when each group is granted `minimum` nats for free.

    `sum_g max(minimum, mean over the batch of KL_g)`, written per example: a group whose batch mean
    lies below the minimum contributes the constant `minimum` and no gradient.

    Args:
      rate_groups: `[B, G]`, nats, the rate of each group (latent dimension, level or frame).
      batch_mean: `[G]`, nats, mean of `rate_groups` over the global batch.
      minimum: Nats for each group; 0 switches the mechanism off.

    Returns:
      `[B]`, nats.

    Source: Kingma et al. 2016, Eq. 15.
    """
    free = tf.stop_gradient(batch_mean) < minimum
    granted = tf.cast(minimum, rate_groups.dtype)
    return tf.reduce_sum(tf.where(free, granted, rate_groups), axis=1)
