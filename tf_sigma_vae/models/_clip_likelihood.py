"""The likelihood of a clip, taken as one example or frame by frame."""

import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions import IndependentFrames
from tf_sigma_vae.likelihoods import Likelihood


class ClipLikelihood:
    """Scores predicted frames `[B, T', H, W, C]` by a likelihood of images.

    It offers what a model asks of a `Likelihood` of its targets. The weights are those of the
    likelihood that it holds.

    Args:
      of_frames: Likelihood of an image.
      image_shape: `(H, W, C)` of a frame.
      scale_over: What an analytic scale "per image" is computed over: `"clip"` or `"frame"`.
    """

    def __init__(
        self, of_frames: Likelihood, image_shape: tuple[int, ...], scale_over: str
    ) -> None:
        self.of_frames, self.image_shape = of_frames, image_shape
        self.has_scale_per_frame = scale_over == "frame"

    def distribution(
        self, params: tf.Tensor, targets: tf.Tensor | None = None, training: bool = False
    ) -> tfd.Distribution:
        """p(x_c ... | z, context), batch shape `[B]`, event shape `[T', H, W, C]`.

        Args:
          params: `[B, T', H, W, P]`.
          targets: As for `Likelihood.distribution`, `[B, T', H, W, C]`.
          training: As there.
        """
        if not self.has_scale_per_frame:
            return self.of_frames.distribution(params, targets, training)
        rows = None if targets is None else as_rows(targets)
        frames = self.of_frames.distribution(as_rows(params), rows, training)
        return IndependentFrames(frames, params.shape[1] or tf.shape(params)[1])

    def log_scale(self, distribution: tfd.Distribution) -> tf.Tensor | None:
        """Mean over the clip of the log standard deviation, `[B]`; None without a scale."""
        return self.of_frames.log_scale(distribution)

    def bin_log_mass(self, distribution: tfd.Distribution, targets: tf.Tensor) -> tf.Tensor:
        """Log-probability of 8-bit targets, float64 `[B]`, nats; see `Likelihood`."""
        if not self.has_scale_per_frame:
            return self.of_frames.bin_log_mass(distribution, targets)
        log_mass = self.of_frames.bin_log_mass(distribution.frames, as_rows(targets))
        return tf.reduce_sum(tf.reshape(log_mass, tf.shape(targets)[:2]), axis=1)

    def calibration_statistic(self, params: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """What a stored scale is made of: a number a clip `[B]`, or a frame `[B, T']`."""
        if not self.has_scale_per_frame:
            return self.of_frames.calibration_statistic(params, targets)
        statistic = self.of_frames.calibration_statistic(as_rows(params), as_rows(targets))
        return tf.reshape(statistic, tf.shape(params)[:2])

    def frame_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        """The likelihood of single frames of `params` `[N, H, W, P]`, with the stored scale."""
        return self.of_frames.distribution(params)

    def mean_frames(self, params: tf.Tensor) -> tf.Tensor:
        """Means of single frames, `[..., H, W, C]`, of `params` `[..., H, W, P]`."""
        rows = tf.reshape(params, [-1, *params.shape[-3:]])
        shape = tf.concat([tf.shape(params)[:-3], self.image_shape], axis=0)
        return tf.reshape(self.frame_distribution(rows).mean(), shape)

    def num_dims(self, num_frames: int | tf.Tensor) -> int | tf.Tensor:
        """`T' H W C` of T' frames; a float32 scalar where T' is a tensor."""
        size = math.prod(self.image_shape)
        if isinstance(num_frames, int):
            return num_frames * size
        return tf.cast(num_frames * size, tf.float32)


def as_rows(values: tf.Tensor) -> tf.Tensor:
    """`[B, T', ...]` as `[B * T', ...]`."""
    return tf.reshape(values, [-1, *values.shape[2:]])
