"""`vae`: one flat latent, a diagonal Gaussian posterior, a standard Gaussian prior.

    elbo = E_q[log p(x|z)] - KL(q(z|x) || p(z)),    one sample of z by reparametrization.

Source: Kingma & Welling 2014; Rybkin et al. 2021, Eq. 3.
"""

import numbers

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae import noise, plugins
from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.models._base import LatentVariableModel
from tf_sigma_vae.models._output import Output

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tf_sigma_vae")
class Vae(LatentVariableModel):
    """Variational autoencoder with a calibrated decoder.

    `model(x)` gives an `Output` of `tfd` distributions and per-example nats; so do `encode` and
    `decode`. All weights exist after construction.
    """

    def __init__(
        self,
        image_shape,
        latent_size: int = 20,
        likelihood: str | Likelihood = "gaussian_shared",
        network="conv28",
        network_options: dict | None = None,
        **kwargs,
    ):
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
        super().__init__(**kwargs)
        self.image_shape = tuple(int(size) for size in image_shape)
        if len(self.image_shape) != 3 or min(self.image_shape) < 1:
            raise ValueError(f"image_shape must be (H, W, C), got {tuple(image_shape)}")
        if not isinstance(latent_size, numbers.Integral) or latent_size < 1:
            raise ValueError(f"latent_size must be a whole number from 1, got {latent_size!r}")
        self.latent_size = int(latent_size)
        if isinstance(likelihood, str):
            likelihood = plugins.find("likelihoods", likelihood)()
        if not isinstance(likelihood, Likelihood):
            raise ValueError(f"likelihood must be a name or a Likelihood, got {likelihood!r}")
        self.likelihood = likelihood
        self.network = network if isinstance(network, str) else "custom"
        self.network_options = dict(network_options or {})
        self.encoder, self.decoder = self._networks(network)
        self.build((None, *self.image_shape))

    def _networks(self, network):
        """The encoder and decoder, given by name or as layers."""
        if not isinstance(network, str):
            return tuple(network)
        module = plugins.find_module("networks", network)
        for cls in (module.Encoder, module.Decoder):
            plugins.check_options(cls, self.network_options, f"network {network!r}")
        channels = self.likelihood.params_channels(self.image_shape[-1])
        options = {"dtype": self.dtype_policy, **self.network_options}
        encoder = module.Encoder(self.image_shape, 2 * self.latent_size, name="encoder", **options)
        decoder = module.Decoder(
            self.image_shape, self.latent_size, channels, name="decoder", **options
        )
        return encoder, decoder

    def build(self, input_shape):
        """Creates the weights of encoder, decoder and likelihood."""
        for layer, shape in (
            (self.encoder, (None, *self.image_shape)),
            (self.decoder, (None, self.latent_size)),
        ):
            if not layer.built:
                layer.build(shape)
        channels = self.likelihood.params_channels(self.image_shape[-1])
        self.likelihood.ensure_built((None, *self.image_shape[:-1], channels))
        self.built = True

    @property
    def prior(self) -> tfd.Independent:
        """p(z): standard Gaussian, event shape `[latent_size]`."""
        zeros = tf.zeros([self.latent_size])
        return tfd.Independent(tfd.Normal(zeros, 1.0), reinterpreted_batch_ndims=1)

    def encode(self, x) -> tfd.Independent:
        """The posterior q(z|x) of images `[B, H, W, C]`, event shape `[latent_size]`, float32.

        Raises:
          ValueError: If the images are not floats, or of another shape.
          tf.errors.InvalidArgumentError: If they are out of the range of the likelihood.
        """
        self.check_images(x)
        outputs = tf.cast(self.encoder(x), tf.float32)
        loc, log_scale = tf.split(outputs, 2, axis=-1)
        return tfd.Independent(tfd.Normal(loc, tf.exp(log_scale)), reinterpreted_batch_ndims=1)

    def decode(self, z) -> tfd.Distribution:
        """The likelihood p(x|z) of latents `[B, latent_size]`, with the stored scale."""
        return self.likelihood.distribution(self.decoder(z))

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
        """See `LatentVariableModel.score`."""
        check = self.finite if training else (lambda tensor, name: tensor)
        # The exact values, before the policy of the networks rounds them.
        x = tf.convert_to_tensor(x)
        posterior = self.encode(x)
        loc = check(posterior.distribution.loc, "posterior loc")
        scale = check(posterior.distribution.scale, "posterior scale")
        z = loc + scale * noise.normal(noise_ids, [self.latent_size])
        params = check(self.decoder(z), "decoder output (params)")
        likelihood = self.likelihood.distribution(params, x, training)
        rate_groups = tfd.kl_divergence(posterior.distribution, self.prior.distribution)
        rate = check(tf.reduce_sum(rate_groups, axis=-1), "rate")
        distortion = -likelihood.log_prob(tf.cast(x, tf.float32))
        return Output(
            posterior=posterior,
            likelihood=likelihood,
            z=z,
            params=params,
            rate=rate,
            rate_groups=rate_groups,
            distortion=check(distortion, "distortion"),
        )

    def sample_prior(self, noise_ids, temperature: float = 1.0) -> tf.Tensor:
        """Draws `z` `[n, latent_size]` from the prior, each row by its id, uint32 `[n, 2]`."""
        return temperature * noise.normal(noise_ids, [self.latent_size])

    def sample(self, num_samples: int, seed: int = 0, temperature: float = 1.0):
        """Draws from the prior.

        Args:
          num_samples: Number of images `n`.
          seed: Same seed, same samples; the first do not depend on `n`.
          temperature: Factor on the scale of the prior.

        Returns:
          Triple `(likelihood, image, z)`: the distribution p(x|z), whose `mean()` is the clean
          sample; `image` `[n, H, W, C]` drawn from it, with the decoder's noise; `z`.
        """
        z = self.sample_prior(noise.row_ids(num_samples, seed), temperature)
        likelihood = self.decode(z)
        return likelihood, likelihood.sample(seed=[seed, 1]), z

    def log_importance_weights(self, x, num_samples: int, first_sample=0) -> tf.Tensor:
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

    @tf.function(reduce_retracing=True)
    def _calibration_statistic(self, x):
        posterior = self.encode(x).distribution
        draws = noise.normal(self.posterior_noise_ids(x, False), [self.latent_size])
        params = self.decoder(posterior.loc + posterior.scale * draws)
        return self.likelihood.calibration_statistic(params, x)

    def get_config(self):
        """Constructor arguments, for `from_config`."""
        network = self.network
        if network == "custom":
            network = [
                keras.saving.serialize_keras_object(layer) for layer in (self.encoder, self.decoder)
            ]
        names = ("image_shape", "latent_size", "network_options", "beta", "rate_warmup_steps")
        names += ("free_bits", "seed", "check_finite")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "network": network,
            "likelihood": keras.saving.serialize_keras_object(self.likelihood),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Inverse of `get_config`."""
        config = dict(config)
        restore = keras.saving.deserialize_keras_object
        config["likelihood"] = restore(config["likelihood"], custom_objects=custom_objects)
        if not isinstance(config["network"], str):
            config["network"] = [
                restore(layer, custom_objects=custom_objects) for layer in config["network"]
            ]
        return cls(**config)
