"""What the likelihoods with a trainable scale share: its weight, start and learning rate."""

from abc import abstractmethod
from typing import Any

import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.likelihoods import _gaussian
from tf_sigma_vae.replicas import replica_sum

DATA = "data"


class TrainableScaleLikelihood(_gaussian.GaussianLikelihood):
    """Gaussian whose `log_scale` is a weight, trained with the networks by the same objective.

    Started at scale 1, as in the paper, it takes some epochs to come down to the scale of the data.
    """

    def __init__(
        self,
        initial_scale: float | str = 1.0,
        scale_learning_rate_multiplier: float = 1.0,
        loc_activation: str = "sigmoid",
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          initial_scale: Start of the scale: a positive number, or `"data"` for the root mean
            squared error of the first global training batch.
          scale_learning_rate_multiplier: Learning rate of `log_scale` relative to the networks'.
            The weight holds `log_scale / multiplier`, which multiplies the step of every optimizer
            that is invariant to the size of the gradient (Adam and its kin; that of plain gradient
            descent is multiplied by the square).
          loc_activation: Of the mean, `"sigmoid"` or `"linear"`.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If a number is not positive.
        """
        super().__init__(loc_activation=loc_activation, **kwargs)
        if initial_scale != DATA:
            if isinstance(initial_scale, str):
                raise ValueError(
                    f"initial_scale must be a positive number or {DATA!r}, got {initial_scale!r}"
                )
            initial_scale = _gaussian.require_positive("initial_scale", initial_scale)
        self.initial_scale = initial_scale
        self.scale_learning_rate_multiplier = _gaussian.require_positive(
            "scale_learning_rate_multiplier", scale_learning_rate_multiplier
        )

    @abstractmethod
    def scale_shape(self, params_shape: tuple) -> tuple[int, ...]:
        """Shape of the weight, which broadcasts against the mean `[B, H, W, C]`."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights for decoder outputs of shape `[B, H, W, P]`."""
        from_data = self.initial_scale == DATA
        start = 1.0 if from_data else self.initial_scale
        raw_start = tf.math.log(start) / self.scale_learning_rate_multiplier
        self.raw_log_scale = self.add_weight(
            name="log_scale",
            shape=self.scale_shape(input_shape),
            initializer=lambda shape, dtype=None: tf.fill(shape, tf.cast(raw_start, tf.float32)),
            dtype="float32",
            autocast=False,
            aggregation="only_first_replica",
        )
        if from_data:
            self.started = self.add_weight(
                name="started",
                shape=(),
                initializer="zeros",
                dtype="float32",
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
            )
        self.built = True

    def current_log_scale(self) -> tf.Tensor:
        """The log of the stored scale, float32."""
        return self.scale_learning_rate_multiplier * tf.convert_to_tensor(self.raw_log_scale)

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """See `Likelihood.distribution`; `initial_scale="data"` reads `x` in its first step."""
        self.ensure_built(params.shape)
        loc = self.loc(params)
        if training and self.initial_scale == DATA:
            if x is None:
                raise ValueError('initial_scale="data" needs x in training; got x=None')
            self._start_from(tf.stop_gradient(loc), x)
        return _gaussian.independent_normal(loc, tf.exp(self.current_log_scale()))

    def _start_from(self, loc: tf.Tensor, x: TensorLike) -> None:
        """At the first training step, sets the scale to the global batch's error."""
        axes = [axis for axis, size in enumerate(self._padded_shape(loc)) if size == 1]
        squares = tf.reduce_sum((tf.cast(x, tf.float32) - loc) ** 2, axis=axes)
        squares = tf.reshape(squares, [-1])
        count = tf.cast(tf.size(loc), tf.float32) / tf.cast(tf.size(squares), tf.float32)
        sums = tf.concat([squares, [count]], axis=0)
        replica_sum(sums, then=self._set_start, needed=tf.equal(self.started, 0.0))

    def _set_start(self, total: tf.Tensor) -> None:
        """Takes the squared errors of the global batch and their number, unless it has started."""
        variance = total[:-1] / total[-1] + _gaussian.HALF_GREY_LEVEL**2
        current = tf.convert_to_tensor(self.raw_log_scale)
        first = 0.5 * tf.math.log(variance) / self.scale_learning_rate_multiplier
        first = tf.reshape(first, tf.shape(current))
        self.raw_log_scale.assign(tf.where(self.started > 0, current, first))
        self.started.assign(1.0)

    def _padded_shape(self, loc: tf.Tensor) -> list[int]:
        """Shape of the weight with leading axes of size one up to the rank of the mean."""
        shape = list(self.raw_log_scale.shape)
        return [1] * (loc.shape.rank - len(shape)) + shape

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        return {
            **super().get_config(),
            "initial_scale": self.initial_scale,
            "scale_learning_rate_multiplier": self.scale_learning_rate_multiplier,
        }
