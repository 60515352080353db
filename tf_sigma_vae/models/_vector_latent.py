"""What models of images say about their latent, which is a vector, however it is structured."""

from abc import abstractmethod

import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import noise
from tf_sigma_vae.models._latent import LatentStructure, require_temperature


class VectorLatent(LatentStructure):
    """Base of a model of images, whose latent is handed around as vectors `[B, latent_size]`."""

    # -- of the subclass

    @property
    def prior(self) -> tfd.Independent:
        """p(z): standard Gaussian, event shape `[top_size]`; of several levels, of the first."""
        return tfd.Independent(tfd.Normal(tf.zeros([self.top_size]), 1.0), 1)

    @abstractmethod
    def encode(self, x: TensorLike) -> tfd.Independent:
        """q(z|x) of images `[B, H, W, C]`, float32, event shape `[latent_size]`.

        Raises:
          ValueError: If the images are not floats, or of another shape.
          tf.errors.InvalidArgumentError: If they are out of the range of the likelihood.
        """

    def top_posterior(self, x: TensorLike) -> tfd.Independent:
        """The part of q that depends on `x` alone, to go with `prior`; all of it by default."""
        return self.encode(x)

    @abstractmethod
    def decode_params(self, z: tf.Tensor) -> tf.Tensor:
        """Raw output of the decoder `[B, H, W, P]` for latents `[B, latent_size]`."""

    @abstractmethod
    def sample_prior(self, noise_ids: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
        """Draws `z` `[n, latent_size]` from the prior, each row by its id, uint32 `[n, 2]`.

        Args:
          noise_ids: uint32 `[n, 2]`.
          temperature: Factor on the scales of the prior.
        """

    # -- what follows from it

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

        Returns:
          Triple `(likelihood, image, z)`: the distribution p(x|z), whose `mean()` is the clean
          sample; `image` `[n, H, W, C]` drawn from it, with the decoder's noise; `z`.
        """
        require_temperature(temperature)
        z = self.sample_prior(noise.row_ids(num_samples, seed), temperature)
        likelihood = self.decode(z)
        return likelihood, likelihood.sample(seed=[seed, 1]), z
