"""What models with an objective of their own share: how Keras configures and saves them."""

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.models import _serving
from tf_sigma_vae.models._steps import Steps
from tf_sigma_vae.replicas import global_count, host_value


class OwnObjective(Steps):
    """Base of a model that overrides `compute_loss` and holds a `likelihood`."""

    likelihood: Likelihood

    @property
    def needs_whole_batch(self) -> bool:
        """Whether the objective holds a statistic of the batch beyond sums over its examples."""
        return self.likelihood.needs_calibration

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        loss: object = None,
        metrics: object = None,
        **kwargs: Any,
    ) -> None:
        """Configures training; the objective is the model's own.

        Args:
          optimizer: As in `keras.Model.compile`. Its own `gradient_accumulation_steps` spread an
            update over several batches; the model's compute one batch in parts, exactly.
          loss: Not accepted.
          metrics: Not accepted.
          **kwargs: Other arguments of `keras.Model.compile`.

        Raises:
          ValueError: If a loss or metrics are given, or an optimizer that accumulates gradients
            on several replicas, or where the objective holds a statistic of the whole batch.
        """
        refused = {"loss": loss, "metrics": metrics, **kwargs}
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if refused.get(name) is not None:
                raise ValueError(
                    f"compile({name}=...) is not accepted: the objective and its metrics are the "
                    "model's own. Choose the likelihood instead."
                )
        optimizer = keras.optimizers.get(optimizer)
        self._refuse_accumulating(optimizer)
        super().compile(optimizer=optimizer, **kwargs)

    def _refuse_accumulating(self, optimizer: keras.optimizers.Optimizer) -> None:
        innermost = getattr(optimizer, "inner_optimizer", optimizer)
        given = getattr(innermost, "gradient_accumulation_steps", None)
        replicas = self.distribute_strategy.num_replicas_in_sync
        if not given or (replicas == 1 and not self.needs_whole_batch):
            return
        reason = (
            f"fails on {replicas} replicas"
            if replicas > 1
            else "would compute the statistics of the objective from a fraction of the batch"
        )
        raise ValueError(
            f"an optimizer with gradient_accumulation_steps={given} {reason}: leave it unset, and "
            f"give the model gradient_accumulation_steps={given} with batches {given} times as "
            "large, the same update"
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as it was when saved, with the optimizer's state to follow."""
        given = keras.saving.deserialize_keras_object(config)
        self.compile(**{name: value for name, value in given.items() if value is not None})
        self.optimizer.build(self.trainable_variables)

    def make_test_function(self, force: bool = False) -> Callable[..., Any]:
        """Keras hook of `evaluate`; an analytic likelihood must hold a scale by then."""
        self.likelihood.require_scale()
        return super().make_test_function(force)

    def make_predict_function(self, force: bool = False) -> Callable[..., Any]:
        """Keras hook of `predict`; an analytic likelihood must hold a scale by then."""
        self.likelihood.require_scale()
        return super().make_predict_function(force)

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True, **kwargs: Any) -> None:
        """As `keras.Model.save`.

        Raises:
          NotCalibratedError: If an analytic likelihood holds no scale yet.
        """
        self.likelihood.require_scale()
        super().save(filepath, overwrite=overwrite, **kwargs)

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        functions: dict[str, _serving.Function] | None = None,
        **kwargs: Any,
    ) -> None:
        """Writes a SavedModel that answers to `signatures()`, without Keras or TFP.

        `sigma-vae-export` does more: it compares what it wrote with the model, and publishes it as
        a version that a server finds.

        Args:
          filepath: A new or empty folder.
          format: Only `"tf_saved_model"`; `export.convert` writes TFLite and ONNX.
          verbose: Accepted and not used: nothing is printed.
          functions: What `signatures` gave; it is called if None.
          **kwargs: Of `signatures`.

        Raises:
          ValueError: On another format.
          FileExistsError: If there is something in the folder.
          NotCalibratedError: If an analytic likelihood holds no scale yet.
        """
        if format != "tf_saved_model":
            raise ValueError(
                f"format must be 'tf_saved_model', got {format!r}; "
                "tf_sigma_vae.export.convert writes TFLite and ONNX"
            )
        if os.path.exists(filepath) and (not os.path.isdir(filepath) or os.listdir(filepath)):
            raise FileExistsError(f"there is something in {os.fspath(filepath)!r} already")
        _serving.write(self, filepath, functions or self.signatures(**kwargs))

    @abstractmethod
    def signatures(self) -> dict[str, _serving.Function]:
        """What an exported model answers to: functions of named tensors, by name."""

    def mean_over_global_batch(
        self, per_example: tf.Tensor, sample_weight: tf.Tensor | None = None, training: bool = True
    ) -> tf.Tensor:
        """What the examples at hand add to the mean over the global batch, a scalar.

        The sum of `per_example` `[B]` is divided by the *global* number of examples: exact also
        where replicas or parts differ in size. The optimizer sums gradients over replicas.

        Raises:
          ValueError: If weights are given in training with an analytic likelihood.
        """
        if sample_weight is not None:
            if training and self.likelihood.needs_calibration:
                raise ValueError(
                    f"sample_weight is not supported by {type(self.likelihood).__name__}: "
                    "its scale is a statistic of the unweighted batch"
                )
            per_example *= tf.cast(tf.reshape(sample_weight, [-1]), tf.float32)
        return tf.reduce_sum(per_example) / global_count(tf.shape(per_example)[0])

    def store_scale(
        self, statistics: Sequence[np.ndarray], num_dims: int, step: int | None = None
    ) -> None:
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
