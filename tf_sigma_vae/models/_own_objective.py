"""What models with an objective of their own share: how Keras configures and saves them."""

import keras
import numpy as np
import tensorflow as tf

from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.replicas import host_value, replica_sum


class OwnObjective:
    """Mixin for a `keras.Model` that overrides `compute_loss` and holds a `likelihood`."""

    likelihood: Likelihood

    def compile(self, optimizer="adam", loss=None, metrics=None, **kwargs):
        """Configures training; the objective is the model's own.

        Args:
          optimizer: As in `keras.Model.compile`.
          loss: Not accepted.
          metrics: Not accepted.
          **kwargs: Other arguments of `keras.Model.compile`.

        Raises:
          ValueError: If a loss or metrics are given.
        """
        refused = {"loss": loss, "metrics": metrics, **kwargs}
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if refused.get(name) is not None:
                raise ValueError(
                    f"compile({name}=...) is not accepted: the objective and its metrics are the "
                    "model's own. Choose the likelihood instead."
                )
        super().compile(optimizer=optimizer, **kwargs)

    def compile_from_config(self, config):
        """Compiles a loaded model as it was when saved, with the optimizer's state to follow."""
        given = keras.saving.deserialize_keras_object(config)
        self.compile(**{name: value for name, value in given.items() if value is not None})
        self.optimizer.build(self.trainable_variables)

    def make_test_function(self, force=False):
        """Keras hook of `evaluate`; an analytic likelihood must hold a scale by then."""
        self.likelihood.require_scale()
        return super().make_test_function(force)

    def make_predict_function(self, force=False):
        """Keras hook of `predict`; an analytic likelihood must hold a scale by then."""
        self.likelihood.require_scale()
        return super().make_predict_function(force)

    def save(self, filepath, overwrite=True, **kwargs):
        """As `keras.Model.save`.

        Raises:
          NotCalibratedError: If an analytic likelihood holds no scale yet.
        """
        self.likelihood.require_scale()
        super().save(filepath, overwrite=overwrite, **kwargs)

    def mean_over_global_batch(self, per_example, sample_weight=None) -> tf.Tensor:
        """The replica's part of the mean of `per_example` `[B]` over the global batch, a scalar.

        The replica's sum is divided by the *global* number of examples: exact also for uneven last
        batches. Keras sums gradients over replicas.

        Raises:
          ValueError: If weights are given with an analytic likelihood.
        """
        if sample_weight is not None:
            if self.likelihood.needs_calibration:
                raise ValueError(
                    f"sample_weight is not supported by {type(self.likelihood).__name__}: "
                    "its scale is a statistic of the unweighted batch"
                )
            per_example *= tf.cast(tf.reshape(sample_weight, [-1]), tf.float32)
        count = replica_sum(tf.cast(tf.shape(per_example)[0], tf.float32))
        return tf.reduce_sum(per_example) / count

    def store_scale(self, statistics, num_dims: int, step: int | None = None) -> None:
        """Sets the stored scale of an analytic likelihood.

        Args:
          statistics: Arrays `[B]` of `likelihood.calibration_statistic`, one for each batch.
          num_dims: `D`, the scalars of one example.
          step: Training step to note as provenance; that of the optimizer by default.
        """
        if step is None:
            optimizer = getattr(self, "optimizer", None)
            step = 0 if optimizer is None else host_value(optimizer.iterations)
        errors = np.concatenate(statistics) if statistics else np.zeros(0)
        self.likelihood.calibrate(errors, num_dims, step)
