"""Clips whose frames are independent, given by the distribution of all frames in a row."""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


class IndependentFrames(tfd.Distribution):
    """Batch shape `[B]`, event shape `[T, ...]`, of a distribution of batch shape `[B * T]`.

    As `tfd.Independent` of `tfd.BatchReshape`, which takes no batch of a size unknown to a graph.
    """

    def __init__(
        self,
        frames: tfd.Distribution,
        num_frames,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "IndependentFrames",
    ):
        """Builds the distribution.

        Args:
          frames: Batch shape `[B * T]`, the frames of a clip one after the other.
          num_frames: T, an integer or a scalar tensor.
          validate_args: As in every `tfd.Distribution`.
          allow_nan_stats: As in every `tfd.Distribution`.
          name: As in every `tfd.Distribution`.
        """
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._frames, self._num_frames = frames, num_frames
            super().__init__(
                dtype=frames.dtype,
                reparameterization_type=frames.reparameterization_type,
                validate_args=validate_args,
                allow_nan_stats=allow_nan_stats,
                parameters=parameters,
                name=name,
            )

    @property
    def frames(self) -> tfd.Distribution:
        """The distribution of all frames in a row."""
        return self._frames

    def _event_shape(self):
        known = tf.get_static_value(self._num_frames)
        return tf.TensorShape([None if known is None else int(known)]).concatenate(
            self._frames.event_shape
        )

    def _event_shape_tensor(self):
        return tf.concat([[self._num_frames], self._frames.event_shape_tensor()], axis=0)

    def _batch_shape(self):
        rows, frames = self._frames.batch_shape[0], tf.get_static_value(self._num_frames)
        return tf.TensorShape([None if rows is None or frames is None else rows // int(frames)])

    def _batch_shape_tensor(self):
        return self._frames.batch_shape_tensor() // self._num_frames

    def _log_prob(self, x):
        """Nats, summed over the frames: `[..., B]` of `[..., B, T, ...]`."""
        before = x.shape.rank - 1 - self._frames.event_shape.rank
        rows = tf.concat([tf.shape(x)[: before - 1], [-1], tf.shape(x)[before + 1 :]], axis=0)
        log_prob = self._frames.log_prob(tf.reshape(x, rows))
        return tf.reduce_sum(tf.reshape(log_prob, tf.shape(x)[: before + 1]), axis=-1)

    def _sample_n(self, n, seed=None):
        drawn = self._frames.sample(n, seed=seed)
        return tf.reshape(drawn, tf.concat([[n], self._shape_of_clips()], axis=0))

    def _mean(self):
        return self._of_clips(self._frames.mean())

    def _mode(self):
        return self._of_clips(self._frames.mode())

    def _variance(self):
        return self._of_clips(self._frames.variance())

    def _stddev(self):
        return self._of_clips(self._frames.stddev())

    def _shape_of_clips(self):
        return tf.concat([self._batch_shape_tensor(), self._event_shape_tensor()], axis=0)

    def _of_clips(self, values):
        clips = tf.reshape(values, self._shape_of_clips())
        clips.set_shape(self._batch_shape().concatenate(self._event_shape()))
        return clips
