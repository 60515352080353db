"""The likelihood of a clip, taken as one example or frame by frame."""

import math

import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae.distributions import IndependentFrames

tfd = tfp.distributions


class ClipLikelihood:
    """Mixin for a sequence model.

    Attributes:
      context_frames: Frames that are given, and not scored.
      scale_over: What the likelihood takes for one example: `"clip"` or `"frame"`.
    """

    context_frames: int
    scale_over: str

    def targets(self, x):
        """The predicted frames `[B, T', H, W, C]`."""
        return tf.convert_to_tensor(x)[:, self.context_frames :]

    def num_dims(self, x):
        """`T' H W C`; an integer where T is known, else a float32 scalar."""
        size, num_frames = math.prod(self.image_shape), x.shape[1]
        if num_frames is not None:
            return (num_frames - self.context_frames) * size
        return tf.cast((tf.shape(x)[1] - self.context_frames) * size, tf.float32)

    def likelihood_of(self, params, targets=None, training=False):
        """p(x_c ... | z, context), batch shape `[B]`, event shape `[T', H, W, C]`."""
        if self.scale_over == "clip":
            return self.likelihood.distribution(params, targets, training)
        rows = None if targets is None else self.rows(targets)
        of_frames = self.likelihood.distribution(self.rows(params), rows, training)
        return IndependentFrames(of_frames, params.shape[1] or tf.shape(params)[1])

    def frame_distribution(self, params) -> tfd.Distribution:
        """The likelihood of single frames of `params` `[N, H, W, P]`, with the stored scale."""
        return self.likelihood.distribution(params)

    def mean_frames(self, params) -> tf.Tensor:
        """Means of single frames, `[..., H, W, C]`, of `params` `[..., H, W, P]`."""
        rows = tf.reshape(params, [-1, *params.shape[-3:]])
        shape = tf.concat([tf.shape(params)[:-3], self.image_shape], axis=0)
        return tf.reshape(self.frame_distribution(rows).mean(), shape)

    def frame_distortions(self, output, x) -> tf.Tensor:
        """Distortion of each predicted frame, `[B, T']`, nats, with the stored scale.

        Their sum is the distortion but for a scale that is integrated out over a whole clip, under
        which frames are not independent.
        """
        targets = tf.cast(self.targets(x), tf.float32)
        likelihood = self.frame_distribution(self.rows(output.params))
        log_prob = likelihood.log_prob(self.rows(targets))
        return -tf.reshape(log_prob, tf.shape(output.rate_groups))

    def log_scale(self, output):
        """See `LatentStructure.log_scale`."""
        if self.scale_over == "clip" or not self.likelihood.has_scale:
            return super().log_scale(output)
        log_scale = tf.math.log(output.likelihood.stddev())
        return tf.reduce_mean(log_scale, axis=list(range(1, log_scale.shape.rank)))

    def log_mass(self, output, x) -> tf.Tensor:
        """See `LatentStructure.log_mass`."""
        if self.scale_over == "clip":
            return super().log_mass(output, x)
        targets = self.targets(x)
        likelihood = self.frame_distribution(self.rows(output.params))
        log_mass = self.likelihood.bin_log_mass(likelihood, self.rows(targets))
        return tf.reduce_sum(tf.reshape(log_mass, tf.shape(output.rate_groups)), axis=1)

    def calibration_statistic(self, params, targets):
        """Of each clip `[B]` or frame `[B, T']`, by `scale_over`."""
        if self.scale_over == "clip":
            return super().calibration_statistic(params, targets)
        statistic = super().calibration_statistic(self.rows(params), self.rows(targets))
        return tf.reshape(statistic, tf.shape(params)[:2])

    def calibration_dims(self, x):
        """See `LatentStructure.calibration_dims`."""
        return self.num_dims(x) if self.scale_over == "clip" else math.prod(self.image_shape)

    @staticmethod
    def rows(values):
        """`[B, T', ...]` as `[B * T', ...]`."""
        return tf.reshape(values, [-1, *values.shape[2:]])
