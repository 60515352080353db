"""What the signatures of all models share: which rows are valid, random numbers, p-values."""

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import noise, objectives
from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS
from tf_sigma_vae.models._images import RANGE_TOLERANCE
from tf_sigma_vae.models._output import Output

Z_STREAM, IMAGE_STREAM = 0, 1
"""Of the random numbers of one seed: those that draw z, and the decoder's noise."""

Function: TypeAlias = tf.types.experimental.PolymorphicFunction

_Answer = Callable[..., dict[str, tf.Tensor]]


class Signatures:
    """Base of the signatures of a kind of model."""

    def __init__(self, model: keras.Model, validation_scores: ArrayLike | None = None) -> None:
        """Keeps the model and the scores.

        Args:
          model: A `LatentVariableModel`.
          validation_scores: `[n]`, anomaly scores of examples that the model has not been trained
            on; without them there is no p-value.

        Raises:
          NotCalibratedError: If an analytic likelihood holds no scale.
          ValueError: If the scores are no finite numbers, or there are none.
        """
        model.likelihood.require_scale()
        self.model = model
        self.sorted_scores = None
        if validation_scores is not None:
            self.sorted_scores = tf.constant(_sorted(validation_scores))

    def valid(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The examples, zeros in place of the rows that cannot be used, and which can be."""
        values = tf.convert_to_tensor(values)
        is_valid = tf.math.is_finite(values)
        if self.model.likelihood.value_range is not None:
            low, high = self.model.likelihood.value_range
            tolerance = RANGE_TOLERANCE * (high - low)
            is_valid &= (values >= low - tolerance) & (values <= high + tolerance)
        rank = values.shape.rank
        is_valid = tf.reduce_all(is_valid, axis=list(range(1, rank)))
        x = tf.where(is_valid[(slice(None), *[tf.newaxis] * (rank - 1))], values, 0.0)
        if self.model.likelihood.measure == "mass":
            x = grey_values(tf.round(x * (GREY_LEVELS - 1)))
        return x, is_valid

    def p_value(self, score: tf.Tensor) -> tf.Tensor:
        """The split-conformal p-value of scores `[B]` against those of validation, `[B]`."""
        num_scores = tf.size(self.sorted_scores)
        num_below = tf.searchsorted(self.sorted_scores, score, side="left")
        above = tf.cast(num_scores - num_below, tf.float32)
        return (1.0 + above) / (1.0 + tf.cast(num_scores, tf.float32))

    def bits_per_dim(self, output: Output, x: tf.Tensor) -> tf.Tensor:
        """Bits/dim of an `Output` of `x`, `[B]`: by density for densities, else by mass."""
        measure, num_dims = self.model.likelihood.measure, self.model.num_dims(x)
        if measure is not None:
            return objectives.bits_per_dim(output.distortion + output.rate, num_dims, measure)
        scored, targets = self.model.target_likelihood, self.model.targets(x)
        log_mass = tf.cast(scored.bin_log_mass(output.likelihood, targets), tf.float32)
        return objectives.bits_per_dim(output.rate - log_mass, num_dims, "mass")


def with_specs(functions: Mapping[str, tuple[_Answer, list[tf.TensorSpec]]]) -> dict[str, Function]:
    """`tf.function` objects of functions and the specs of their inputs, by name.

    The shapes of the inputs are checked first.

    Args:
      functions: Pairs of a function and a list of `tf.TensorSpec`, by name.
    """
    return {
        name: tf.function(_checked(function, specs), input_signature=specs)
        for name, (function, specs) in functions.items()
    }


def _checked(function: _Answer, specs: list[tf.TensorSpec]) -> _Answer:
    """The function, after a check of the shapes of its inputs."""

    def checked(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        pairs = zip(inputs, specs, strict=True)
        return function(*(tf.ensure_shape(value, spec.shape) for value, spec in pairs))

    return checked


def require_as_many_rows(values: tf.Tensor, seed: tf.Tensor, what: str) -> None:
    """Refuses one row of either, which would be broadcast to all of the other."""
    tf.debugging.assert_equal(
        tf.shape(values)[0], tf.shape(seed)[0], f"{what} and seed must have as many rows"
    )


def row_ids(seed: tf.Tensor, stream: int) -> tf.Tensor:
    """Ids of the random numbers of each row, uint32 `[B, 2]`; see `noise`."""
    return noise.fold(tf.bitcast(seed, tf.uint32), stream)


def drawn(
    likelihood_of: Callable[[tf.Tensor], tfd.Distribution],
    params: tf.Tensor,
    ids: tf.Tensor,
    event_shape: tuple[int, ...],
) -> tf.Tensor:
    """A draw of each row by its own ids, float32 `[N, *event_shape]`.

    Args:
      likelihood_of: Function of `params` `[1, H, W, P]` that gives their distribution.
      params: `[N, H, W, P]`: a loop over rows takes tensors, no distribution.
      ids: uint32 `[N, 2]`. TFP draws a batch by one seed: here every row has its own.
      event_shape: `(H, W, C)`.
    """

    def draw_of_row(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        row_params, row_seed = row
        return likelihood_of(row_params[tf.newaxis]).sample(seed=row_seed)[0]

    return tf.map_fn(
        draw_of_row,
        (params, tf.bitcast(ids, tf.int32)),
        fn_output_signature=tf.TensorSpec(event_shape, tf.float32),
    )


def grey_values(levels: tf.Tensor) -> tf.Tensor:
    """`k / 255`, float32, of levels 0 ... 255 of any type.

    Looked up: TensorFlow's optimizer makes a division by a constant a product, off by the last bit,
    and the noise of the model is a function of all bits of the image.
    """
    values = np.arange(GREY_LEVELS, dtype=np.float32) / np.float32(GREY_LEVELS - 1)
    return tf.gather(values, tf.cast(levels, tf.int32))


def nan_unless(is_valid: tf.Tensor, outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The outputs with NaN in the rows that are not valid."""
    return {
        name: tf.where(
            tf.reshape(is_valid, [-1] + [1] * (value.shape.rank - 1)),
            tf.cast(value, tf.float32),
            math.nan,
        )
        for name, value in outputs.items()
    }


def _sorted(scores: ArrayLike) -> np.ndarray:
    scores = np.asarray(scores, np.float32)
    if scores.ndim != 1 or scores.size == 0 or not np.all(np.isfinite(scores)):
        raise ValueError(
            f"validation_scores must be [n] finite numbers, n at least 1; got shape {scores.shape}"
            f", {np.count_nonzero(~np.isfinite(scores))} of them not finite"
        )
    return np.sort(scores)
