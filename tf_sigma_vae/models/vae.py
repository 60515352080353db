"""`vae`: one flat latent, a diagonal Gaussian posterior, a standard Gaussian prior.

    elbo = E_q[log p(x|z)] - KL(q(z|x) || p(z)),    one sample of z by reparametrization.

Source: Kingma & Welling 2014; Rybkin et al. 2021, Eq. 3.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import networks, noise
from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.models._latent_variable_model import (
    Check,
    LatentVariableModel,
    unchecked,
)
from tf_sigma_vae.models._output import Inference


# Files hold the name under which the class is registered.
@keras.saving.register_keras_serializable("tf_sigma_vae", "Vae")
class VAE(LatentVariableModel):
    """Variational autoencoder with a calibrated decoder.

    All weights exist after construction.
    """

    LATENT = "flat"

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_size: int = 20,
        likelihood: str | Likelihood = "gaussian_shared",
        network: str | Sequence[keras.layers.Layer] = "conv28",
        network_options: dict | None = None,
        **kwargs: Any,
    ) -> None:
        """Builds the model.

        Args:
          image_shape: `(H, W, C)`.
          latent_size: Size of the latent vector.
          likelihood: Name of a likelihood plug-in, or an instance of `Likelihood`.
          network: Name of a network plug-in, or a pair `(encoder, decoder)` of Keras layers: the
            encoder to `[B, 2 * latent_size]`, the decoder to `[B, H, W, P]` with
            `P = likelihood.params_channels(C)`.
          network_options: Options of the network plug-in (for example `{"width": 64}`).
          **kwargs: Of `LatentVariableModel` (`beta`, `rate_warmup_steps`, `free_bits`, `seed`,
            `check_finite`, `gradient_accumulation_steps`) and of `keras.Model` (`dtype`, `name`).

        Raises:
          ValueError: On an impossible shape or size, or an unknown name or option.
        """
        super().__init__(image_shape, latent_size, likelihood, network, network_options, **kwargs)
        self.encoder, self.decoder = self.networks_given(network, ("encoder", "decoder"))
        self.build((None, *self.image_shape))
        if self.network == "custom":
            self._require_widths()

    def _require_widths(self) -> None:
        """Checks layers of one's own.

        Raises:
          ValueError: Naming the one whose output has another shape than it must have.
        """
        channels = self.likelihood.params_channels(self.image_shape[-1])
        wanted = (
            ("encoder", self.encoder, self.image_shape, (2 * self.latent_size,)),
            ("decoder", self.decoder, (self.latent_size,), (*self.image_shape[:-1], channels)),
        )
        for name, layer, given, needed in wanted:
            # Not by compute_output_shape, which many layers of one's own do not have.
            found = layer(tf.zeros((1, *given))).shape
            if found != (1, *needed):
                raise ValueError(
                    f"the {name} must give {('B', *needed)} of {('B', *given)}, for latent_size "
                    f"{self.latent_size} and {type(self.likelihood).__name__}; this one gives "
                    f"{('B', *found[1:])}"
                )

    @classmethod
    def make_networks(
        cls,
        image_shape: Sequence[int],
        latent_size: int,
        params_channels: int,
        network: str,
        network_options: dict[str, Any],
        dtype: keras.DTypePolicy | None = None,
    ) -> tuple[keras.layers.Layer, keras.layers.Layer]:
        """See `LatentVariableModel.make_networks`."""
        encoder, decoder = networks.find(network, cls.LATENT, network_options)
        options = {"dtype": dtype, **network_options}
        return (
            encoder(image_shape, 2 * latent_size, name="encoder", **options),
            decoder(image_shape, latent_size, params_channels, name="decoder", **options),
        )

    @property
    def networks(self) -> tuple[keras.layers.Layer, keras.layers.Layer]:
        """`(encoder, decoder)`."""
        return self.encoder, self.decoder

    def encode(self, x: TensorLike) -> tfd.Independent:
        """See `LatentVariableModel.encode`."""
        self.check_images(x)
        outputs = tf.cast(self.encoder(x), tf.float32)
        loc, log_scale = tf.split(outputs, 2, axis=-1)
        return tfd.Independent(tfd.Normal(loc, tf.exp(log_scale)), reinterpreted_batch_ndims=1)

    def infer(self, x: TensorLike, noise_ids: tf.Tensor, check: Check = unchecked) -> Inference:
        """See `LatentVariableModel.infer`."""
        posterior = self.encode(x)
        loc = check(posterior.distribution.loc, "posterior loc")
        scale = check(posterior.distribution.scale, "posterior scale")
        z = loc + scale * noise.normal(noise_ids, [self.latent_size])
        return Inference(
            posterior=posterior,
            z=z,
            params=self.decoder(z),
            rate_groups=tfd.kl_divergence(posterior.distribution, self.prior.distribution),
        )

    def decode_params(self, z: tf.Tensor) -> tf.Tensor:
        """See `LatentVariableModel.decode_params`."""
        return self.decoder(z)

    def sample_prior(self, noise_ids: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
        """See `LatentVariableModel.sample_prior`."""
        return temperature * noise.normal(noise_ids, [self.latent_size])

    def log_importance_weights(
        self, x: TensorLike, num_samples: int, first_sample: int | tf.Tensor = 0
    ) -> tf.Tensor:
        """See `LatentVariableModel.log_importance_weights`; decodes `K * B` latents at once."""
        x = tf.convert_to_tensor(x)
        posterior = self.encode(x)
        ids = tf.reshape(self.sample_noise_ids(x, num_samples, first_sample), [-1, 2])
        draws = noise.normal(ids, [self.latent_size])
        draws = tf.reshape(draws, [num_samples, -1, self.latent_size])
        z = posterior.distribution.loc + posterior.distribution.scale * draws
        flat = tf.reshape(z, [-1, self.latent_size])
        tiled = tf.tile(tf.cast(x, tf.float32), [num_samples] + [1] * len(self.image_shape))
        log_likelihood = tf.reshape(self.decode(flat).log_prob(tiled), [num_samples, -1])
        return log_likelihood + self.prior.log_prob(z) - posterior.log_prob(z)
