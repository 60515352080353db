"""What every latent-variable model shares: objective, metrics, checks, calibration.

    loss = mean over the global batch of (distortion + beta * rate),    nats per example.

A model says how it infers z and decodes it (`infer`); the rest is here, in the order of the paper:
likelihood, distortion and rate in `score`, the loss in `compute_loss`. Keras keeps its own
machinery: `fit`, distribution strategies, mixed precision, `jit_compile`, `steps_per_execution`,
moving averages of weights. The steps that call the objective are in `_own_objective`.

Source: Rybkin et al. 2021, Eq. 3 and 4.
"""

import math
import numbers
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import noise, objectives, rows
from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.models import _serving
from tf_sigma_vae.models._clip_likelihood import ClipLikelihood
from tf_sigma_vae.models._images import require_grey_levels, require_images
from tf_sigma_vae.models._output import Inference, Output
from tf_sigma_vae.models._own_objective import (
    OwnObjective,
    Tracker,
    batches_of,
    named_likelihood,
    said_plainly,
)
from tf_sigma_vae.replicas import global_count, is_collecting, replica_sum

OF_EXAMPLES = {
    "elbo": "max",
    "rate": None,
    "distortion": "min",
    "bits_per_dim": "min",
    "log_scale": None,
}
"""Metrics, and which way is better: see `Tracker`."""
OF_UPDATES = ("skip_rate", "gradient_norm")
"""Of training steps alone, and only with an optimizer that skips updates."""
CALIBRATED_AT_ONCE = 128
"""Images of an array that is calibrated on; it changes the speed alone."""

Check = Callable[[tf.Tensor, str], tf.Tensor]
"""Takes a tensor and its name, and gives the tensor."""


def unchecked(tensor: tf.Tensor, name: str) -> tf.Tensor:
    """The tensor, whatever it holds: the `Check` outside of training."""
    return tensor


class SettableNumber:
    """A number that graphs read anew in each step, so that a callback can change it.

    No part of the weights: files hold it in the configuration of the model.

    Attributes:
      given: The number as it was given, a Python float.
    """

    def __init__(self, value: float) -> None:
        self.given = float(value)
        # Created in the scope of the strategy, as the model is: each replica has a copy.
        self._variable = tf.Variable(self.given, trainable=False, dtype=tf.float32)

    def set(self, value: float) -> None:
        """Changes it, outside of graphs."""
        self.given = float(value)
        self._variable.assign(self.given)

    def value(self) -> float | tf.Tensor:
        """The Python number; in a graph the tensor."""
        return self.given if tf.executing_eagerly() else tf.convert_to_tensor(self._variable)


class LatentVariableModel(OwnObjective):
    """Base of the models; a subclass gives the latent's structure, and makes its networks.

    `model(x)` gives an `Output` of `tfd` distributions and per-example nats.

    Attributes:
      LATENT: What the networks must be for, of `networks.LATENTS`.
      of_videos: Whether an example is a clip `[T, H, W, C]` and not an image.
      image_shape: `(H, W, C)`.
      top_size: Size of the latent that depends on no other: all of it where it is flat.
      network: Name of the network plug-in, `"custom"` for layers.
    """

    LATENT: ClassVar[str]
    of_videos: ClassVar[bool] = False

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_size: int,
        likelihood: str | Likelihood,
        network: str | Sequence[keras.layers.Layer],
        network_options: dict[str, Any] | None = None,
        beta: float = 1.0,
        rate_warmup_steps: int = 0,
        free_bits: float = 0.0,
        seed: int = 0,
        check_finite: bool = True,
        **kwargs: Any,
    ) -> None:
        """Builds the common part; a subclass then makes its networks and calls `build`.

        Args:
          image_shape: `(H, W, C)`.
          latent_size: See `top_size`.
          likelihood: Name of a likelihood plug-in, or an instance of `Likelihood`.
          network: Name of a network plug-in, or a pair of Keras layers.
          network_options: Options of the network plug-in; None for none.
          beta: Weight of the rate against the likelihood in nats.
          rate_warmup_steps: Steps over which the weight of the rate rises linearly from 0 to beta.
          free_bits: Nats granted to each group of the rate (Kingma et al. 2016).
          seed: Seed of the posterior's noise; with the step and the image it determines the draw.
          check_finite: Whether training stops with an error that names the first non-finite tensor.
          **kwargs: Arguments of `OwnObjective` (`gradient_accumulation_steps`) and `keras.Model`.

        Raises:
          ValueError: On an impossible shape or size, a negative number, or an unknown name.
        """
        super().__init__(**kwargs)
        given = {"beta": beta, "rate_warmup_steps": rate_warmup_steps, "free_bits": free_bits}
        for name, value in given.items():
            _require_not_negative(name, value)
        self._beta, self._free_bits = SettableNumber(beta), SettableNumber(free_bits)
        self.rate_warmup_steps, self.seed = int(rate_warmup_steps), int(seed)
        self.check_finite = bool(check_finite)
        self._trackers = {name: Tracker(name, better) for name, better in OF_EXAMPLES.items()}
        self._trackers |= {name: Tracker(name) for name in OF_UPDATES}
        self.image_shape = tuple(int(size) for size in image_shape)
        if len(self.image_shape) != 3 or min(self.image_shape) < 1:
            raise ValueError(f"image_shape must be (H, W, C), got {tuple(image_shape)}")
        self.top_size = _whole_size(latent_size)
        self.likelihood = named_likelihood(likelihood)
        self.network = network if isinstance(network, str) else "custom"
        self.network_options = dict(network_options or {})

    # -- what a subclass gives

    @classmethod
    @abstractmethod
    def make_networks(
        cls,
        image_shape: Sequence[int],
        latent_size: int,
        params_channels: int,
        network: str,
        network_options: dict,
        dtype: keras.DTypePolicy | None = None,
    ) -> tuple[keras.layers.Layer, keras.layers.Layer]:
        """The two networks of a plug-in, without weights: also a check of all options.

        A subclass with options of its own takes those, too, by name.

        Args:
          image_shape: `(H, W, C)`.
          latent_size: See `top_size`.
          params_channels: Channels that the likelihood asks for.
          network: Name of the plug-in.
          network_options: Options of the plug-in.
          dtype: Keras policy.

        Raises:
          ValueError: On an unknown name or option, a network for another latent, or a bad value.
        """

    @property
    @abstractmethod
    def networks(self) -> tuple[keras.layers.Layer, keras.layers.Layer]:
        """The two networks."""

    @abstractmethod
    def infer(self, x: TensorLike, noise_ids: tf.Tensor, check: Check = unchecked) -> Inference:
        """Draws `z` from q(z|x) and decodes it.

        Args:
          x: `[B, ..., C]`.
          noise_ids: Ids of the draws, uint32 `[B, 2]`.
          check: Called with each tensor that may become non-finite.
        """

    @abstractmethod
    def encode(self, x: TensorLike) -> tfd.Independent:
        """q(z|x) of examples `[B, ..., C]`, float32, event shape `[latent_size]`.

        Raises:
          ValueError: If the examples are not floats, or of another shape.
          tf.errors.InvalidArgumentError: If they are out of the range of the likelihood.
        """

    @abstractmethod
    def decode_params(self, z: tf.Tensor) -> tf.Tensor:
        """Raw output of the decoder `[B, H, W, P]` for latents `[B, latent_size]`."""

    @abstractmethod
    def sample_prior(self, noise_ids: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
        """Draws `z` `[n, latent_size]` from the prior, each row by its id.

        Args:
          noise_ids: uint32 `[n, 2]`.
          temperature: Factor on the scales of the prior.
        """

    @abstractmethod
    def log_importance_weights(
        self, x: TensorLike, num_samples: int, first_sample: int | tf.Tensor = 0
    ) -> tf.Tensor:
        """`log p(x|z_k) + log p(z_k) - log q(z_k|x)`, `[K, B]` nats, `z_k ~ q(z|x)`.

        The draws are numbered from `first_sample` (an integer or a tensor): number 0 is what `call`
        draws outside of training, and no draw depends on K, so that they can be had in parts.
        """

    @property
    def latent_size(self) -> int:
        """Size of `z`; of a clip, for each frame."""
        return self.top_size

    @property
    def num_levels(self) -> int:
        """Levels of the latent, of which each but the first depends on those before.

        A model of several also has `level_shapes` and `reconstructions_by_level`, and its
        `rate_groups` are those of the levels; see `HierarchicalVAE`.
        """
        return 1

    @property
    def target_likelihood(self) -> Likelihood | ClipLikelihood:
        """What scores `targets`: the likelihood itself, or what a model makes of it."""
        return self.likelihood

    def targets(self, x: TensorLike) -> tf.Tensor:
        """The part of the examples that the likelihood is of, `[B, ...]`: all, by default."""
        return x

    def num_dims(self, x: TensorLike) -> int | tf.Tensor:
        """`D`, the scalars of one example that the likelihood is of; an integer where known."""
        return math.prod(self.image_shape)

    def group_metrics(self, output: Output) -> dict[str, tf.Tensor]:
        """What else is to be followed in training, `[B]` each; the names are always the same."""
        return {}

    # -- the objective

    @property
    def beta(self) -> float | tf.Tensor:
        """Weight of the rate against the likelihood; what is set acts at the next step.

        A number; in a graph the tensor of it.
        """
        return self._beta.value()

    @beta.setter
    def beta(self, value: float) -> None:
        _require_not_negative("beta", value)
        self._beta.set(value)

    @property
    def free_bits(self) -> float | tf.Tensor:
        """Nats granted to each group of the rate; what is set acts at the next step."""
        return self._free_bits.value()

    @free_bits.setter
    def free_bits(self, value: float) -> None:
        _require_not_negative("free_bits", value)
        before = self._free_bits.given
        self._free_bits.set(value)
        if self.grants_free_bits == (before > 0):
            return
        try:
            self.forget_graphs()
        except ValueError:
            self._free_bits.set(before)
            raise

    @property
    def grants_free_bits(self) -> bool:
        """Whether there are free bits: without them a graph leaves out what they take."""
        return self._free_bits.given > 0

    def call(self, x: TensorLike, training: bool = False) -> Output:
        """Encodes, samples, decodes and scores examples.

        Args:
          x: `[B, H, W, C]`, in the unit of the data; clips `[B, T, H, W, C]`.
          training: Whether this is a training step: an analytic likelihood then takes its scale
            from the batch.

        Returns:
          An `Output`.
        """
        return self.score(x, self.posterior_noise_ids(x, training), training)

    def score(self, x: TensorLike, noise_ids: tf.Tensor, training: bool = False) -> Output:
        """What `call` gives, with the noise of the posterior drawn by ids, uint32 `[B, 2]`."""
        check = self.finite if training else unchecked
        # The exact values, before the policy of the networks rounds them.
        x = tf.convert_to_tensor(x)
        found = self.infer(x, noise_ids, check)
        found = found._replace(params=check(found.params, "decoder output (params)"))
        targets = self.targets(x)
        likelihood = self.target_likelihood.distribution(found.params, targets, training)
        return Output(
            **found._asdict(),
            likelihood=likelihood,
            rate=check(tf.reduce_sum(found.rate_groups, axis=-1), "rate"),
            distortion=check(-likelihood.log_prob(tf.cast(targets, tf.float32)), "distortion"),
        )

    def rate_weight(self) -> tf.Tensor:
        """Weight of the rate at this step: beta, after a linear warm-up from 0."""
        if self.rate_warmup_steps == 0 or self.optimizer is None:
            return tf.convert_to_tensor(self.beta)
        progress = tf.cast(self.optimizer.iterations, tf.float32) / self.rate_warmup_steps
        return self.beta * tf.minimum(progress, 1.0)

    def objective_rate(self, output: Output) -> tf.Tensor:
        """The rate that the objective charges, `[B]`, nats: with the free bits granted."""
        if not self.grants_free_bits:
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
          Scalar, nats, with the regularization losses of custom networks.

        Raises:
          ValueError: If weights are given in training with an analytic likelihood.
        """
        assert y_pred is not None  # Keras's signature has a default, and its steps give it.
        per_example = y_pred.distortion + self.rate_weight() * self.objective_rate(y_pred)
        loss = self.mean_over_global_batch(per_example, sample_weight, training)
        return self.finite(loss + self.share_of_penalties(tf.shape(per_example)[0]), "loss")

    @property
    def needs_whole_batch(self) -> bool:
        """See `OwnObjective`: free bits are granted by the mean rates of the batch."""
        return super().needs_whole_batch or self.grants_free_bits

    # -- metrics

    def compute_metrics(
        self, x: tf.Tensor, y: object, y_pred: Output, sample_weight: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Updates and returns the metrics, means over examples since the last reset."""
        negative = y_pred.distortion + y_pred.rate
        values = {
            "elbo": -negative,
            "rate": y_pred.rate,
            "distortion": y_pred.distortion,
            "log_scale": self.target_likelihood.log_scale(y_pred.likelihood),
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
        results = {name: result for name, result in results.items() if name not in OF_UPDATES}
        return results | self.penalty_metric()

    def track_update(self, is_skipped: tf.Tensor, norm: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `OwnObjective.track_update`."""
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

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.fit`; `sample_weight` needs no `y`."""
        return super().fit(x, _beside_weights(x, y, kwargs), *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`; `sample_weight` needs no `y`."""
        return super().evaluate(x, _beside_weights(x, y, kwargs), *args, **kwargs)

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

    # -- samples

    @property
    def prior(self) -> tfd.Independent:
        """p(z): standard Gaussian, event shape `[top_size]`; of several levels, of the first."""
        return tfd.Independent(tfd.Normal(tf.zeros([self.top_size]), 1.0), 1)

    def top_posterior(self, x: TensorLike) -> tfd.Independent:
        """The part of q that depends on `x` alone, to go with `prior`; all of it by default."""
        return self.encode(x)

    def decode(self, z: tf.Tensor) -> tfd.Distribution:
        """The likelihood p(x|z) of latents `[B, latent_size]`, with the stored scale."""
        return self.likelihood.distribution(self.decode_params(z))

    def sample(
        self, num_samples: int, seed: int = 0, temperature: float = 1.0
    ) -> tuple[tfd.Distribution, tf.Tensor, tf.Tensor]:
        """Draws from the prior.

        Args:
          num_samples: Number of images `n`.
          seed: Same seed, same samples; the first do not depend on `n`.
          temperature: Factor on the scales of the prior.

        Raises:
          ValueError: On a temperature that is no number from 0.
          NotImplementedError: For a model of clips, which goes on from given frames.

        Returns:
          Triple `(likelihood, image, z)`: the distribution p(x|z), whose `mean()` is the clean
          sample; `image` `[n, H, W, C]` drawn from it, with the decoder's noise; `z`.
        """
        require_temperature(temperature)
        z = self.sample_prior(noise.row_ids(num_samples, seed), temperature)
        likelihood = self.decode(z)
        return likelihood, likelihood.sample(seed=[seed, 1]), z

    # -- random numbers

    def posterior_noise_ids(self, x: TensorLike, training: bool) -> tf.Tensor:
        """Ids of the noise of the posterior, uint32 `[B, 2]`; see `noise`.

        In training another draw each step; outside of it a function of the image alone, so that
        evaluating twice gives the same digits.
        """
        ids = noise.example_ids(x)
        if training and self.optimizer is not None:
            return noise.fold(ids, self.seed, self.optimizer.iterations + 1)
        return noise.fold(ids, self.seed)

    def sample_noise_ids(
        self, x: TensorLike, num_samples: int, first_sample: int | tf.Tensor = 0
    ) -> tf.Tensor:
        """Ids of the noise of numbered draws, uint32 `[K, B, 2]`; see `log_importance_weights`.

        Numbers count downwards from 0, where no training step is.
        """
        numbers = first_sample + tf.range(num_samples)
        ids = tf.tile(noise.example_ids(x), [num_samples, 1])
        steps = tf.repeat(-numbers, tf.shape(x)[0])
        return tf.reshape(noise.fold(ids, self.seed, steps), [num_samples, -1, 2])

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
        self, dataset: Iterable[Any] | np.ndarray, step: int | None = None
    ) -> dict[str, object]:
        """Sets the stored scale of an analytic likelihood from the training set, exactly.

        One pass with `z ~ q(z|x)`: the variance is the mean squared error over all examples, in
        float64. For other likelihoods there is nothing to do.

        Args:
          dataset: Batches `[B, H, W, C]`, or tuples that start with them: a `tf.data.Dataset`, a
            `PyDataset`, a generator or a list. Or an array `[N, H, W, C]`. Clips are
            `[B, T, H, W, C]`, all of one length.
          step: Training step to note as provenance; that of the optimizer by default.

        Returns:
          `likelihood.provenance()`.

        Raises:
          ValueError: If the dataset is empty or nothing to iterate over, or an image not in range.

        Source: Rybkin et al. 2021, Sec. 4 (the variance over the training data).
        """
        if self.likelihood.needs_calibration:
            # Of images; a clip is several.
            images = getattr(dataset, "shape", (1, 1))[1] if self.of_videos else 1
            batches = batches_of(dataset, max(1, CALIBRATED_AT_ONCE // images))
            statistic = rows.over_replicas(
                self.distribute_strategy, self._calibration_statistic, equal_shares=True
            )
            statistics: list[np.ndarray] = []
            num_dims: int | tf.Tensor = 1
            for batch in batches:
                x = tf.convert_to_tensor(batch[0] if isinstance(batch, tuple) else batch)
                with said_plainly():
                    found = statistic(x).numpy()
                statistics.append(found.ravel())
                # A clip whose frames have scales of their own gives a number for each.
                num_dims = self.num_dims(x) // math.prod(found.shape[1:])
            self.store_scale(statistics, num_dims, step)
        return self.likelihood.provenance()

    @tf.function(reduce_retracing=True)
    def _calibration_statistic(self, x: tf.Tensor) -> tf.Tensor:
        """What the scale is made of, for a batch with `z ~ q(z given x)`: `[B]`, or `[B, T']`."""
        found = self.infer(x, self.posterior_noise_ids(x, False))
        return self.target_likelihood.calibration_statistic(found.params, self.targets(x))

    # -- files

    def summary(self, *args: Any, print_fn: Callable[[str], Any] = print, **kwargs: Any) -> None:
        """As `keras.Model.summary`, and the shape of the latent."""
        super().summary(*args, print_fn=print_fn, **kwargs)
        print_fn(f" Latent z: {(None, self.latent_size)}")

    def networks_given(
        self, network: str | Sequence[keras.layers.Layer], names: tuple[str, str], **options: Any
    ) -> tuple[keras.layers.Layer, keras.layers.Layer]:
        """The two networks of a plug-in, or the layers given; for a subclass's constructor.

        Args:
          network: As given to the constructor.
          names: What the two are called.
          **options: Options of the model that `make_networks` takes by name.

        Raises:
          ValueError: On an unknown name or option, or another number of layers.
        """
        if isinstance(network, str):
            channels = self.likelihood.params_channels(self.image_shape[-1])
            given = (self.image_shape, self.top_size, channels, network, self.network_options)
            return self.make_networks(*given, dtype=self.dtype_policy, **options)
        if len(network) != 2:
            raise ValueError(
                f"network must be a name or the layers ({', '.join(names)}), "
                f"got {len(network)} of them"
            )
        return network[0], network[1]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights of the networks and the likelihood."""
        # The latent that the second one takes, of a shape of its own where it is not flat.
        for layer, shape in zip(self.networks, (self.image_shape, (self.top_size,)), strict=True):
            if not layer.built:
                layer.build((None, *shape))
        channels = self.likelihood.params_channels(self.image_shape[-1])
        self.likelihood.ensure_built((None, *self.image_shape[:-1], channels))
        self.track_penalties()
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        network: str | list[dict[str, Any]] = self.network
        if network == "custom":
            network = [keras.saving.serialize_keras_object(layer) for layer in self.networks]
        names = ("beta", "rate_warmup_steps", "free_bits", "seed", "check_finite")
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "latent_size": self.top_size,
            "network": network,
            "network_options": self.network_options,
            "likelihood": keras.saving.serialize_keras_object(self.likelihood),
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """Inverse of `get_config`."""
        config = dict(config)
        restore = keras.saving.deserialize_keras_object
        config["likelihood"] = restore(config["likelihood"], custom_objects=custom_objects)
        if not isinstance(config["network"], str):
            config["network"] = [
                restore(layer, custom_objects=custom_objects) for layer in config["network"]
            ]
        return cls(**config)


def _whole_size(latent_size: object) -> int:
    if not isinstance(latent_size, numbers.Integral) or latent_size < 1:
        raise ValueError(f"latent_size must be a whole number from 1, got {latent_size!r}")
    return int(latent_size)


def require_temperature(value: float) -> None:
    """Checks a factor on the scales of the prior.

    Raises:
      ValueError: If it is no number from 0.
    """
    if not 0.0 <= value < math.inf:
        raise ValueError(f"temperature must be a number from 0, got {value!r}")


def _beside_weights(x: Any, y: Any, given: Mapping[str, Any]) -> Any:
    """The targets; where weights are given without any, zeros: Keras would drop the weights."""
    if y is None and given.get("sample_weight") is not None:
        return np.zeros(len(x), np.float32)
    return y


def _require_not_negative(name: str, value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{name} must not be negative, got {value!r}")
