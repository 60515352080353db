"""Optimizers and learning-rate schedules.

The optimizers are Keras's own with two changes. Clipping acts on the gradient of the whole global
batch, so that it means the same on any number of replicas (Keras clips each replica's part before
the sum). The moving average of the weights stays beside them until it is asked for, so that
training can go on after a `fit` (Keras overwrites the weights at the end of every `fit`).
"""

import keras
import tensorflow as tf

from tf_sigma_vae.config import Config


class ReplicaExact:
    """Mixin for Keras optimizers: `clip_norm` of the global gradient, average on request.

    Weight decay leaves out biases and the decoder's scale.
    """

    def __init__(self, *args, clip_norm: float = 0.0, **kwargs):
        """Builds the optimizer.

        Args:
          *args: Of the optimizer.
          clip_norm: Largest global norm of the gradient of the global batch; 0 for no clipping.
          **kwargs: Of the optimizer.
        """
        super().__init__(*args, **kwargs)
        self.clip_norm = float(clip_norm)
        # Here, because Keras keeps it in no config: a loaded optimizer leaves them out too.
        self.exclude_from_weight_decay(var_names=["log_scale", "log_concentration", "bias"])

    def apply(self, grads, trainable_variables=None):
        """Clips, then updates the variables."""
        if self.clip_norm > 0:
            grads = self._clip(list(grads))
        super().apply(grads, trainable_variables)

    def _clip(self, gradients):
        context = tf.distribute.get_replica_context()
        replicas = 1 if context is None else context.num_replicas_in_sync
        if replicas > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        clipped, _ = tf.clip_by_global_norm(gradients, self.clip_norm)
        # The optimizer sums over replicas once more.
        return [gradient / replicas for gradient in clipped]

    def finalize_variable_values(self, var_list):
        """Keras hook at the end of every `fit`: leaves the weights alone."""

    def swap_average(self) -> None:
        """Exchanges the weights with their moving averages; twice is as if never."""
        averages = self._model_variables_moving_average if self.use_ema else []
        for variable, average in zip(self._trainable_variables, averages, strict=self.use_ema):
            weight = tf.identity(tf.convert_to_tensor(variable))
            variable.assign(average)
            average.assign(weight)

    def get_config(self):
        """Constructor arguments, for `from_config`."""
        return {**super().get_config(), "clip_norm": self.clip_norm}


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

    def __init__(self, peak: float, warmup_steps: int, decay_steps: int = 0):
        """Builds the schedule.

        Args:
          peak: Learning rate after the warm-up.
          warmup_steps: Steps of the rise.
          decay_steps: Steps of the cosine after the warm-up; 0 for constant.
        """
        self.peak, self.warmup_steps, self.decay_steps = peak, warmup_steps, decay_steps

    def __call__(self, step):
        """Learning rate at a step, float32."""
        step = tf.cast(step, tf.float32)
        rise = tf.minimum((step + 1.0) / max(self.warmup_steps, 1), 1.0)
        if self.decay_steps == 0:
            return self.peak * rise
        progress = tf.clip_by_value((step - self.warmup_steps) / self.decay_steps, 0.0, 1.0)
        return self.peak * rise * 0.5 * (1.0 + tf.cos(3.141592653589793 * progress))

    def get_config(self):
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
    learning_rate = config.learning_rate
    if config.warmup_steps > 0 and config.warmup_steps >= num_train_steps:
        raise ValueError(
            f"config.warmup_steps ({config.warmup_steps}) must be below the number of training "
            f"steps ({num_train_steps})"
        )
    cosine = config.learning_rate_schedule == "cosine"
    if cosine or config.warmup_steps > 0:
        decay_steps = num_train_steps - config.warmup_steps if cosine else 0
        learning_rate = WarmUp(learning_rate, config.warmup_steps, decay_steps)
    options = {"clip_norm": config.clip_norm}
    if config.ema_momentum > 0:
        options |= {"use_ema": True, "ema_momentum": config.ema_momentum}
    # Keras's AdamW decays by 0.004 when not told otherwise.
    if config.weight_decay > 0 or config.optimizer == "adamw":
        options["weight_decay"] = config.weight_decay
    return CLASSES[config.optimizer](learning_rate, **options)


def innermost(outer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer inside the loss scaling of mixed_float16, if there is any."""
    return getattr(outer, "inner_optimizer", outer)
