"""What the distributions of 8-bit values `x = k / 255` share."""

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions.bin_mass import assert_grey_levels, in_float64


class GreyLevelDistribution(tfd.Distribution):
    """A mass on the grey levels; with `validate_args`, scored values must be grey levels."""

    def bin_log_mass(self, x: TensorLike) -> tf.Tensor:
        """`log_prob` of `x = k / 255`, in float64 whatever the type of the parameters, nats."""
        return in_float64(self).log_prob(tf.cast(x, tf.float64))

    def _sample_control_dependencies(self, value: tf.Tensor) -> list[tf.Operation]:
        """Checks of `validate_args`."""
        check = assert_grey_levels(value) if self.validate_args else None
        return [] if check is None else [check]


class LogitsDistribution(GreyLevelDistribution):
    """A mass on the levels of one value, given by logits on their last axis."""

    num_logits: int

    def __init__(
        self,
        logits: TensorLike,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str | None = None,
    ) -> None:
        """Builds the distribution.

        Args:
          logits: `[B..., num_logits]`, batch shape `[B...]`.
          validate_args: Whether to check that scored values are grey levels.
          allow_nan_stats: As in every `tfd.Distribution`.
          name: As in every `tfd.Distribution`.

        Raises:
          ValueError: If the last axis is not of that size.
        """
        parameters = {
            "logits": logits,
            "validate_args": validate_args,
            "allow_nan_stats": allow_nan_stats,
            "name": name,
        }
        with tf.name_scope(name or type(self).__name__) as name:
            self._logits = tf.convert_to_tensor(logits)
            if self._logits.shape.rank == 0 or self._logits.shape[-1] != self.num_logits:
                raise ValueError(
                    f"logits must be [..., {self.num_logits}], got shape {self._logits.shape}"
                )
            super().__init__(
                dtype=self._logits.dtype,
                reparameterization_type=tfd.NOT_REPARAMETERIZED,
                validate_args=validate_args,
                allow_nan_stats=allow_nan_stats,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(
        cls, dtype: tf.DType | None, num_classes: int | None = None
    ) -> dict[str, tfp.util.ParameterProperties]:
        """The last axis of the logits is none of the batch."""
        return dict(logits=tfp.util.ParameterProperties(event_ndims=1))

    @property
    def logits(self) -> tf.Tensor:
        """`[B..., num_logits]`."""
        return self._logits

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([], tf.int32)
