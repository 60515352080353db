"""Optimizers and learning-rate schedules.

The optimizers are Keras's own with three changes. Clipping acts on the gradient of the whole global
batch, so that it means the same on any number of replicas (Keras clips each replica's part before
the sum). A gradient far above the usual can be skipped (Child 2021, Sec. 3.2: deep hierarchies meet
some), but not for ever: after so many in a row the limit is taken to be too low, and such gradients
are clipped to it until one is below it again. One that is not finite is never applied, and after as
many an error; XLA drops the error, and `skip_rate` alone tells. The moving average of the weights
stays beside them until it is asked for, so that training can go on after a `fit` (Keras overwrites
the weights at the end of every `fit`).
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike

from tf_sigma_vae.config import MAX_SKIPS, Config


class ReplicaExact(keras.optimizers.Optimizer):
    """Mixin for Keras optimizers: limits on the norm of the global gradient, average on request.

    Weight decay leaves out biases, the decoder's scale, and what sets no size: the direction of a
    kernel of `WeightNormConv`, whose size `g` decays.

    Attributes:
      num_skips: Variable, the updates skipped so far; None without `skip_norm`.
      gradient_norm: Variable, the norm of the last gradient, before it is clipped; likewise.
    """

    def __init__(
        self,
        *args: Any,
        clip_norm: float = 0.0,
        skip_norm: float = 0.0,
        max_skips: int = MAX_SKIPS,
        **kwargs: Any,
    ) -> None:
        """Builds the optimizer.

        Args:
          *args: Of the optimizer.
          clip_norm: Largest global norm of the gradient of the global batch; 0 for no clipping.
          skip_norm: Norm above which the update is skipped, and the step counted; 0 for none.
          max_skips: Skips in a row after which such a gradient is clipped to `skip_norm` instead.
          **kwargs: Of the optimizer.
        """
        super().__init__(*args, **kwargs)
        self.clip_norm, self.skip_norm = float(clip_norm), float(skip_norm)
        self.max_skips = int(max_skips)
        self.num_skips: keras.Variable | None = None
        self.gradient_norm: keras.Variable | None = None
        # Here, because Keras keeps it in no config: a loaded optimizer leaves them out too.
        undecayed = ["log_scale", "log_concentration", "bias", "^v$", "^initial$"]
        self.exclude_from_weight_decay(var_names=undecayed)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the variables."""
        if not self.built and self.skip_norm > 0:
            shared = {"shape": (), "aggregation": "only_first_replica"}
            count = {"dtype": "int64", **shared}
            self.num_skips = self.add_variable(name="num_skips", **count)
            self._too_large_in_a_row = self.add_variable(name="too_large_in_a_row", **count)
            self.gradient_norm = self.add_variable(name="gradient_norm", **shared)
        super().build(variables)

    def apply(
        self,
        grads: Sequence[tf.Tensor | None],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Clips, then updates the variables, or not."""
        limits = [limit for limit in (self.clip_norm, self.skip_norm) if limit > 0]
        if not limits:
            super().apply(grads, trainable_variables)
            return
        variables = (
            self._trainable_variables if trainable_variables is None else trainable_variables
        )
        if not self.built:
            self.build(variables)
        used = [pair for pair in zip(grads, variables, strict=True) if pair[0] is not None]
        own, variables = zip(*used, strict=True)
        gradients, norm = self._clipped(own, min(limits))
        if self.skip_norm > 0:
            self._apply_unless(self._count_skip(norm), gradients, norm, variables)
        else:
            super().apply(gradients, variables)

    def _clipped(
        self, gradients: Sequence[tf.Tensor], limit: float
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """This replica's share of the clipped gradient, and the norm before that."""
        context = tf.distribute.get_replica_context()
        replicas = 1 if context is None else context.num_replicas_in_sync
        if replicas > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        norm = tf.linalg.global_norm(gradients)
        clipped, _ = tf.clip_by_global_norm(gradients, limit, use_norm=norm)
        # The optimizer sums over replicas once more.
        return [gradient / replicas for gradient in clipped], norm

    def _count_skip(self, norm: tf.Tensor) -> tf.Tensor:
        """Whether this update is skipped; a norm that is no number is a large one."""
        assert self.num_skips is not None and self.gradient_norm is not None, "made by build"
        # Not by `~(norm <= limit)`, which TensorFlow's graph optimizer makes `norm > limit`.
        is_finite = tf.math.is_finite(norm)
        is_too_large = (norm > self.skip_norm) | ~is_finite
        in_a_row = tf.convert_to_tensor(self._too_large_in_a_row)
        is_skipped = is_too_large & ((in_a_row < self.max_skips) | ~is_finite)
        self._too_large_in_a_row.assign(tf.where(is_too_large, in_a_row + 1, 0))
        self.num_skips.assign_add(tf.cast(is_skipped, tf.int64))
        self.gradient_norm.assign(norm)
        return is_skipped

    def _apply_unless(
        self,
        is_skipped: tf.Tensor,
        gradients: Sequence[tf.Tensor],
        norm: tf.Tensor,
        variables: Sequence[keras.Variable],
    ) -> None:
        """Updates the variables, or counts the step alone."""
        what = f"non-finite gradient, after {self.max_skips} skipped updates"
        is_hopeless = self._too_large_in_a_row > self.max_skips
        update = super().apply

        def skip() -> None:
            checked = tf.debugging.check_numerics(tf.where(is_hopeless, norm, 0.0), what)
            with tf.control_dependencies([checked]):
                self._start_averages()
                self.iterations.assign_add(1)

        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            tf.cond(is_skipped, skip, lambda: update(gradients, variables))
            return

        # The updates of replicas meet across them, which no branch inside of one may.
        def across(
            strategy: tf.distribute.Strategy,
            is_skipped: tf.distribute.DistributedValues,
            gradients: list[tf.distribute.DistributedValues],
        ) -> None:
            is_skipped = strategy.experimental_local_results(is_skipped)[0]
            run = strategy.extended.call_for_each_replica
            tf.cond(is_skipped, skip, lambda: run(update, args=(gradients, variables)))

        context.merge_call(across, args=(is_skipped, gradients))

    def _start_averages(self) -> None:
        """What Keras does in the update at step 0 alone: averages start as the weights."""
        averages = self._model_variables_moving_average if self.use_ema else []
        is_first = tf.equal(tf.convert_to_tensor(self.iterations), 0)
        for variable, average in zip(self._trainable_variables, averages, strict=self.use_ema):
            average.assign(tf.where(is_first, variable, average))

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Keras hook at the end of every `fit`: leaves the weights alone."""

    def swap_average(self) -> None:
        """Exchanges the weights with their moving averages; twice is as if never."""
        averages = self._model_variables_moving_average if self.use_ema else []
        for variable, average in zip(self._trainable_variables, averages, strict=self.use_ema):
            weight = tf.identity(tf.convert_to_tensor(variable))
            variable.assign(average)
            average.assign(weight)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("clip_norm", "skip_norm", "max_skips")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("tf_sigma_vae")
class Adam(ReplicaExact, keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015)."""


@keras.saving.register_keras_serializable("tf_sigma_vae")
class Adamw(ReplicaExact, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""


@keras.saving.register_keras_serializable("tf_sigma_vae")
class Adamax(ReplicaExact, keras.optimizers.Adamax):
    """Adam with the infinity norm (Kingma & Ba 2015)."""


@keras.saving.register_keras_serializable("tf_sigma_vae")
class Sgd(ReplicaExact, keras.optimizers.SGD):
    """Stochastic gradient descent."""


CLASSES = {"adam": Adam, "adamw": Adamw, "adamax": Adamax, "sgd": Sgd}


@keras.saving.register_keras_serializable("tf_sigma_vae")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Linear rise from 0 over `warmup_steps`, then constant, or a cosine down to 0.

    Source: Goyal et al. 2017 (warm-up); Loshchilov & Hutter 2017 (cosine).
    """

    def __init__(self, peak: float, warmup_steps: int, decay_steps: int = 0) -> None:
        """Builds the schedule.

        Args:
          peak: Learning rate after the warm-up.
          warmup_steps: Steps of the rise.
          decay_steps: Steps of the cosine after the warm-up; 0 for constant.
        """
        self.peak, self.warmup_steps, self.decay_steps = peak, warmup_steps, decay_steps

    def __call__(self, step: TensorLike) -> tf.Tensor:
        """Learning rate at a step, float32."""
        step = tf.cast(step, tf.float32)
        rise = tf.minimum((step + 1.0) / max(self.warmup_steps, 1), 1.0)
        if self.decay_steps == 0:
            return self.peak * rise
        progress = tf.clip_by_value((step - self.warmup_steps) / self.decay_steps, 0.0, 1.0)
        return self.peak * rise * 0.5 * (1.0 + tf.cos(3.141592653589793 * progress))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("peak", "warmup_steps", "decay_steps")
        return {name: getattr(self, name) for name in names}


def build(config: Config, num_train_steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of a configuration.

    Args:
      config: The configuration.
      num_train_steps: Length of the training, at whose end the cosine reaches 0.

    Returns:
      An optimizer, not yet built.

    Raises:
      ValueError: If the warm-up is longer than the training.
    """
    learning_rate: float | WarmUp = config.learning_rate
    if config.warmup_steps > 0 and config.warmup_steps >= num_train_steps:
        raise ValueError(
            f"config.warmup_steps ({config.warmup_steps}) must be below the number of training "
            f"steps ({num_train_steps})"
        )
    cosine = config.learning_rate_schedule == "cosine"
    if cosine or config.warmup_steps > 0:
        decay_steps = num_train_steps - config.warmup_steps if cosine else 0
        learning_rate = WarmUp(config.learning_rate, config.warmup_steps, decay_steps)
    options: dict[str, float] = {}
    if config.ema_momentum > 0:
        options |= {"use_ema": True, "ema_momentum": config.ema_momentum}
    # Keras's AdamW decays by 0.004 when not told otherwise.
    if config.weight_decay > 0 or config.optimizer == "adamw":
        options["weight_decay"] = config.weight_decay
    return CLASSES[config.optimizer](
        learning_rate,
        clip_norm=config.clip_norm,
        skip_norm=config.skip_norm,
        max_skips=config.max_skips,
        **options,
    )


def innermost(outer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer inside the loss scaling of mixed_float16, if there is any."""
    return getattr(outer, "inner_optimizer", outer)
