"""A Keras model that trains by its own objective, and holds a likelihood.

The training and test step do what Keras's do, and three things that Keras's do not.

A step can compute its batch in `gradient_accumulation_steps` parts, one after the other, in the
memory of one part. The update is that of the whole global batch: loss, gradient, stored scale and
metrics are the same to float tolerance, whatever the parts and the replicas, and there is one
update of the optimizer. An analytic scale (and free bits, and `initial_scale="data"`) is a
statistic of the whole batch and is needed before any gradient: such an objective goes through the
parts twice, the first time without a gradient; others once. Layers of a custom network that look at
the batch themselves, as `BatchNormalization` does, see a part. The parts run in a loop, in which
XLA on a CPU computes convolutions slowly: leave `jit_compile` off there.

The reported `loss` is the mean over the examples since the last reset; Keras weighs the replicas'
parts of it by counts that are not theirs where a batch splits unevenly.

With several workers a step returns the loss alone; the metrics are read once an epoch.
"""

import contextlib
import math
import os
import re
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_sigma_vae import plugins
from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.models import _serving
from tf_sigma_vae.models._parts import Parts, num_examples, require_num_parts
from tf_sigma_vae.replicas import (
    Collecting,
    Totals,
    WholeBatch,
    global_count,
    host_value,
    is_collecting,
    num_workers,
)

_Batch = tuple[Any, Any, tf.Tensor | None]
"""x, y and the weights of the examples; y may be None."""

_CHECKED = re.compile(r"((?:images|clips) must .*?)(?:\] \[|\n|$)|(non-finite [^\n]*)")
"""The sentence of a check within a graph, up to its closing bracket or the end of its line."""
_VALUE = re.compile(r"\[x \S* ?= ?\] \[([^]]+)\]")
"""The value that failed, as TensorFlow adds it."""


class Tracker(keras.metrics.Mean):
    """Mean of a metric.

    Args:
      name: Name of the metric.
      better: `"max"` or `"min"`, the `mode` of callbacks that watch it; None if neither is better.
    """

    def __init__(self, name: str, better: str | None = None) -> None:
        super().__init__(name=name)
        self.better = better


class OwnObjective(keras.Model):
    """Base of a model that overrides `compute_loss` and holds a `likelihood`.

    Attributes:
      likelihood: Distribution of what the model predicts.
      gradient_accumulation_steps: Parts in which a training step computes its batch.
    """

    likelihood: Likelihood

    def __init__(self, gradient_accumulation_steps: int = 1, **kwargs: Any) -> None:
        """Builds the common part.

        Args:
          gradient_accumulation_steps: Parts in which a training step computes its batch, one after
            the other, to save memory. The update stays that of the whole batch.
          **kwargs: Arguments of `keras.Model`.

        Raises:
          ValueError: If the steps are not a whole number from 1.
        """
        # What the likelihood scores stays exact whatever the policy; networks cast their inputs.
        super().__init__(autocast=False, **kwargs)
        self.gradient_accumulation_steps = require_num_parts(gradient_accumulation_steps)
        # Keras sets the attribute in `compile`, and a model is used before too.
        self.optimizer: Any = None
        self._penalty: Tracker | None = None

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

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`; callbacks that watch a metric know which way it gets better.

        Raises:
          ValueError: On examples out of range, in one sentence.
          tf.errors.InvalidArgumentError: On a tensor that is not finite, named in one sentence.
        """
        better = {m.name: m.better for m in self.metrics if isinstance(m, Tracker) and m.better}
        callbacks = kwargs.get("callbacks") or []
        for callback in callbacks if isinstance(callbacks, list | tuple) else [callbacks]:
            # Keras finds the direction of what `compile` was given, and of no metric of a model.
            watched = getattr(callback, "monitor", "").removeprefix("val_")
            if getattr(callback, "mode", None) == "auto" and watched in better:
                callback.mode = better[watched]
        with said_plainly():
            return super().fit(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`; raises what `fit` does."""
        with said_plainly():
            return super().evaluate(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`; raises what `fit` does."""
        with said_plainly():
            return super().predict(*args, **kwargs)

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

    def share_of_penalties(self, num_examples: tf.Tensor) -> tf.Tensor:
        """What these examples add to the regularization losses of the layers, a scalar.

        Every replica and part of a batch has the whole penalty, and their losses are summed.
        """
        if not self.losses:
            return tf.zeros([])
        penalty = tf.add_n([tf.cast(tf.reduce_sum(one), tf.float32) for one in self.losses])
        if self._penalty is not None and not is_collecting():
            self._penalty.update_state(penalty)
        return penalty * tf.cast(num_examples, tf.float32) / global_count(num_examples)

    def penalty_metric(self) -> dict[str, tf.Tensor]:
        """`regularization`, the mean of what the weights of layers add to the loss, if they do."""
        return {} if self._penalty is None else {"regularization": self._penalty.result()}

    def track_penalties(self) -> None:
        """Adds the metric `regularization` where layers have regularizers; once they are built."""
        if self.losses and self._penalty is None:
            self._penalty = Tracker("regularization")

    def forget_graphs(self) -> None:
        """Lets the next step of `fit` and `evaluate` be traced anew.

        Raises:
          ValueError: If the optimizer does not fit the objective any more; nothing is changed then.
        """
        if self.optimizer is not None:
            self._refuse_accumulating(self.optimizer)
        if self.train_function is not None:
            self.make_train_function(force=True)
        if self.test_function is not None:
            self.make_test_function(force=True)

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
            step = 0 if self.optimizer is None else host_value(self.optimizer.iterations)
        errors = np.concatenate(statistics) if statistics else np.zeros(0)
        self.likelihood.calibrate(errors, num_dims, step)

    # -- steps

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras hook of `fit`: one update by a batch.

        Args:
          data: The replica's share of the batch: x, or a tuple of x, y and sample weights.

        Returns:
          The metrics by name.
        """
        batch = keras.utils.unpack_x_y_sample_weight(data)
        if self.gradient_accumulation_steps > 1:
            loss, gradients = self._gradients_in_parts(batch)
        else:
            with WholeBatch(num_examples(batch)) as whole:
                loss, gradients = self._gradients(batch)
                self._track_loss(loss, whole, num_examples(batch))
        if self.trainable_weights:
            return self._logs(self._apply(gradients))
        warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        return self._logs({})

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras hook of `evaluate`.

        Args:
          data: As of `train_step`.

        Returns:
          The metrics by name.
        """
        batch = keras.utils.unpack_x_y_sample_weight(data)
        with WholeBatch(num_examples(batch)) as whole:
            y_pred, loss = self._forward(batch, training=False)
            # As the other metrics: a mean over weights, those of padding being zero.
            weights = batch[2]
            counted = num_examples(batch) if weights is None else tf.reduce_sum(weights)
            self._track_loss(loss, whole, counted)
            self._track_metrics(batch, y_pred)
        return self._logs({})

    def track_update(self, is_skipped: tf.Tensor, norm: tf.Tensor) -> dict[str, tf.Tensor]:
        """Tracks the update of a step, of an optimizer that skips some.

        Args:
          is_skipped: Whether the last one was skipped, float32 0 or 1.
          norm: Norm of the global batch's gradient; infinite where it overflowed.

        Returns:
          What there is to report, by name.
        """
        return {}

    def _apply(self, gradients: Sequence[tf.Tensor | None]) -> dict[str, tf.Tensor]:
        """Updates the weights; gives what there is to report of that."""
        innermost = self.optimizer
        if hasattr(innermost, "inner_optimizer"):
            innermost = innermost.inner_optimizer
        num_skips = getattr(innermost, "num_skips", None)
        if num_skips is None:
            self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
            return {}
        skips, steps = tf.identity(num_skips), tf.identity(innermost.iterations)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        # The loss scale of mixed_float16 drops an update that overflows before it comes here.
        is_dropped = tf.equal(steps, innermost.iterations)
        is_skipped = tf.cast(is_dropped | (num_skips > skips), tf.float32)
        norm = tf.where(is_dropped, math.inf, tf.convert_to_tensor(innermost.gradient_norm))
        return self.track_update(is_skipped, norm)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        steps = {"gradient_accumulation_steps": self.gradient_accumulation_steps}
        return {**super().get_config(), **steps}

    # -- one pass

    def _forward(self, batch: _Batch, training: bool) -> tuple[Any, tf.Tensor]:
        """What `call` returns, and the share of these examples in the loss."""
        x, y, sample_weight = batch
        y_pred = self(x, training=training)
        return y_pred, self.compute_loss(x, y, y_pred, sample_weight, training=training)

    def _gradients(self, batch: _Batch) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
        """The share of these examples in loss and gradients; updates the metrics."""
        with tf.GradientTape() as tape:
            y_pred, loss = self._forward(batch, training=True)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.trainable_weights)
        self._track_metrics(batch, y_pred)
        return loss, gradients

    def _track_metrics(self, batch: _Batch, y_pred: Any) -> None:
        x, y, sample_weight = batch
        self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _track_loss(
        self, loss: tf.Tensor, whole: WholeBatch | Totals, num_examples: int | tf.Tensor
    ) -> None:
        """Adds a step to the mean of the loss over examples.

        Each replica adds its share of the loss times the global count: their sum is the sum over
        the examples of the batch, also where a replica has no example.
        """
        self._loss_tracker.total.assign_add(loss * whole.num_examples)
        self._loss_tracker.count.assign_add(tf.cast(num_examples, tf.float32))

    def _logs(self, of_step: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The metrics and what else a step has, by name; of several workers the loss alone.

        Keras averages what a step returns over the workers, by its first axis, in two rounds of
        communication for each metric; and then reads the metrics themselves.
        """
        metrics = self.get_metrics_result()
        if num_workers(tf.distribute.get_strategy()) > 1:
            return {"loss": tf.reshape(metrics["loss"], [1])}
        return {**metrics, **of_step}

    def _get_metrics_result_or_logs(self, logs: dict[str, Any]) -> dict[str, Any]:
        """Keras hook at the end of an epoch: the metrics, whatever the last step gave for them."""
        return {**logs, **self.get_metrics_result()}

    # -- in parts

    def _gradients_in_parts(self, batch: _Batch) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
        """Loss and gradients of the replica's share; updates the metrics."""
        parts = Parts(batch, self.gradient_accumulation_steps, self.jit_compile)
        totals = self._totals(parts)
        # Weights that the loss does not depend on, as Keras tells them from those at an optimum.
        unused: set[int] = set()

        def add(part: _Batch, carried: list[tf.Tensor]) -> list[tf.Tensor]:
            with totals:
                loss, gradients = self._gradients(part)
            unused.update(i for i, gradient in enumerate(gradients) if gradient is None)
            return _added(carried, [loss, *gradients])

        zeros = [tf.zeros(v.shape, v.dtype) for v in self.trainable_weights]
        loss, *gradients = parts.fold(add, [tf.zeros([]), *zeros])
        self._track_loss(loss, totals, parts.num_examples)
        return loss, [None if i in unused else g for i, g in enumerate(gradients)]

    def _totals(self, parts: Parts) -> Totals:
        """The sums over the global batch that the loss asks for, by a pass without a gradient.

        If it asks for none, nothing is left to compute but the number of examples.
        """
        state = [(v, tf.identity(tf.convert_to_tensor(v))) for v in self._network_state()]
        with Collecting() as asked:
            self._forward(parts.first(), training=True)
        sums = asked.sums
        if sums:

            def add(part: _Batch, carried: list[tf.Tensor]) -> list[tf.Tensor]:
                with Collecting() as one:
                    self._forward(part, training=True)
                return _added(carried, one.sums)

            needed, end = asked.needed, self.gradient_accumulation_steps
            start = 1 if needed is True else tf.where(needed, 1, end)
            sums = parts.fold(add, sums, start)
        # The second pass draws the same random numbers, and moves averages once.
        for variable, value in state:
            variable.assign(value)
        return asked.totals(sums, parts.num_examples)

    def _network_state(self) -> list:
        """Variables that the networks change in a forward pass: seeds, moving averages."""
        networks = [layer for layer in self.layers if layer is not self.likelihood]
        return [v for layer in networks for v in layer.non_trainable_variables]


@contextlib.contextmanager
def said_plainly() -> Iterator[None]:
    """Ends a failed check of values with its sentence, and not with a page of the graph's."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        message = str(error)
        checked = _CHECKED.search(message)
        if checked is None:
            raise
        wrong_input, non_finite = checked.groups()
        # A tensor that is not finite may have many causes: callers tell it from a wrong input.
        if non_finite:
            raise tf.errors.InvalidArgumentError(None, None, non_finite) from None
        value = _VALUE.search(message)
        found = f"; found {value.group(1)}" if value else ""
        raise ValueError(f"{wrong_input}{found}") from None


def batches_of(dataset: Any, batch_size: int, what: str = "images") -> Iterable[Any]:
    """The batches of what `fit` would take as its dataset.

    Args:
      dataset: `tf.data.Dataset`, `keras.utils.PyDataset`, generator or list of batches; or an array
        (or a tuple of arrays) of all examples.
      batch_size: Examples in a batch that is cut from an array.
      what: What the examples are, for the message.

    Raises:
      ValueError: If it is none of these.
    """
    if isinstance(dataset, keras.utils.PyDataset):
        return (dataset[index] for index in range(len(dataset)))
    first = dataset[0] if isinstance(dataset, tuple) else dataset
    if hasattr(first, "shape"):
        return tf.data.Dataset.from_tensor_slices(dataset).batch(batch_size)
    if isinstance(dataset, Iterable):
        return dataset
    raise ValueError(
        f"the dataset must be an array or batches of {what} (a tf.data.Dataset, a PyDataset, a "
        f"generator or a list), got {dataset!r}"
    )


def named_likelihood(likelihood: str | Likelihood) -> Likelihood:
    """Makes a likelihood of the name of a plug-in, or returns the one given.

    Raises:
      ValueError: If it is neither.
    """
    if isinstance(likelihood, str):
        likelihood = plugins.find("likelihoods", likelihood)()
    if not isinstance(likelihood, Likelihood):
        raise ValueError(f"likelihood must be a name or a Likelihood, got {likelihood!r}")
    return likelihood


def _added(carried: Sequence[tf.Tensor], values: Sequence[tf.Tensor | None]) -> list[tf.Tensor]:
    """Sums of two lists; None adds nothing."""
    sums = []
    for total, value in zip(carried, values, strict=True):
        if value is not None:
            # A sparse gradient becomes a dense one.
            value = total + tf.convert_to_tensor(value)
            value.set_shape(total.shape)
        sums.append(total if value is None else value)
    return sums
