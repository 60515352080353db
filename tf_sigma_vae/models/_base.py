"""What every latent-variable model shares: objective, metrics, checks, calibration.

The objective is set once, by overriding `compute_loss` and `compute_metrics`, so that Keras keeps
its own machinery: `fit`, distribution strategies, mixed precision, `jit_compile`,
`steps_per_execution`, moving averages of weights. The steps that call them are in `_steps`.

    loss = mean over the global batch of (distortion + beta * rate),    nats per example.

Source: Rybkin et al. 2021, Eq. 3 and 4.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from tensorflow.types.experimental import TensorLike

from tf_sigma_vae import objectives, rows
from tf_sigma_vae.models import _serving
from tf_sigma_vae.models._images import require_grey_levels, require_images
from tf_sigma_vae.models._latent import LatentStructure
from tf_sigma_vae.models._networks import WithNetworks
from tf_sigma_vae.models._output import Output
from tf_sigma_vae.models._own_objective import OwnObjective
from tf_sigma_vae.models._parts import require_num_parts
from tf_sigma_vae.replicas import global_count, is_collecting, replica_sum

TRACKED = ("elbo", "rate", "distortion", "bits_per_dim", "log_scale")
OF_UPDATES = ("skip_rate", "gradient_norm")
CALIBRATED_AT_ONCE = 128
"""Images of an array that is calibrated on; it changes the speed alone."""


class LatentVariableModel(LatentStructure, WithNetworks, OwnObjective):
    """Base of the models; a subclass gives the latent's structure, and says what networks fit."""

    def __init__(
        self,
        beta: float = 1.0,
        rate_warmup_steps: int = 0,
        free_bits: float = 0.0,
        seed: int = 0,
        check_finite: bool = True,
        gradient_accumulation_steps: int = 1,
        **kwargs: Any,
    ) -> None:
        """Builds the common part.

        Args:
          beta: Weight of the rate against the likelihood in nats.
          rate_warmup_steps: Steps over which the weight of the rate rises linearly from 0 to beta.
          free_bits: Nats granted to each group of the rate (Kingma et al. 2016).
          seed: Of the noise of the posterior; with the step and the image it determines the draw.
          check_finite: Whether training stops with an error that names the first non-finite tensor.
          gradient_accumulation_steps: Parts in which a training step computes its batch, one after
            the other, to save memory. The update stays that of the whole batch; see `Steps`.
          **kwargs: Of `keras.Model`.

        Raises:
          ValueError: If a number is negative, or the steps are not a whole number from 1.
        """
        # The images stay exact whatever the policy; each network casts its own inputs.
        super().__init__(autocast=False, **kwargs)
        self.gradient_accumulation_steps = require_num_parts(gradient_accumulation_steps)
        # Keras sets the attribute in `compile`, and a model is used before too.
        self.optimizer: keras.optimizers.Optimizer | None = None
        given = {"beta": beta, "rate_warmup_steps": rate_warmup_steps, "free_bits": free_bits}
        for name, value in given.items():
            if not value >= 0:
                raise ValueError(f"{name} must not be negative, got {value!r}")
        self.beta, self.free_bits = float(beta), float(free_bits)
        self.rate_warmup_steps, self.seed = int(rate_warmup_steps), int(seed)
        self.check_finite = bool(check_finite)
        self._trackers = {name: keras.metrics.Mean(name=name) for name in TRACKED + OF_UPDATES}

    # -- checks

    def check_images(self, x: TensorLike) -> None:
        """See `require_images`, `require_grey_levels`; XLA drops the checks of the values."""
        value_range = None if self.jit_compile else self.likelihood.value_range
        require_images(x, self.image_shape, value_range)
        if self.likelihood.measure == "mass" and not self.jit_compile:
            require_grey_levels(x)

    def finite(self, tensor: tf.Tensor, name: str) -> tf.Tensor:
        """The tensor, after a check in training that all its elements are finite.

        XLA drops the check; there the metrics alone tell.
        """
        # A part's own statistics, of a pass for the sums, need not be those of the objective.
        if not self.check_finite or self.jit_compile or is_collecting():
            return tensor
        return tf.debugging.check_numerics(tensor, f"non-finite {name}")

    # -- objective and metrics

    @property
    def needs_whole_batch(self) -> bool:
        """See `OwnObjective`: free bits are granted by the mean rates of the batch."""
        return super().needs_whole_batch or self.free_bits > 0

    def rate_weight(self) -> tf.Tensor:
        """Weight of the rate at this step: beta, after a linear warm-up from 0."""
        if self.rate_warmup_steps == 0 or self.optimizer is None:
            return tf.constant(self.beta)
        progress = tf.cast(self.optimizer.iterations, tf.float32) / self.rate_warmup_steps
        return self.beta * tf.minimum(progress, 1.0)

    def objective_rate(self, output: Output) -> tf.Tensor:
        """The rate that the objective charges, `[B]`, nats: with the free bits granted."""
        if self.free_bits == 0:
            return output.rate
        total = replica_sum(tf.reduce_sum(tf.stop_gradient(output.rate_groups), axis=0))
        mean = total / global_count(tf.shape(output.rate)[0])
        return objectives.free_bits(output.rate_groups, mean, self.free_bits)

    def compute_loss(
        self,
        x: TensorLike | None = None,
        y: object = None,
        y_pred: Output | None = None,
        sample_weight: tf.Tensor | None = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Mean of `distortion + beta * rate` over the global batch, nats per example.

        Targets `y` are ignored, so that labelled datasets can be used as they are.

        Args:
          x: `[B, ..., C]`.
          y: Ignored.
          y_pred: The `Output` of `call`.
          sample_weight: `[B]` weights of the examples, or None. Not in training with an analytic
            likelihood, whose scale is a statistic of the unweighted batch.
          training: Whether this is a training step.

        Returns:
          Scalar, nats.

        Raises:
          ValueError: If weights are given in training with an analytic likelihood.
        """
        assert y_pred is not None  # Keras's signature has a default, and its steps give it.
        per_example = y_pred.distortion + self.rate_weight() * self.objective_rate(y_pred)
        return self.finite(
            self.mean_over_global_batch(per_example, sample_weight, training), "loss"
        )

    def compute_metrics(
        self, x: tf.Tensor, y: object, y_pred: Output, sample_weight: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Updates and returns the metrics, means over examples since the last reset."""
        negative = y_pred.distortion + y_pred.rate
        values = {
            "elbo": -negative,
            "rate": y_pred.rate,
            "distortion": y_pred.distortion,
            "log_scale": self.log_scale(y_pred),
            **self.group_metrics(y_pred),
        }
        if self.likelihood.measure is not None:
            values["bits_per_dim"] = objectives.bits_per_dim(
                negative, self.num_dims(x), self.likelihood.measure
            )
        for name, value in values.items():
            if value is not None:
                self._trackers[name].update_state(value, sample_weight=sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, tf.Tensor]:
        """The metrics by name, with `beta_equivalent` derived from the mean `log_scale`."""
        results = {"loss": self._loss_tracker.result()} if self.compiled else {}
        results |= {name: tracker.result() for name, tracker in self._trackers.items()}
        if self.likelihood.has_scale:
            scale = tf.exp(results["log_scale"])
            results["beta_equivalent"] = objectives.beta_equivalent(scale, self.beta)
        else:
            del results["log_scale"]
        if self.likelihood.measure is None:
            del results["bits_per_dim"]
        # Those are of training steps alone, which add them.
        return {name: result for name, result in results.items() if name not in OF_UPDATES}

    def track_update(self, is_skipped: tf.Tensor, norm: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `Steps.track_update`."""
        self._trackers["skip_rate"].update_state(is_skipped)
        is_finite = tf.math.is_finite(norm)
        self._trackers["gradient_norm"].update_state(
            tf.where(is_finite, norm, 0.0), sample_weight=tf.cast(is_finite, tf.float32)
        )
        return {name: self._trackers[name].result() for name in OF_UPDATES}

    def predict_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Plain arrays for `predict`: reconstruction, z, and the terms in nats."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        output = self(x, training=False)
        return {
            "reconstruction": output.likelihood.mean(),
            "z": output.posterior.mean(),
            "rate": output.rate,
            "distortion": output.distortion,
            "elbo": objectives.elbo(output.distortion, output.rate),
        }

    # -- serving

    def signatures(
        self, validation_scores: ArrayLike | None = None
    ) -> dict[str, _serving.Function]:
        """What an exported model answers to; see `ImageSignatures`.

        Args:
          validation_scores: `[n]`, anomaly scores (negative elbo, nats) of images that the model
            has not been trained on, for the p-value of `anomaly`; None leaves the p-value out.

        Raises:
          NotCalibratedError: If an analytic likelihood holds no scale.
        """
        return _serving.ImageSignatures(self, validation_scores).functions()

    # -- calibration

    def calibrate(
        self, dataset: tf.data.Dataset | np.ndarray, step: int | None = None
    ) -> dict[str, object]:
        """Sets the stored scale of an analytic likelihood from the training set, exactly.

        One pass with `z ~ q(z|x)`: the variance is the mean squared error over all examples, in
        float64. For other likelihoods there is nothing to do.

        Args:
          dataset: `tf.data.Dataset` of batches `[B, H, W, C]` (or tuples that start with them), or
            an array `[N, H, W, C]`; of clips `[B, T, H, W, C]`, all of one length.
          step: Training step to note as provenance; that of the optimizer by default.

        Returns:
          `likelihood.provenance()`.

        Raises:
          ValueError: If the dataset is empty, or an image not in range.

        Source: Rybkin et al. 2021, Sec. 4 (the variance over the training data).
        """
        if self.likelihood.needs_calibration:
            if not isinstance(dataset, tf.data.Dataset):
                # Of images; a clip is several.
                images = dataset.shape[1] if self.of_videos else 1
                dataset = tf.data.Dataset.from_tensor_slices(dataset)
                dataset = dataset.batch(max(1, CALIBRATED_AT_ONCE // images))
            statistic = rows.over_replicas(
                self.distribute_strategy, self._calibration_statistic, equal_shares=True
            )
            statistics: list[np.ndarray] = []
            num_dims: int | tf.Tensor = 1
            for batch in dataset:
                x = batch[0] if isinstance(batch, tuple) else batch
                statistics.append(statistic(x).numpy().ravel())
                num_dims = self.calibration_dims(x)
            self.store_scale(statistics, num_dims, step)
        return self.likelihood.provenance()

    @tf.function(reduce_retracing=True)
    def _calibration_statistic(self, x: tf.Tensor) -> tf.Tensor:
        """`calibration_statistic` of a batch with `z ~ q(z given x)`, `[B, ...]`."""
        found = self.infer(x, self.posterior_noise_ids(x, False))
        return self.calibration_statistic(found.params, self.targets(x))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("beta", "rate_warmup_steps", "free_bits", "seed", "check_finite")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
