"""Any Keras model as the network of a calibrated likelihood: regression, denoising, forecasting.

    loss = mean over the global batch of -log p(y | backbone(x)),    nats per example,

the objective of the decoder alone, without a latent variable.

Source: Rybkin et al. 2021, Eq. 2, with y in place of the reconstructed image.
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import rows
from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.models import _serving
from tf_sigma_vae.models._images import require_grey_levels, require_images
from tf_sigma_vae.models._own_objective import (
    OwnObjective,
    Tracker,
    batches_of,
    named_likelihood,
    said_plainly,
)
from tf_sigma_vae.replicas import is_collecting

BATCH_SIZE = 128
"""Of calibration from arrays; it changes the speed alone."""


@keras.saving.register_keras_serializable("tf_sigma_vae")
class WithLikelihood(OwnObjective):
    """A Keras model that predicts `p(y|x)` instead of `y`.

    `fit(x, y)` maximizes `log p(y|x)`; `model(x)` is the distribution, with the stored scale;
    `predict(x)` its mean. Targets y are `[B, ..., C]`, and the backbone emits `[B, ..., P]` with
    `P = likelihood.params_channels(C)`.
    """

    def __init__(
        self,
        backbone: keras.layers.Layer,
        likelihood: str | Likelihood = "gaussian_shared",
        gradient_accumulation_steps: int = 1,
        **kwargs: Any,
    ) -> None:
        """Wraps a model.

        Args:
          backbone: Any `keras.Model` (or layer) with one output. It is trained in place.
          likelihood: Name of a likelihood plug-in, or an instance of `Likelihood`. Gaussian ones
            pass the output through a sigmoid by default; `loc_activation="linear"` leaves it as it
            is, for targets of any range or a backbone with an activation of its own.
          gradient_accumulation_steps: Parts in which a training step computes its batch, one after
            the other, to save memory. The update stays that of the whole batch.
          **kwargs: Of `keras.Model`.

        Raises:
          ValueError: If the likelihood is unknown, the backbone has several outputs, or the steps
            are not a whole number from 1.
        """
        super().__init__(gradient_accumulation_steps, **kwargs)
        self.backbone, self.likelihood = backbone, named_likelihood(likelihood)
        self._trackers = {"nll": Tracker("nll", "min"), "log_scale": Tracker("log_scale")}
        # A model without a known input is built by its first batch.
        if getattr(backbone, "inputs", None):
            self.build(backbone.input_shape)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights of backbone and likelihood."""
        if not self.backbone.built:
            self.backbone.build(input_shape)
        shape = self.backbone.compute_output_shape(input_shape)
        if not all(size is None or isinstance(size, int) for size in shape):
            raise ValueError(f"the backbone must have one output, its output shape is {shape}")
        self.params_shape = tuple(shape)
        self.inputs_shape = (None, *input_shape[1:])
        self.likelihood.ensure_built(self.params_shape)
        self.track_penalties()
        self.built = True

    def call(self, x: TensorLike, training: bool = False) -> tf.Tensor | tfd.Distribution:
        """p(y|x), a `tfd.Distribution`; in training the raw `params` `[B, ..., P]`.

        The loss makes the distribution then, because an analytic likelihood needs the targets.
        """
        params = self.backbone(x)
        return params if training else self.likelihood.distribution(params)

    def compute_loss(
        self,
        x: Any = None,
        y: TensorLike | None = None,
        y_pred: tf.Tensor | tfd.Distribution | None = None,
        sample_weight: tf.Tensor | None = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Mean of `-log p(y|x)`, summed over the event, over the global batch, nats per example.

        Args:
          x: Inputs of the backbone.
          y: `[B, ..., C]`, in the unit of the data.
          y_pred: What `call` returned.
          sample_weight: `[B]` weights of the examples, or None; not in training with an analytic
            likelihood.
          training: Whether this is a training step.

        Returns:
          Scalar, nats, with the regularization losses of the backbone.

        Raises:
          ValueError: If there are no targets or they do not fit, or on unsupported weights.
        """
        assert y_pred is not None  # Keras's signature has a default, and its steps give it.
        self._require_targets(y)
        likelihood = self.likelihood.distribution(y_pred, y, True) if training else y_pred
        nll = -likelihood.log_prob(tf.cast(y, tf.float32))
        # Here, for `compute_metrics` is not given the distribution of a training step.
        if not is_collecting():
            self._track(nll, likelihood, sample_weight)
        loss = self.mean_over_global_batch(nll, sample_weight, training)
        return loss + self.share_of_penalties(tf.shape(nll)[0])

    def _track(
        self, nll: tf.Tensor, likelihood: tfd.Distribution, sample_weight: tf.Tensor | None
    ) -> None:
        self._trackers["nll"].update_state(nll, sample_weight=sample_weight)
        if self.likelihood.has_scale:
            log_scale = self.likelihood.log_scale(likelihood)
            self._trackers["log_scale"].update_state(log_scale, sample_weight=sample_weight)

    def _require_targets(self, y: TensorLike | None) -> None:
        if y is None:
            raise ValueError("targets are needed: fit(x, y), or a dataset of pairs (x, y)")
        shape = tuple(y.shape)
        if len(shape) != len(self.params_shape):
            raise ValueError(
                f"targets must have {len(self.params_shape)} axes, [B, ..., C], as the output "
                f"{self.params_shape} of the backbone has; got shape {shape}"
            )
        emitted, wanted = self.params_shape[-1], self.likelihood.params_channels(shape[-1])
        if emitted != wanted:
            raise ValueError(
                f"{type(self.likelihood).__name__} needs a backbone that emits {wanted} channels "
                f"for targets of {shape[-1]}; this one emits {emitted}"
            )
        # XLA drops the checks of the values.
        checked = not self.jit_compile
        value_range = self.likelihood.value_range if checked else None
        require_images(y, (*self.params_shape[1:-1], shape[-1]), value_range)
        if self.likelihood.measure == "mass" and checked:
            require_grey_levels(y)

    def compute_metrics(
        self,
        x: Any,
        y: tf.Tensor,
        y_pred: tf.Tensor | tfd.Distribution,
        sample_weight: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Returns the metrics, means over examples since the last reset."""
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, tf.Tensor]:
        """The metrics by name: `nll` in nats, and the mean `log_scale` where there is one."""
        results = {"loss": self._loss_tracker.result()} if self.compiled else {}
        results |= {name: tracker.result() for name, tracker in self._trackers.items()}
        if not self.likelihood.has_scale:
            del results["log_scale"]
        return results | self.penalty_metric()

    def predict_step(self, data: Any) -> tf.Tensor:
        """The mean of p(y|x), for `predict`."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self(x, training=False).mean()

    def calibrate(
        self, x: Any, y: np.ndarray | None = None, step: int | None = None
    ) -> dict[str, object]:
        """Sets the stored scale of an analytic likelihood from the training set, exactly.

        Args:
          x: Inputs, or batches of pairs `(x, y)`: a `tf.data.Dataset`, a `PyDataset`, a generator
            or a list.
          y: Targets `[N, ..., C]`, unless `x` holds them.
          step: Training step to note as provenance; that of the optimizer by default.

        Returns:
          `likelihood.provenance()`.
        """
        if self.likelihood.needs_calibration:
            given = x if y is None else (x, y)
            statistic = rows.over_replicas(
                self.distribute_strategy, self._calibration_statistic, equal_shares=True
            )
            statistics, num_dims = [], 1
            for inputs, targets, *_ in batches_of(given, BATCH_SIZE, "pairs (x, y)"):
                with said_plainly():
                    statistics.append(statistic(inputs, tf.convert_to_tensor(targets)).numpy())
                num_dims = math.prod(targets.shape[1:])
            self.store_scale(statistics, num_dims, step)
        return self.likelihood.provenance()

    @tf.function(reduce_retracing=True)
    def _calibration_statistic(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        self._require_targets(y)
        return self.likelihood.calibration_statistic(self.backbone(x, training=False), y)

    def signatures(self) -> dict[str, _serving.Function]:
        """`serving_default`: `inputs` to the parameters of p(y|x), see `Likelihood.parameters`.

        Raises:
          ValueError: If the model has not seen an input yet.
          NotCalibratedError: If an analytic likelihood holds no scale.
        """
        if not self.built:
            raise ValueError("the shape of the inputs is not known yet: call the model once")
        self.likelihood.require_scale()
        given = getattr(self.backbone, "inputs", None)
        dtype = given[0].dtype if given else "float32"
        inputs = tf.TensorSpec(self.inputs_shape, dtype, "inputs")

        @tf.function(input_signature=[inputs])
        def predict(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            inputs = tf.ensure_shape(inputs, self.inputs_shape)
            return self.likelihood.parameters(self(inputs, training=False))

        return {"serving_default": predict}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        parts = {"backbone": self.backbone, "likelihood": self.likelihood}
        serialize = keras.saving.serialize_keras_object
        return {**super().get_config(), **{name: serialize(part) for name, part in parts.items()}}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """Inverse of `get_config`."""
        restore = keras.saving.deserialize_keras_object
        parts = {
            name: restore(config[name], custom_objects=custom_objects)
            for name in ("backbone", "likelihood")
        }
        return cls(**{**config, **parts})
