"""What all models say about their latent, whatever its structure: how it is drawn, and decoded."""

import math
from abc import abstractmethod

import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae import noise
from tf_sigma_vae.models._output import Inference, Output

tfd = tfp.distributions


class LatentStructure:
    """Mixin for a `keras.Model` of a latent variable.

    `model(x)` gives an `Output` of `tfd` distributions and per-example nats. However the latent is
    structured, it is handed around as vectors `z` `[B, latent_size]`.
    """

    top_size: int

    # -- of the subclass

    @property
    def latent_size(self) -> int:
        """Size of `z`."""
        return self.top_size

    @property
    def num_levels(self) -> int:
        """Levels of the latent, of which each but the first depends on those before.

        A model of several also has `level_shapes` and `reconstructions_by_level`, and its
        `rate_groups` are those of the levels; see `HierarchicalVae`.
        """
        return 1

    @property
    def prior(self) -> tfd.Independent:
        """p(z): standard Gaussian, event shape `[top_size]`; of several levels, of the first."""
        return tfd.Independent(tfd.Normal(tf.zeros([self.top_size]), 1.0), 1)

    @abstractmethod
    def encode(self, x) -> tfd.Independent:
        """q(z|x) of images `[B, H, W, C]`, float32, event shape `[latent_size]`.

        Raises:
          ValueError: If the images are not floats, or of another shape.
          tf.errors.InvalidArgumentError: If they are out of the range of the likelihood.
        """

    def top_posterior(self, x) -> tfd.Independent:
        """The part of q that depends on `x` alone, to go with `prior`; all of it by default."""
        return self.encode(x)

    @abstractmethod
    def infer(self, x, noise_ids, check=lambda tensor, name: tensor) -> Inference:
        """Draws `z` from q(z|x) and decodes it.

        Args:
          x: `[B, H, W, C]`.
          noise_ids: Of the draws, uint32 `[B, 2]`.
          check: Function of a tensor and its name that gives the tensor.
        """

    @abstractmethod
    def decode_params(self, z) -> tf.Tensor:
        """Raw output of the decoder `[B, H, W, P]` for latents `[B, latent_size]`."""

    @abstractmethod
    def sample_prior(self, noise_ids, temperature: float = 1.0) -> tf.Tensor:
        """Draws `z` `[n, latent_size]` from the prior, each row by its id, uint32 `[n, 2]`.

        Args:
          noise_ids: uint32 `[n, 2]`.
          temperature: Factor on the scales of the prior.
        """

    @abstractmethod
    def log_importance_weights(self, x, num_samples: int, first_sample=0) -> tf.Tensor:
        """`log p(x|z_k) + log p(z_k) - log q(z_k|x)`, `[K, B]` nats, `z_k ~ q(z|x)`.

        The draws are numbered from `first_sample` (an integer or a tensor): number 0 is what `call`
        draws outside of training, and no draw depends on K, so that they can be had in parts.
        """

    def group_metrics(self, output: Output) -> dict[str, tf.Tensor]:
        """What else is to be followed in training, `[B]` each; the names are always the same."""
        return {}

    # -- what follows from it

    def decode(self, z) -> tfd.Distribution:
        """The likelihood p(x|z) of latents `[B, latent_size]`, with the stored scale."""
        return self.likelihood.distribution(self.decode_params(z))

    def call(self, x, training=False) -> Output:
        """Encodes, samples, decodes and scores images.

        Args:
          x: `[B, H, W, C]`, in the unit of the data.
          training: Whether this is a training step: an analytic likelihood then takes its scale
            from the batch.

        Returns:
          An `Output`.
        """
        return self.score(x, self.posterior_noise_ids(x, training), training)

    def score(self, x, noise_ids, training=False) -> Output:
        """What `call` gives, with the noise of the posterior drawn by ids, uint32 `[B, 2]`."""
        check = self.finite if training else (lambda tensor, name: tensor)
        # The exact values, before the policy of the networks rounds them.
        x = tf.convert_to_tensor(x)
        found = self.infer(x, noise_ids, check)
        found = found._replace(params=check(found.params, "decoder output (params)"))
        likelihood = self.likelihood.distribution(found.params, x, training)
        return Output(
            **found._asdict(),
            likelihood=likelihood,
            rate=check(tf.reduce_sum(found.rate_groups, axis=-1), "rate"),
            distortion=check(-likelihood.log_prob(tf.cast(x, tf.float32)), "distortion"),
        )

    def sample(self, num_samples: int, seed: int = 0, temperature: float = 1.0):
        """Draws from the prior.

        Args:
          num_samples: Number of images `n`.
          seed: Same seed, same samples; the first do not depend on `n`.
          temperature: Factor on the scales of the prior.

        Raises:
          ValueError: On a temperature that is no number from 0.

        Returns:
          Triple `(likelihood, image, z)`: the distribution p(x|z), whose `mean()` is the clean
          sample; `image` `[n, H, W, C]` drawn from it, with the decoder's noise; `z`.
        """
        require_temperature(temperature)
        z = self.sample_prior(noise.row_ids(num_samples, seed), temperature)
        likelihood = self.decode(z)
        return likelihood, likelihood.sample(seed=[seed, 1]), z

    # -- random numbers

    def posterior_noise_ids(self, x, training: bool) -> tf.Tensor:
        """Ids of the noise of the posterior, uint32 `[B, 2]`; see `noise`.

        In training another draw each step; outside of it a function of the image alone, so that
        evaluating twice gives the same digits.
        """
        ids = noise.example_ids(x)
        if training and self.optimizer is not None:
            return noise.fold(ids, self.seed, self.optimizer.iterations + 1)
        return noise.fold(ids, self.seed)

    def sample_noise_ids(self, x, num_samples: int, first_sample=0) -> tf.Tensor:
        """Ids of the noise of numbered draws, uint32 `[K, B, 2]`; see `log_importance_weights`.

        Numbers count downwards from 0, where no training step is.
        """
        numbers = first_sample + tf.range(num_samples)
        ids = tf.tile(noise.example_ids(x), [num_samples, 1])
        steps = tf.repeat(-numbers, tf.shape(x)[0])
        return tf.reshape(noise.fold(ids, self.seed, steps), [num_samples, -1, 2])


def require_temperature(value) -> None:
    """Checks a factor on the scales of the prior.

    Raises:
      ValueError: If it is no number from 0.
    """
    if not 0.0 <= value < math.inf:
        raise ValueError(f"temperature must be a number from 0, got {value!r}")
