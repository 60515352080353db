"""What each element of a batch of images says of its predicted distribution; in TensorFlow.

    pit_8bit = F(k - 1) + v (F(k) - F(k - 1)),    v ~ U(0, 1),
    crps     = sum_{j < 255} (F(j) - [k <= j])^2 / 255,
    width    = the part of the 256 bins in which that PIT passes from 0.05 to 0.95,

with `F` the CDF of the grey level and `k` the level that was found. If the images are drawn from
the distribution, the PIT is uniform; `v` makes it so although levels are discrete.

The end bins own the tails of a density. Where it has its mean at an end, half of it is in one bin
whatever its scale, and the 8-bit PIT of that level tells nothing of the scale. So `pit` of a
density is of its own CDF `G` at the edges of the bin, also at the ends,

    pit      = G(k / 256) + v (G((k + 1) / 256) - G(k / 256)),

the PIT of the value with its rounding drawn again. Of anything else it is `pit_8bit`.

Source: Brockwell 2007 (the randomized PIT); Gneiting & Raftery 2007, Sec. 4.2 (CRPS).
"""

from collections.abc import Callable

import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import noise
from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS, grey_level

_LAST = GREY_LEVELS - 1
_LOW, _HIGH = 0.05, 0.95
_STREAM = 2**31
"""Of the noise of an image: far from the training steps and from the numbers of drawn samples."""


def draws(x: tf.Tensor, seed: int) -> tf.Tensor:
    """The `v` of images `[B, H, W, C]`: float64 in (0, 1), by the seed and the image alone."""
    ids = noise.fold(noise.example_ids(x), seed, _STREAM)
    return tf.cast(noise.uniform(ids, x.shape[1:]), tf.float64)


def figures(
    cdf: Callable[..., tf.Tensor],
    distribution: tfd.Distribution,
    x: TensorLike,
    v: TensorLike,
    is_density: bool,
    over_levels: bool,
) -> dict[str, tf.Tensor]:
    """The figures of every element of a batch.

    Args:
      cdf: Of `distributions.grey_level_cdf`; of a density it takes `open_tails`.
      distribution: Batch shape `[B]`, event shape `[H, W, C]`.
      x: `[B, H, W, C]`, scaled as `k / 255`.
      v: Of `draws`.
      is_density: Whether the mean and variance are those of the distribution. Otherwise they are
        the grey level's, as `cdf` has it.
      over_levels: Whether CRPS and width are wanted of a density; they take 255 values of its CDF.

    Returns:
      Dictionary of float64 `[B, H, W, C]`: `x`, `pit`, `pit_8bit`, `mean`, `variance`, and with
      `over_levels` (or no density) `crps` and `width`, in the unit of the data.
    """
    level = grey_level(tf.cast(x, tf.float64))
    found = {"x": level / _LAST, **_pits(cdf, level, v, is_density)}
    if is_density:
        found["mean"] = tf.cast(distribution.mean(), tf.float64)
        found["variance"] = tf.cast(distribution.variance(), tf.float64)
    if over_levels or not is_density:
        crps, width, first, second = _sums_over_levels(cdf, level)
        found["crps"], found["width"] = crps / _LAST, width / GREY_LEVELS
        if not is_density:
            found["mean"] = (level + first) / _LAST
            found["variance"] = tf.maximum(second - first**2, 0.0) / _LAST**2
    return {name: tf.broadcast_to(value, tf.shape(x)) for name, value in found.items()}


def _pits(
    cdf: Callable[..., tf.Tensor], level: tf.Tensor, v: TensorLike, is_density: bool
) -> dict[str, tf.Tensor]:
    options = {"open_tails": False} if is_density else {}
    # Some distributions lose the size of the channels' axis.
    below, through = (
        tf.ensure_shape(cdf(at, **options), level.shape) for at in (level - 1.0, level)
    )
    pit = below + v * (through - below)
    if not is_density:
        return {"pit": pit, "pit_8bit": pit}
    below = tf.where(level <= 0.0, tf.zeros_like(below), below)
    through = tf.where(level >= _LAST, tf.ones_like(through), through)
    return {"pit": pit, "pit_8bit": below + v * (through - below)}


def _sums_over_levels(cdf: Callable[..., tf.Tensor], level: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """CRPS and width in levels, and the moments `E[K - k]` and `E[(K - k)^2]`.

    The moments are sums over the tails on both sides of the level found, which do not cancel:

        E[K - k]     = sum_{j >= k} S(j) - sum_{j < k} F(j),    S = 1 - F,
        E[(K - k)^2] = sum_{j >= k} (2 (j - k) + 1) S(j) + sum_{j < k} (2 (k - j) - 1) F(j).
    """
    zeros = tf.zeros_like(level)

    def add_level(
        number: tf.Tensor,
        previous: tf.Tensor,
        crps: tf.Tensor,
        width: tf.Tensor,
        first: tf.Tensor,
        second: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        at = tf.cast(number, tf.float64)
        value = tf.ensure_shape(cdf(at) + zeros, level.shape)
        # F below the level found, F - 1 from it on.
        error = value - tf.cast(level <= at, tf.float64)
        width += _part_inside(previous, value)
        weight = 2.0 * (at - level) + 1.0
        return number + 1, value, crps + error**2, width, first - error, second - weight * error

    # One level at a time: the memory of one, whatever their number.
    _, last, crps, width, first, second = tf.while_loop(
        lambda number, *_: number < _LAST,
        add_level,
        (tf.constant(0), zeros, zeros, zeros, zeros, zeros),
        parallel_iterations=1,
        maximum_iterations=_LAST,
    )
    return crps, width + _part_inside(last, tf.ones_like(last)), first, second


def _part_inside(below: tf.Tensor, through: tf.Tensor) -> tf.Tensor:
    """Part of a level over which the CDF, linear in it, is between `_LOW` and `_HIGH`."""
    mass = through - below
    inside = tf.clip_by_value(through, _LOW, _HIGH) - tf.clip_by_value(below, _LOW, _HIGH)
    # A level without mass between two modes lies inside as a whole.
    is_empty = mass <= 0.0
    between = tf.cast((through > _LOW) & (through < _HIGH), tf.float64)
    return tf.where(is_empty, between, inside / tf.where(is_empty, tf.ones_like(mass), mass))
