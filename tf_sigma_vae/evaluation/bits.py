"""Bits per dimension of the 8-bit data, in its two conventions.

    mass:    (rate - log P(k|z)) / (D log 2),    P the mass of the bin of each grey level k,
    density: (rate - log p(x|z) + D log 256) / (D log 2),    x = (k + u) / 256, u ~ U[0, 1).

Both bound the code length of the images, so both compare with discrete decoders. The mass encodes
`x = k / 255`, which lies in bin k; the density needs dequantized images, for at grey levels alone
it has no bound. A discrete likelihood has the mass only; Bernoulli, whose `log_prob` of a grey
value is no likelihood, has that of its normalised form over the 256 levels.

Source: Theis et al. 2016 (dequantization).
"""

import tensorflow as tf

from tf_sigma_vae import objectives
from tf_sigma_vae.models import LatentVariableModel, Output

UNIT = "bits/dim"


def by_mass(model: LatentVariableModel, output: Output, x: tf.Tensor) -> tf.Tensor:
    """Bits/dim of the 8-bit images, by mass.

    Args:
      model: A `LatentVariableModel`.
      output: Of the model for `x`.
      x: `[B, H, W, C]`, or clips, scaled as `k / 255`.

    Returns:
      float64 `[B]`.
    """
    log_mass = model.target_likelihood.bin_log_mass(output.likelihood, model.targets(x))
    nll = tf.cast(output.rate, tf.float64) - tf.cast(log_mass, tf.float64)
    return objectives.bits_per_dim(nll, model.num_dims(x), "mass")


def by_density(model: LatentVariableModel, output: Output, x: tf.Tensor) -> tf.Tensor:
    """Bits/dim of the 8-bit images, by density.

    Args:
      model: A `LatentVariableModel` whose likelihood is a density.
      output: Of the model for `x`.
      x: `[B, H, W, C]`, or clips, dequantized in the unit interval.

    Returns:
      float64 `[B]`.

    Raises:
      ValueError: If the likelihood is not a density.
    """
    if model.likelihood.measure != "density":
        raise ValueError(
            f"bits/dim by density needs a density; {type(model.likelihood).__name__} has the "
            f"measure {model.likelihood.measure!r}"
        )
    nll = tf.cast(output.distortion, tf.float64) + tf.cast(output.rate, tf.float64)
    return objectives.bits_per_dim(nll, model.num_dims(x), "density")
