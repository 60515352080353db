"""The likelihood of a clip, taken as one example or frame by frame."""

import math

import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions import IndependentFrames
from tf_sigma_vae.models._latent import LatentStructure
from tf_sigma_vae.models._output import Output


class ClipLikelihood(LatentStructure):
    """Base of a sequence model.

    Attributes:
      context_frames: Frames that are given, and not scored.
      scale_over: What the likelihood takes for one example: `"clip"` or `"frame"`.
    """

    context_frames: int
    scale_over: str

    def targets(self, x: TensorLike) -> tf.Tensor:
        """The predicted frames `[B, T', H, W, C]`."""
        return tf.convert_to_tensor(x)[:, self.context_frames :]

    def num_dims(self, x: TensorLike) -> int | tf.Tensor:
        """`T' H W C`; an integer where T is known, else a float32 scalar."""
        size, num_frames = math.prod(self.image_shape), x.shape[1]
        if num_frames is not None:
            return (num_frames - self.context_frames) * size
        return tf.cast((tf.shape(x)[1] - self.context_frames) * size, tf.float32)

    def likelihood_of(
        self, params: tf.Tensor, targets: tf.Tensor | None = None, training: bool = False
    ) -> tfd.Distribution:
        """p(x_c ... | z, context), batch shape `[B]`, event shape `[T', H, W, C]`."""
        if self.scale_over == "clip":
            return self.likelihood.distribution(params, targets, training)
        rows = None if targets is None else self.rows(targets)
        of_frames = self.likelihood.distribution(self.rows(params), rows, training)
        return IndependentFrames(of_frames, params.shape[1] or tf.shape(params)[1])

    def frame_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        """The likelihood of single frames of `params` `[N, H, W, P]`, with the stored scale."""
        return self.likelihood.distribution(params)

    def mean_frames(self, params: tf.Tensor) -> tf.Tensor:
        """Means of single frames, `[..., H, W, C]`, of `params` `[..., H, W, P]`."""
        rows = tf.reshape(params, [-1, *params.shape[-3:]])
        shape = tf.concat([tf.shape(params)[:-3], self.image_shape], axis=0)
        return tf.reshape(self.frame_distribution(rows).mean(), shape)

    def frame_distortions(self, output: Output, x: TensorLike) -> tf.Tensor:
        """Distortion of each predicted frame, `[B, T']`, nats, with the stored scale.

        Their sum is the distortion but for a scale that is integrated out over a whole clip, under
        which frames are not independent.
        """
        targets = tf.cast(self.targets(x), tf.float32)
        likelihood = self.frame_distribution(self.rows(output.params))
        log_prob = likelihood.log_prob(self.rows(targets))
        return -tf.reshape(log_prob, tf.shape(output.rate_groups))

    def log_scale(self, output: Output) -> tf.Tensor | None:
        """See `LatentStructure.log_scale`."""
        if self.scale_over == "clip" or not self.likelihood.has_scale:
            return super().log_scale(output)
        log_scale = tf.math.log(output.likelihood.stddev())
        return tf.reduce_mean(log_scale, axis=list(range(1, log_scale.shape.rank)))

    def log_mass(self, output: Output, x: TensorLike) -> tf.Tensor:
        """See `LatentStructure.log_mass`."""
        if self.scale_over == "clip":
            return super().log_mass(output, x)
        targets = self.targets(x)
        likelihood = self.frame_distribution(self.rows(output.params))
        log_mass = self.likelihood.bin_log_mass(likelihood, self.rows(targets))
        return tf.reduce_sum(tf.reshape(log_mass, tf.shape(output.rate_groups)), axis=1)

    def calibration_statistic(self, params: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Of each clip `[B]` or frame `[B, T']`, by `scale_over`."""
        if self.scale_over == "clip":
            return super().calibration_statistic(params, targets)
        statistic = super().calibration_statistic(self.rows(params), self.rows(targets))
        return tf.reshape(statistic, tf.shape(params)[:2])

    def calibration_dims(self, x: TensorLike) -> int | tf.Tensor:
        """See `LatentStructure.calibration_dims`."""
        return self.num_dims(x) if self.scale_over == "clip" else math.prod(self.image_shape)

    @staticmethod
    def rows(values: tf.Tensor) -> tf.Tensor:
        """`[B, T', ...]` as `[B * T', ...]`."""
        return tf.reshape(values, [-1, *values.shape[2:]])
