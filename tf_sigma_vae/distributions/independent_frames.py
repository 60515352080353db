"""Clips whose frames are independent, given by the distribution of all frames in a row."""

import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd


class IndependentFrames(tfd.Distribution):
    """Batch shape `[B]`, event shape `[T, ...]`, of a distribution of batch shape `[B * T]`.

    As `tfd.Independent` of `tfd.BatchReshape`, which takes no batch of a size unknown to a graph.
    """

    def __init__(
        self,
        frames: tfd.Distribution,
        num_frames: int | tf.Tensor,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "IndependentFrames",
    ) -> None:
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

    def _event_shape(self) -> tf.TensorShape:
        known = tf.get_static_value(self._num_frames)
        return tf.TensorShape([None if known is None else int(known)]).concatenate(
            self._frames.event_shape
        )

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.concat([[self._num_frames], self._frames.event_shape_tensor()], axis=0)

    def _batch_shape(self) -> tf.TensorShape:
        rows, frames = self._frames.batch_shape[0], tf.get_static_value(self._num_frames)
        return tf.TensorShape([None if rows is None or frames is None else rows // int(frames)])

    def _batch_shape_tensor(self) -> tf.Tensor:
        return self._frames.batch_shape_tensor() // self._num_frames

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """Nats, summed over the frames: `[..., B]` of `[..., B, T, ...]`."""
        before = x.shape.rank - 1 - self._frames.event_shape.rank
        rows = tf.concat([tf.shape(x)[: before - 1], [-1], tf.shape(x)[before + 1 :]], axis=0)
        log_prob = self._frames.log_prob(tf.reshape(x, rows))
        return tf.reduce_sum(tf.reshape(log_prob, tf.shape(x)[: before + 1]), axis=-1)

    def _sample_n(self, n: int | tf.Tensor, seed: TensorLike | None = None) -> tf.Tensor:
        drawn = self._frames.sample(n, seed=seed)
        return tf.reshape(drawn, tf.concat([[n], self._shape_of_clips()], axis=0))

    def _mean(self) -> tf.Tensor:
        return self._of_clips(self._frames.mean())

    def _mode(self) -> tf.Tensor:
        return self._of_clips(self._frames.mode())

    def _variance(self) -> tf.Tensor:
        return self._of_clips(self._frames.variance())

    def _stddev(self) -> tf.Tensor:
        return self._of_clips(self._frames.stddev())

    def _shape_of_clips(self) -> tf.Tensor:
        return tf.concat([self._batch_shape_tensor(), self._event_shape_tensor()], axis=0)

    def _of_clips(self, values: tf.Tensor) -> tf.Tensor:
        clips = tf.reshape(values, self._shape_of_clips())
        clips.set_shape(self._batch_shape().concatenate(self._event_shape()))
        return clips
