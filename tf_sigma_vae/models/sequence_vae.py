"""`sequence_vae`: a latent for each frame of a video, its prior learned from the frames before.

The first `context_frames` c of a clip `[T, H, W, C]` are given, the others T' = T - c predicted:

    elbo = sum_{t >= c} E_q[log p(x_t | z_<=t, x_<t)] - KL(q(z_t | x_<=t) || p(z_t | x_<t)),

with one draw of each z_t. Nothing is owed for what is given: there z_t is the mean of q, a function
of the context, and neither distortion nor rate is counted. With e_t the encoded frame t,

    q(z_t | x_<=t): an LSTM over e_0 ... e_t,            p(z_t | x_<t): an LSTM over e_0 ... e_{t-1}
                                                         (or N(0, I), `prior="fixed"`),
    x_t: the decoder of g_t, and of the skips of frame c - 1; g_t: LSTMs over (e_{t-1}, z_t).

Training and `model(x)` see the true frames before each (teacher forcing), in a few calls for all of
them; `rollout` sees its own.

Denton & Fergus 2018, and their published code, count the frames from the second on, the given ones
too, draw z there, and leave the first one out of q.

Source: Denton & Fergus 2018, "Stochastic Video Generation with a Learned Prior" (SVG-LP, SVG-FP);
Rybkin et al. 2021, Sec. 5.1 for its calibrated decoders.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import ArrayLike
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import networks
from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.models import _clip_signatures
from tf_sigma_vae.models._base import LatentVariableModel
from tf_sigma_vae.models._clips import check_options, frame_noise, require_clips
from tf_sigma_vae.models._latent import Check
from tf_sigma_vae.models._output import Inference, Output
from tf_sigma_vae.models._recurrent import StackedLstm
from tf_sigma_vae.models._rollouts import Rollouts
from tf_sigma_vae.models._signatures import Function

PREDICTOR_LAYERS = 2


@keras.saving.register_keras_serializable("tf_sigma_vae")
class SequenceVae(Rollouts, LatentVariableModel):
    """Stochastic video prediction with a calibrated decoder.

    `model(x)` takes clips `[B, T, H, W, C]`, T above `context_frames`. Its `Output` is of the T'
    predicted frames: `posterior` has the event shape `[T', latent_size]`, as `z` has after the
    batch; `likelihood` has `[T', H, W, C]`, `params` are `[B, T', H, W, P]`, `rate_groups`
    `[B, T']`, the rates of the frames. `image_shape` is that of a frame.
    """

    LATENT, NETWORKS = "sequence", ("frame_encoder", "frame_decoder")
    of_videos = True

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_size: int = 64,
        likelihood: str | Likelihood = "gaussian_shared",
        network: str | Sequence[keras.layers.Layer] = "dcgan64",
        network_options: dict | None = None,
        context_frames: int = 2,
        feature_size: int = 128,
        lstm_units: int = 256,
        prior: str = "learned",
        scale_over: str = "clip",
        **kwargs: Any,
    ) -> None:
        """Builds the model.

        Args:
          image_shape: `(H, W, C)` of a frame.
          latent_size: Size of the latent of a frame.
          likelihood: Name of a likelihood plug-in, or an instance of `Likelihood`.
          network: Name of a network plug-in for sequences, or a pair `(frame_encoder,
            frame_decoder)` of Keras layers that offer what those of `dcgan64` do.
          network_options: Options of the network plug-in.
          context_frames: Frames that are given, from 1; the skips are those of the last of them.
          feature_size: Numbers that a frame is encoded to.
          lstm_units: Of each LSTM.
          prior: `"learned"`, of the frames before (SVG-LP), or `"fixed"`, N(0, I) (SVG-FP).
          scale_over: What the likelihood takes for one example, over which an analytic scale "per
            image" is computed: `"clip"`, all predicted frames, or `"frame"`. A scale of the batch
            is over all clips and predicted frames, whichever is chosen.
          **kwargs: Of `LatentVariableModel` and of `keras.Model` (`dtype`, `name`).

        Raises:
          ValueError: On an impossible shape, size or number, or an unknown name or option.
        """
        super().__init__(**kwargs)
        check_options(context_frames, feature_size, lstm_units, prior, scale_over)
        self.context_frames, self.feature_size = context_frames, feature_size
        self.lstm_units, self.prior_kind, self.scale_over = lstm_units, prior, scale_over
        own = {"feature_size": feature_size}
        self.set_parts(image_shape, latent_size, likelihood, network, network_options, **own)

    @classmethod
    def make_networks(
        cls,
        image_shape: Sequence[int],
        latent_size: int,
        params_channels: int,
        network: str,
        network_options: dict[str, Any],
        dtype: keras.DTypePolicy | None = None,
        context_frames: int = 2,
        feature_size: int = 128,
        lstm_units: int = 256,
        prior: str = "learned",
        scale_over: str = "clip",
    ) -> tuple[keras.layers.Layer, keras.layers.Layer]:
        """See `WithNetworks.make_networks`."""
        check_options(context_frames, feature_size, lstm_units, prior, scale_over)
        encoder, decoder = networks.find(network, cls.LATENT, network_options)
        options = {"dtype": dtype, **network_options}
        return (
            encoder(image_shape, feature_size, name="frame_encoder", **options),
            decoder(image_shape, feature_size, params_channels, name="frame_decoder", **options),
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights, and the metric of a frame."""
        units, policy = self.lstm_units, self.dtype_policy
        gaussian = 2 * self.top_size
        self.posterior_lstm = StackedLstm(gaussian, units, dtype=policy, name="posterior_lstm")
        self.predictor = StackedLstm(
            self.feature_size, units, PREDICTOR_LAYERS, dtype=policy, name="predictor"
        )
        self.posterior_lstm.build((None, None, self.feature_size))
        self.predictor.build((None, None, self.feature_size + self.top_size))
        self.prior_lstm = None
        if self.prior_kind == "learned":
            self.prior_lstm = StackedLstm(gaussian, units, dtype=policy, name="prior_lstm")
            self.prior_lstm.build((None, None, self.feature_size))
        for layer, shape in zip(
            self.networks, (self.image_shape, (self.feature_size,)), strict=True
        ):
            if not layer.built:
                layer.build((None, *shape))
        channels = self.likelihood.params_channels(self.image_shape[-1])
        self.likelihood.ensure_built((None, None, *self.image_shape[:-1], channels))
        self._trackers["elbo_per_frame"] = keras.metrics.Mean(name="elbo_per_frame")
        self.built = True

    # -- clips

    def check_images(self, x: TensorLike) -> None:
        """Checks clips; see `LatentVariableModel.check_images`."""
        require_clips(x, self.image_shape, self.context_frames)
        self.check_frames(x)

    def check_frames(self, x: TensorLike) -> None:
        """Checks type and values of `[B, T, H, W, C]`, whatever T is."""
        super().check_images(self.rows(tf.convert_to_tensor(x)))

    def group_metrics(self, output: Output) -> dict[str, tf.Tensor]:
        """`elbo_per_frame`, nats: of a predicted frame, so that lengths can be compared."""
        num_frames = tf.cast(tf.shape(output.rate_groups)[1], tf.float32)
        return {"elbo_per_frame": -(output.distortion + output.rate) / num_frames}

    # -- latents

    def encode(self, x: TensorLike) -> tfd.Independent:
        """q(z_t | x_<=t) of all frames, float32, event shape `[T, latent_size]`.

        Raises:
          ValueError: If the clips are not floats, of another shape or too short.
          tf.errors.InvalidArgumentError: If they are out of the range of the likelihood.
        """
        return self.posteriors_and_priors(x)[0]

    def priors(self, x: TensorLike) -> tfd.Independent:
        """p(z_t | x_<t) of all frames, float32, event shape `[T, latent_size]`; first N(0, I).

        Raises:
          As `encode`.
        """
        return self.posteriors_and_priors(x)[1]

    def posteriors_and_priors(self, x: TensorLike) -> tuple[tfd.Independent, tfd.Independent]:
        """Those of `encode` and of `priors`, the frames encoded once.

        Raises:
          As `encode`.
        """
        self.check_images(x)
        features, _ = self.encoded_frames(x)
        posterior = self.gaussian(self.posterior_lstm(features)[0])
        return tfd.Independent(posterior, 2), tfd.Independent(self._prior(features), 2)

    @staticmethod
    def gaussian(outputs: tf.Tensor) -> tfd.Normal:
        """The Gaussian of `[..., 2 * latent_size]` outputs."""
        loc, log_scale = tf.split(tf.cast(outputs, tf.float32), 2, axis=-1)
        return tfd.Normal(loc, tf.exp(log_scale))

    def _prior(self, features: tf.Tensor) -> tfd.Normal:
        """p(z_t | x_<t) of all frames, of their features `[B, T, feature_size]`."""
        shape = [tf.shape(features)[0], features.shape[1] or tf.shape(features)[1], self.top_size]
        if self.prior_lstm is None:
            return tfd.Normal(tf.zeros(shape), tf.ones(shape))
        outputs, _ = self.prior_lstm(features[:, :-1])
        # Zeros of both: a standard Gaussian.
        return self.gaussian(tf.pad(tf.cast(outputs, tf.float32), [[0, 0], [1, 0], [0, 0]]))

    def encoded_frames(self, x: TensorLike) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Features `[B, T, feature_size]` of all frames, and the skips of the last context frame.

        Args:
          x: `[B, T, H, W, C]`, T at least `context_frames`.
        """
        x = tf.convert_to_tensor(x)
        num_frames = x.shape[1] or tf.shape(x)[1]
        features, skips = self.frame_encoder(tf.reshape(x, [-1, *self.image_shape]))
        features = tf.reshape(features, [-1, num_frames, self.feature_size])
        maps = [tf.reshape(skip, [-1, num_frames, *skip.shape[1:]]) for skip in skips]
        return features, [skip[:, self.context_frames - 1] for skip in maps]

    # -- what the model computes

    def infer(
        self, x: TensorLike, noise_ids: tf.Tensor, check: Check = lambda tensor, name: tensor
    ) -> Inference:
        """See `LatentStructure.infer`."""
        self.check_images(x)
        features, skips = self.encoded_frames(x)
        given, q, p = self._conditionals(features, check)
        z = q.loc + q.scale * frame_noise(noise_ids, tf.shape(q.loc)[1], self.top_size)
        rates = tf.reduce_sum(tfd.kl_divergence(q, p), axis=-1)
        return Inference(
            posterior=tfd.Independent(q, reinterpreted_batch_ndims=2),
            z=z,
            params=self._decoded(features, skips, given, z[:, tf.newaxis])[:, 0],
            rate_groups=rates,
        )

    def _conditionals(
        self, features: tf.Tensor, check: Check
    ) -> tuple[tf.Tensor, tfd.Normal, tfd.Normal]:
        """Latents of the context `[B, c, Z]`, and q and p of the predicted frames `[B, T', Z]`."""
        everything = self.gaussian(self.posterior_lstm(features)[0])
        prior, c = self._prior(features), self.context_frames
        found: list[tfd.Normal] = []
        for name, each in (("posterior", everything), ("prior", prior)):
            loc = check(each.loc[:, c:], f"{name} loc")
            found.append(tfd.Normal(loc, check(each.scale[:, c:], f"{name} scale")))
        q, p = found
        return everything.loc[:, :c], q, p

    def _decoded(
        self, features: tf.Tensor, skips: Sequence[tf.Tensor], given: tf.Tensor, z: tf.Tensor
    ) -> tf.Tensor:
        """Parameters of the predicted frames, each after the true ones before it.

        Args:
          features: `[B, T, feature_size]`, of which the last is not looked at.
          skips: `[B, h, w, c]` each.
          given: `[B, c, Z]`, latents of the context.
          z: `[B, S, T', Z]`, latents of the predicted frames; S of them for each clip.

        Returns:
          `[B, S, T', H, W, P]`.
        """
        copies, num_frames = z.shape[1] or tf.shape(z)[1], z.shape[2] or tf.shape(z)[2]
        before = tf.repeat(given[:, 1:], copies, axis=0)
        latents = tf.concat([before, tf.reshape(z, [-1, num_frames, self.top_size])], axis=1)
        inputs = [tf.repeat(features[:, :-1], copies, axis=0), tf.cast(latents, features.dtype)]
        outputs, _ = self.predictor(tf.concat(inputs, axis=-1))
        rows = self.rows(tf.tanh(outputs[:, self.context_frames - 1 :]))
        params = self.frame_decoder(rows, skips)
        return tf.reshape(params, [-1, copies, num_frames, *params.shape[1:]])

    def log_importance_weights(
        self, x: TensorLike, num_samples: int, first_sample: int | tf.Tensor = 0
    ) -> tf.Tensor:
        """See `LatentStructure.log_importance_weights`; decodes `K * B * T'` frames at once."""
        x = tf.convert_to_tensor(x)
        self.check_images(x)
        features, skips = self.encoded_frames(x)
        given, q, p = self._conditionals(features, lambda tensor, name: tensor)
        ids = tf.transpose(self.sample_noise_ids(x, num_samples, first_sample), [1, 0, 2])
        draws = frame_noise(tf.reshape(ids, [-1, 2]), tf.shape(q.loc)[1], self.top_size)
        draws = tf.reshape(draws, [-1, num_samples, *draws.shape[1:]])
        # [B, K, T', Z]
        q, p = (tfd.Normal(d.loc[:, tf.newaxis], d.scale[:, tf.newaxis]) for d in (q, p))
        z = q.loc + q.scale * draws
        params = self.rows(self._decoded(features, skips, given, z))
        targets = tf.repeat(tf.cast(self.targets(x), tf.float32), num_samples, axis=0)
        log_likelihood = tf.reshape(self.likelihood_of(params).log_prob(targets), [-1, num_samples])
        log_ratio = tf.reduce_sum(p.log_prob(z) - q.log_prob(z), axis=[2, 3])
        return tf.transpose(log_likelihood + log_ratio)

    # -- files

    def signatures(
        self,
        validation_scores: ArrayLike | None = None,
        num_frames: int = _clip_signatures.NUM_FRAMES,
        validation_frames: int | None = None,
    ) -> dict[str, Function]:
        """The functions of an exported model, by name; see `_clip_signatures.ClipSignatures`.

        Args:
          validation_scores: `[n]`, anomaly scores (negative elbo, nats) of clips that the model has
            not been trained on; None leaves the p-value of `anomaly` out.
          num_frames: Of a rollout of `predict`, beyond the context.
          validation_frames: Of the clips of the scores; see there.

        Raises:
          NotCalibratedError: If an analytic likelihood holds no scale.
          ValueError: If there is no frame, or the scores are no finite numbers.
        """
        given = (num_frames, validation_scores, validation_frames)
        return _clip_signatures.ClipSignatures(self, *given).functions()

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("context_frames", "feature_size", "lstm_units", "scale_over")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own, "prior": self.prior_kind}
