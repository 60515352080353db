"""What all models say about their latent, whatever its structure and that of the data."""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import noise
from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.models._output import Inference, Output

Check = Callable[[tf.Tensor, str], tf.Tensor]
"""Takes a tensor and its name, and gives the tensor."""


class LatentStructure(keras.Model):
    """Base of a model of a latent variable.

    `model(x)` gives an `Output` of `tfd` distributions and per-example nats.

    Attributes:
      of_videos: Whether an example is a clip `[T, H, W, C]` and not an image.
    """

    of_videos: ClassVar[bool] = False

    top_size: int
    image_shape: tuple[int, ...]
    likelihood: Likelihood

    # -- of the subclass

    @property
    def latent_size(self) -> int:
        """Size of `z`; of a clip, for each frame."""
        return self.top_size

    @property
    def num_levels(self) -> int:
        """Levels of the latent, of which each but the first depends on those before.

        A model of several also has `level_shapes` and `reconstructions_by_level`, and its
        `rate_groups` are those of the levels; see `HierarchicalVae`.
        """
        return 1

    @abstractmethod
    def infer(
        self, x: TensorLike, noise_ids: tf.Tensor, check: Check = lambda tensor, name: tensor
    ) -> Inference:
        """Draws `z` from q(z|x) and decodes it.

        Args:
          x: `[B, ..., C]`.
          noise_ids: Of the draws, uint32 `[B, 2]`.
          check: Function of a tensor and its name that gives the tensor.
        """

    @abstractmethod
    def log_importance_weights(
        self, x: TensorLike, num_samples: int, first_sample: int | tf.Tensor = 0
    ) -> tf.Tensor:
        """`log p(x|z_k) + log p(z_k) - log q(z_k|x)`, `[K, B]` nats, `z_k ~ q(z|x)`.

        The draws are numbered from `first_sample` (an integer or a tensor): number 0 is what `call`
        draws outside of training, and no draw depends on K, so that they can be had in parts.
        """

    def group_metrics(self, output: Output) -> dict[str, tf.Tensor]:
        """What else is to be followed in training, `[B]` each; the names are always the same."""
        return {}

    # -- what is scored

    def targets(self, x: TensorLike) -> tf.Tensor:
        """The part of the examples that the likelihood is of, `[B, ...]`: all, by default."""
        return x

    def num_dims(self, x: TensorLike) -> int | tf.Tensor:
        """`D`, the scalars of one example that the likelihood is of; an integer where known."""
        return math.prod(self.image_shape)

    def likelihood_of(
        self, params: tf.Tensor, targets: tf.Tensor | None = None, training: bool = False
    ) -> tfd.Distribution:
        """p(x|z) of the decoder's output, batch shape `[B]`; see `Likelihood.distribution`."""
        return self.likelihood.distribution(params, targets, training)

    def calibration_statistic(self, params: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """What the stored scale is made of, `[B]`, or `[B, G]` where examples have parts."""
        return self.likelihood.calibration_statistic(params, targets)

    def calibration_dims(self, x: TensorLike) -> int | tf.Tensor:
        """Scalars that each number of `calibration_statistic` is of, for a batch `x`."""
        return self.num_dims(x)

    def log_scale(self, output: Output) -> tf.Tensor | None:
        """Mean over the event of the log standard deviation, `[B]`; None without a scale."""
        return self.likelihood.log_scale(output.likelihood)

    def log_mass(self, output: Output, x: TensorLike) -> tf.Tensor:
        """Log-probability of the 8-bit targets, float64 `[B]`, nats; see `Likelihood`."""
        return self.likelihood.bin_log_mass(output.likelihood, self.targets(x))

    # -- what follows from it

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
        check = self.finite if training else (lambda tensor, name: tensor)
        # The exact values, before the policy of the networks rounds them.
        x = tf.convert_to_tensor(x)
        found = self.infer(x, noise_ids, check)
        found = found._replace(params=check(found.params, "decoder output (params)"))
        targets = self.targets(x)
        likelihood = self.likelihood_of(found.params, targets, training)
        return Output(
            **found._asdict(),
            likelihood=likelihood,
            rate=check(tf.reduce_sum(found.rate_groups, axis=-1), "rate"),
            distortion=check(-likelihood.log_prob(tf.cast(targets, tf.float32)), "distortion"),
        )

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


def require_temperature(value: float) -> None:
    """Checks a factor on the scales of the prior.

    Raises:
      ValueError: If it is no number from 0.
    """
    if not 0.0 <= value < math.inf:
        raise ValueError(f"temperature must be a number from 0, got {value!r}")
