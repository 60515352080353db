"""Whether the decoder's distribution of a frame is as wide as its errors, frame by frame.

Coverage, mean squared residual and mean variance of the elements of each frame, as `calibration`
has them of an image.
"""

import functools

import numpy as np
import tensorflow as tf

from tf_sigma_vae.evaluation import clips
from tf_sigma_vae.evaluation.calibration import elements, predictions
from tf_sigma_vae.models import LatentVariableModel

COVERAGE = "coverage_90"
_PART = 0.9
NAMES = (COVERAGE, "squared", "variance")


class Widths:
    """The figures of frames, compiled once."""

    def __init__(self, model: LatentVariableModel, seed: int) -> None:
        """Prepares them.

        Args:
          model: A `SequenceVAE`.
          seed: Of the randomization of the PIT.
        """
        self._model, self._seed = model, seed
        self._rows = predictions.rows_at_once(model, clips.MAX_FRAMES)
        height, width, channels = model.image_shape
        emitted = model.likelihood.params_channels(channels)
        signature = [
            tf.TensorSpec([None, height, width, emitted], tf.float32),
            tf.TensorSpec([None, *model.image_shape], tf.float32),
        ]
        function = functools.partial(_figures, model, seed)
        self._figures = tf.function(function, input_signature=signature, autograph=False)

    def reason_without(self) -> str | None:
        """Why the head has none of these figures; None if it has."""
        height, width, channels = self._model.image_shape
        emitted = self._model.likelihood.params_channels(channels)
        params, x = (tf.zeros([1, height, width, size]) for size in (emitted, channels))
        try:
            self._figures(params, x)
        except (TypeError, NotImplementedError) as error:
            return str(error)
        return None

    def __call__(self, params: tf.Tensor, x: tf.Tensor) -> dict[str, np.ndarray]:
        """The figures of frames.

        Args:
          params: Decoder outputs `[B, n, H, W, P]`.
          x: True frames `[B, n, H, W, C]`, of the values `k / 255`.

        Returns:
          Dictionary of `NAMES`, float64 `[B, n]`.
        """
        shape = tuple(x.shape[:2])
        params = tf.reshape(tf.cast(params, tf.float32), [-1, *params.shape[2:]])
        x = tf.reshape(x, [-1, *x.shape[2:]])
        parts = [
            self._figures(params[first : first + self._rows], x[first : first + self._rows])
            for first in range(0, len(x), self._rows)
        ]
        return {
            name: np.concatenate([part[name] for part in parts]).reshape(shape) for name in NAMES
        }


def _figures(
    model: LatentVariableModel, seed: int, params: tf.Tensor, x: tf.Tensor
) -> dict[str, tf.Tensor]:
    distribution = model.frame_distribution(params)
    is_density = model.likelihood.measure == "density"
    cdf = model.likelihood.grey_level_cdf(distribution, x)
    v = elements.draws(x, seed)
    found = elements.figures(cdf, distribution, x, v, is_density, over_levels=False)
    covered = tf.abs(found["pit"] - 0.5) <= 0.5 * _PART
    values = {
        COVERAGE: tf.cast(covered, tf.float64),
        "squared": (found["x"] - found["mean"]) ** 2,
        "variance": found["variance"],
    }
    return {name: tf.reduce_mean(each, axis=[1, 2, 3]) for name, each in values.items()}
