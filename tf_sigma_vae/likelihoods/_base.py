"""The contract of every likelihood p(x|z): a Keras layer that holds the decoder's scale.

A likelihood turns the raw numbers of a decoder (`params`) into a `tfd.Distribution` over images. It
is a building block of its own: the head of any Keras model, not only of this project's.
"""

from collections.abc import Iterable
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import distributions
from tf_sigma_vae.distributions.grey_level_cdf import LevelCdf


class NotCalibratedError(RuntimeError):
    """A scale was asked of an analytic likelihood that has none stored yet."""


class Likelihood(keras.layers.Layer):
    """Base of the likelihood plug-ins.

    Attributes:
      measure: What `log_prob` is of: a `"density"`, the `"mass"` of 8-bit values, or None where
        it is no normalised likelihood.
      has_scale: Whether the distribution has a scale to report; `log_scale` is None without one.
      value_range: `(low, high)` in which `x` must lie, or None for any real value.
      scale_per: What the scale of an image may differ by: `"image"` (nothing: it is one number),
        `"channel"` or `"element"`.
      needs_calibration: Whether the stored scale is a statistic of the training set, set by
        `calibrate`, rather than a constant, a weight or an output of the network.
    """

    measure: ClassVar[str | None] = "density"
    has_scale: ClassVar[bool] = True
    scale_per: ClassVar[str] = "element"
    needs_calibration: bool = False
    value_range: tuple[float, float] | None = None
    built: bool  # Set by Keras.

    def params_channels(self, channels: int) -> int:
        """Channels that the decoder must emit for an image of `channels` channels."""
        raise NotImplementedError(f"{type(self).__name__}.params_channels")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of a draw, `[B, H, W, C]`, for `params` `[B, H, W, P]`."""
        emitted = input_shape[-1] or 0
        fitting = (c for c in range(1, emitted + 1) if self.params_channels(c) == emitted)
        return (*input_shape[:-1], next(fitting, None))

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """The distribution p(x|z).

        A plain method, because Keras does not trace distributions.

        Args:
          params: `[B, H, W, P]`, raw output of the decoder (or `[B, ..., P]`), any float type.
          x: `[B, H, W, C]` in the unit of the data. Read in training only, and only by analytic
            likelihoods, which estimate their scale from the residuals.
          training: Whether this is a training step.

        Returns:
          float32 distribution, batch shape `[B]`, event shape `[H, W, C]`.

        Raises:
          NotCalibratedError: Outside of training, by an analytic likelihood without a stored scale.
        """
        raise NotImplementedError(f"{type(self).__name__}.distribution")

    def ensure_built(self, params_shape: Iterable[int | None]) -> None:
        """Creates the weights, unless that is done."""
        if not self.built:
            self.build(tuple(params_shape))
            self.built = True

    def log_scale(self, distribution: tfd.Distribution) -> tf.Tensor | None:
        """Mean over the event of the log standard deviation, `[B]`; None without a scale."""
        if not self.has_scale:
            return None
        log_scale = tf.math.log(distribution.stddev())
        return tf.reduce_mean(log_scale, axis=list(range(1, log_scale.shape.rank)))

    def parameters(self, distribution: tfd.Distribution) -> dict[str, tf.Tensor]:
        """The tensors that determine a distribution of this likelihood, by name, the batch first.

        See `distributions.to_parameters`; `distributions.from_parameters` is the inverse.
        """
        return distributions.to_parameters(distribution, self.scale_per)

    def bin_log_mass(self, distribution: tfd.Distribution, x: TensorLike) -> tf.Tensor:
        """Log-probability of the 8-bit images `x` (scaled as `k / 255`), float64 `[B]`, nats.

        Normalised for every head, so that their bits/dim compare: a density gives the masses of the
        bins; where `measure` is None the head says what it normalises.
        """
        return distributions.bin_log_mass(distribution, x)

    def grey_level_cdf(self, distribution: tfd.Distribution, x: TensorLike) -> LevelCdf:
        """P(K <= level) of each element of 8-bit images, on the bins of `bin_log_mass`.

        Args:
          distribution: Of this likelihood.
          x: `[B, H, W, C]`, scaled as `k / 255`; read where elements depend on one another.

        Returns:
          Function of the level (-1 ... 255, a number or a tensor that broadcasts to `x`), float64
          `[B, H, W, C]`; see `distributions.grey_level_cdf`.
        """
        return distributions.grey_level_cdf(distribution, x)

    def require_scale(self) -> None:
        """Checks that the likelihood can be used outside of training.

        Raises:
          NotCalibratedError: If it is analytic and holds no scale yet.
        """

    def calibration_statistic(self, params: tf.Tensor, x: TensorLike) -> tf.Tensor:
        """What `calibrate` needs of each training example: its squared error, float32 `[B]`."""
        raise TypeError(f"{type(self).__name__} has no analytic scale to calibrate")

    def calibrate(self, statistics: np.ndarray, num_dims: int, step: int) -> None:
        """Sets the stored scale from the statistics of the whole training set.

        Args:
          statistics: `[N]`, `calibration_statistic` of every training example.
          num_dims: `D`, the scalars of one example.
          step: Training step at which this is done, kept as provenance.
        """
        raise TypeError(f"{type(self).__name__} has no analytic scale to calibrate")

    def provenance(self) -> dict[str, object]:
        """Where the stored scale comes from: `source`, and for statistics their origin."""
        return {"source": "weights"}
