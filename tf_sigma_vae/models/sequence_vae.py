"""`sequence_vae`: a latent for each frame of a video, its prior learned from the frames before.

The first `context_frames` c of a clip `[T, H, W, C]` are given, the others T' = T - c predicted:

    elbo = sum_{t >= c} E_q[log p(x_t | z_<=t, x_<t)] - KL(q(z_t | x_<=t) || p(z_t | x_<t)),

with one draw of each z_t. Nothing is owed for what is given: there z_t is the mean of q, a function
of the context, and neither distortion nor rate is counted. With e_t the encoded frame t,

    q(z_t | x_<=t): an LSTM over e_0 ... e_t,            p(z_t | x_<t): an LSTM over e_0 ... e_{t-1}
                                                         (or N(0, I), `prior="fixed"`),
    x_t: the decoder of g_t, and of the skips of frame c - 1; g_t: LSTMs over (e_{t-1}, z_t).

Training and `model(x)` see the true frames before each (teacher forcing), in a few calls for all of
them; `rollout` sees its own, in one loop, a frame an iteration, whose graph does not grow with the
number of frames.

Denton & Fergus 2018, and their published code, count the frames from the second on, the given ones
too, draw z there, and leave the first one out of q.

Source: Denton & Fergus 2018, "Stochastic Video Generation with a Learned Prior" (SVG-LP, SVG-FP);
Rybkin et al. 2021, Sec. 5.1 for its calibrated decoders.
"""

import numbers
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import ArrayLike
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import networks, noise
from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.models import _clip_signatures
from tf_sigma_vae.models._clip_likelihood import ClipLikelihood, as_rows
from tf_sigma_vae.models._latent_variable_model import (
    Check,
    LatentVariableModel,
    require_temperature,
    unchecked,
)
from tf_sigma_vae.models._output import Inference, Output
from tf_sigma_vae.models._own_objective import Tracker
from tf_sigma_vae.models._recurrent import StackedLstm, State
from tf_sigma_vae.models._signatures import Function

PRIORS = ("learned", "fixed")
SCALES_OVER = ("clip", "frame")
PREDICTOR_LAYERS = 2

_FRAMES = 2
"""Stream of the noise of frames, beside those of `noise.fold`'s other callers."""


# Files hold the name under which the class is registered.
@keras.saving.register_keras_serializable("tf_sigma_vae", "SequenceVae")
class SequenceVAE(LatentVariableModel):
    """Stochastic video prediction with a calibrated decoder.

    `model(x)` takes clips `[B, T, H, W, C]`, T above `context_frames`. Its `Output` is of the T'
    predicted frames: `posterior` has the event shape `[T', latent_size]`, as `z` has after the
    batch; `likelihood` has `[T', H, W, C]`, `params` are `[B, T', H, W, P]`, `rate_groups`
    `[B, T']`, the rates of the frames. `image_shape` is that of a frame.
    """

    LATENT = "sequence"
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
        super().__init__(image_shape, latent_size, likelihood, network, network_options, **kwargs)
        check_options(context_frames, feature_size, lstm_units, prior, scale_over)
        self.context_frames, self.feature_size = context_frames, feature_size
        self.lstm_units, self.prior_kind, self.scale_over = lstm_units, prior, scale_over
        self._clip_likelihood = ClipLikelihood(self.likelihood, self.image_shape, scale_over)
        self.frame_encoder, self.frame_decoder = self.networks_given(
            network, ("frame_encoder", "frame_decoder"), feature_size=feature_size
        )
        self.build((None, *self.image_shape))

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
        """See `LatentVariableModel.make_networks`."""
        check_options(context_frames, feature_size, lstm_units, prior, scale_over)
        encoder, decoder = networks.find(network, cls.LATENT, network_options)
        options = {"dtype": dtype, **network_options}
        return (
            encoder(image_shape, feature_size, name="frame_encoder", **options),
            decoder(image_shape, feature_size, params_channels, name="frame_decoder", **options),
        )

    @property
    def networks(self) -> tuple[keras.layers.Layer, keras.layers.Layer]:
        """`(frame_encoder, frame_decoder)`."""
        return self.frame_encoder, self.frame_decoder

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
        self._trackers["elbo_per_frame"] = Tracker("elbo_per_frame", "max")
        self.track_penalties()
        self.built = True

    # -- clips

    def check_images(self, x: TensorLike) -> None:
        """Checks clips; see `LatentVariableModel.check_images`."""
        require_clips(x, self.image_shape, self.context_frames)
        self.check_frames(x)

    def check_frames(self, x: TensorLike) -> None:
        """Checks type and values of `[B, T, H, W, C]`, whatever T is."""
        super().check_images(as_rows(tf.convert_to_tensor(x)))

    @property
    def target_likelihood(self) -> ClipLikelihood:
        """The likelihood of the predicted frames of a clip."""
        return self._clip_likelihood

    def targets(self, x: TensorLike) -> tf.Tensor:
        """The predicted frames `[B, T', H, W, C]`."""
        return tf.convert_to_tensor(x)[:, self.context_frames :]

    def num_dims(self, x: TensorLike) -> int | tf.Tensor:
        """`T' H W C`; an integer where T is known, else a float32 scalar."""
        num_frames = x.shape[1] or tf.shape(x)[1]
        return self._clip_likelihood.num_dims(num_frames - self.context_frames)

    def frame_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        """The likelihood of single frames of `params` `[N, H, W, P]`, with the stored scale."""
        return self._clip_likelihood.frame_distribution(params)

    def mean_frames(self, params: tf.Tensor) -> tf.Tensor:
        """Means of single frames, `[..., H, W, C]`, of `params` `[..., H, W, P]`."""
        return self._clip_likelihood.mean_frames(params)

    def frame_distortions(self, output: Output, x: TensorLike) -> tf.Tensor:
        """Distortion of each predicted frame, `[B, T']`, nats, with the stored scale.

        Their sum is the distortion but for a scale that is integrated out over a whole clip, under
        which frames are not independent.
        """
        targets = tf.cast(self.targets(x), tf.float32)
        log_prob = self.frame_distribution(as_rows(output.params)).log_prob(as_rows(targets))
        return -tf.reshape(log_prob, tf.shape(output.rate_groups))

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

    def infer(self, x: TensorLike, noise_ids: tf.Tensor, check: Check = unchecked) -> Inference:
        """See `LatentVariableModel.infer`."""
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
        inputs = as_rows(tf.tanh(outputs[:, self.context_frames - 1 :]))
        params = self.frame_decoder(inputs, skips)
        return tf.reshape(params, [-1, copies, num_frames, *params.shape[1:]])

    def log_importance_weights(
        self, x: TensorLike, num_samples: int, first_sample: int | tf.Tensor = 0
    ) -> tf.Tensor:
        """See `LatentVariableModel.log_importance_weights`; decodes `K * B * T'` frames at once."""
        x = tf.convert_to_tensor(x)
        self.check_images(x)
        features, skips = self.encoded_frames(x)
        given, q, p = self._conditionals(features, unchecked)
        ids = tf.transpose(self.sample_noise_ids(x, num_samples, first_sample), [1, 0, 2])
        draws = frame_noise(tf.reshape(ids, [-1, 2]), tf.shape(q.loc)[1], self.top_size)
        draws = tf.reshape(draws, [-1, num_samples, *draws.shape[1:]])
        # [B, K, T', Z]
        q, p = (tfd.Normal(d.loc[:, tf.newaxis], d.scale[:, tf.newaxis]) for d in (q, p))
        z = q.loc + q.scale * draws
        params = as_rows(self._decoded(features, skips, given, z))
        targets = tf.repeat(tf.cast(self.targets(x), tf.float32), num_samples, axis=0)
        log_likelihood = tf.reshape(
            self._clip_likelihood.distribution(params).log_prob(targets), [-1, num_samples]
        )
        log_ratio = tf.reduce_sum(p.log_prob(z) - q.log_prob(z), axis=[2, 3])
        return tf.transpose(log_likelihood + log_ratio)

    def decode_params(self, z: tf.Tensor) -> tf.Tensor:
        """A latent alone makes no frame.

        Raises:
          NotImplementedError: Always; see `generate`.
        """
        raise NotImplementedError("frames depend on those before them: use rollout or generate")

    def sample_prior(self, noise_ids: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
        """The prior of a frame depends on the frames before it.

        Raises:
          NotImplementedError: Always; see `generate`.
        """
        raise NotImplementedError("a video goes on from given frames: use rollout or generate")

    # -- rollouts

    def rollout(
        self,
        context: TensorLike,
        num_frames: int,
        noise_ids: TensorLike,
        temperature: float | tf.Tensor = 1.0,
        latents: TensorLike | None = None,
        frames: TensorLike | None = None,
    ) -> tf.Tensor:
        """Goes on from context frames; each new mean frame is what the next one is made after.

        Args:
          context: `[B, context_frames, H, W, C]`, in the unit of the data.
          num_frames: `n`, frames to make.
          noise_ids: Ids of the draws from the prior, uint32 `[B, S, 2]`: S rollouts of each clip. A
            rollout depends on its context and ids alone, and a longer one begins as a shorter one.
          temperature: Factor on the scales of the prior; 0 for its means.
          latents: `[B, S, n, latent_size]`, taken instead of draws from the prior.
          frames: `[B, S, n, H, W, C]`, taken instead of the new mean frames for what follows them:
            with the true ones, and latents drawn from q, the output is that of `model(x)`.

        Returns:
          Raw output of the decoder, `[B, S, n, H, W, P]`: see `frame_distribution`.

        Raises:
          ValueError: On a context of another shape, or an impossible number or temperature.
          tf.errors.InvalidArgumentError: If a value is out of the range of the likelihood.

        Source: Denton & Fergus 2018, whose evaluation feeds mean frames back.
        """
        context = tf.convert_to_tensor(context)
        if not context.shape[1:].is_compatible_with((self.context_frames, *self.image_shape)):
            raise ValueError(
                f"context must have shape {('B', self.context_frames, *self.image_shape)}, got "
                f"{tuple(context.shape)}"
            )
        num_frames = _whole_number(num_frames)
        if not tf.is_tensor(temperature):
            require_temperature(temperature)
        temperature = tf.convert_to_tensor(temperature, tf.float32)
        return self._rollout(context, num_frames, noise_ids, temperature, latents, frames)

    def generate(
        self,
        context: TensorLike,
        num_frames: int,
        num_samples: int = 1,
        seed: int = 0,
        temperature: float | tf.Tensor = 1.0,
    ) -> tf.Tensor:
        """How videos may go on: mean frames `[B, num_samples, num_frames, H, W, C]`.

        Args:
          context: `[B, context_frames, H, W, C]`, in the unit of the data.
          num_frames: Frames to make.
          num_samples: Rollouts of each clip.
          seed: Same seed, same rollouts; the first ones and their first frames do not depend on
            how many there are.
          temperature: Factor on the scales of the prior; 0 for its means.

        Raises:
          As `rollout`.
        """
        noise_ids = self.rollout_noise_ids(context, num_samples, seed)
        return self.mean_frames(self.rollout(context, num_frames, noise_ids, temperature))

    def rollout_noise_ids(self, context: TensorLike, num_samples: int, seed: int = 0) -> tf.Tensor:
        """Ids for numbered rollouts of each clip, uint32 `[B, num_samples, 2]`; see `noise`.

        Args:
          context: `[B, context_frames, H, W, C]`.
          num_samples: S; the first do not depend on it.
          seed: Same seed, same rollouts.
        """
        ids = tf.repeat(noise.example_ids(context), num_samples, axis=0)
        steps = tf.tile(tf.range(num_samples), [tf.shape(context)[0]])
        return tf.reshape(noise.fold(ids, seed, steps), [-1, num_samples, 2])

    @tf.function(reduce_retracing=True)
    def _rollout(
        self,
        context: tf.Tensor,
        num_frames: int,
        noise_ids: tf.Tensor,
        temperature: tf.Tensor,
        latents: tf.Tensor | None,
        frames: tf.Tensor | None,
    ) -> tf.Tensor:
        copies = noise_ids.shape[1] or tf.shape(noise_ids)[1]
        # Clip by clip, as the decoder takes rows that share skips.
        features, skips, prior_state, state = self._warmed_up(context, copies)
        if latents is None:
            ids = tf.reshape(noise_ids, [-1, 2])
            draws = temperature * frame_noise(ids, num_frames, self.top_size)
        else:
            draws = tf.reshape(tf.cast(latents, tf.float32), [-1, num_frames, self.top_size])
        draws = tf.transpose(draws, [1, 0, 2])
        if frames is not None:
            frames = tf.reshape(frames, [-1, num_frames, *self.image_shape])

        def body(
            step: tf.Tensor,
            features: tf.Tensor,
            prior_state: State,
            state: State,
            made: tf.TensorArray,
        ) -> tuple[tf.Tensor, tf.Tensor, State, State, tf.TensorArray]:
            z = draws[step]
            if self.prior_lstm is not None:
                outputs, prior_state = self.prior_lstm.step(features, prior_state)
                prior = self.gaussian(outputs)
                z = z if latents is not None else prior.loc + prior.scale * z
            inputs = tf.concat([features, tf.cast(z, features.dtype)], axis=-1)
            outputs, state = self.predictor.step(inputs, state)
            params = self.frame_decoder(tf.tanh(outputs), skips)
            if frames is None:
                frame = self.frame_distribution(params).mean()
            else:
                frame = frames[:, step]
            features, _ = self.frame_encoder(frame)
            return step + 1, features, prior_state, state, made.write(step, params)

        made = tf.TensorArray(self.compute_dtype, num_frames)
        start = (tf.constant(0), features, prior_state, state, made)
        *_, made = tf.while_loop(
            lambda step, *_: step < num_frames, body, start, parallel_iterations=1
        )
        # [n, B * S, ...]
        params = tf.transpose(made.stack(), [1, 0, 2, 3, 4])
        return tf.reshape(params, [-1, copies, *params.shape[1:]])

    def _warmed_up(
        self, context: tf.Tensor, copies: int | tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor], State, State]:
        """What the loop starts from, after the context: features of its last frame and states.

        All but the skips, `[B, h, w, c]`, are for `copies` rollouts of each clip, `[B * S, ...]`.
        """
        self.check_frames(context)
        features, skips = self.encoded_frames(context)
        batch_size, before = tf.shape(features)[0], features[:, :-1]
        prior_state: State = ()
        state = self.predictor.start(batch_size)
        if self.prior_lstm is not None:
            prior_state = self.prior_lstm.start(batch_size)
        if self.context_frames > 1:
            given = self.gaussian(self.posterior_lstm(features)[0]).loc[:, 1:]
            inputs = tf.concat([before, tf.cast(given, features.dtype)], axis=-1)
            _, state = self.predictor(inputs)
            if self.prior_lstm is not None:
                _, prior_state = self.prior_lstm(before)
        last, prior_state, state = tf.nest.map_structure(
            lambda value: tf.repeat(value, copies, axis=0), (features[:, -1], prior_state, state)
        )
        return last, skips, prior_state, state

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


def check_options(
    context_frames: object,
    feature_size: object,
    lstm_units: object,
    prior: object,
    scale_over: object,
) -> None:
    """Checks the options of `SequenceVAE`.

    Raises:
      ValueError: Naming the option, its value and what is allowed.
    """
    sizes = {"context_frames": context_frames, "feature_size": feature_size}
    for name, value in {**sizes, "lstm_units": lstm_units}.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
    for name, value, allowed in (("prior", prior, PRIORS), ("scale_over", scale_over, SCALES_OVER)):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")


def require_clips(x: TensorLike, image_shape: tuple[int, ...], context_frames: int) -> None:
    """Checks the shape of a batch of clips.

    Args:
      x: `[B, T, H, W, C]`.
      image_shape: `(H, W, C)`.
      context_frames: Frames that are given; T must be larger.

    Raises:
      ValueError: On a wrong rank or size, when the graph is traced.
      tf.errors.InvalidArgumentError: On too short clips of a length unknown then, when it runs.
    """
    shape = tf.convert_to_tensor(x).shape
    if shape.rank != 5 or not shape[2:].is_compatible_with(image_shape):
        height, width, channels = image_shape
        raise ValueError(
            f"clips must have shape [B, T, {height}, {width}, {channels}], got {tuple(shape)}"
        )
    message = f"clips must be longer than the {context_frames} context frames"
    if shape[1] is None:
        tf.debugging.assert_greater(tf.shape(x)[1], context_frames, message)
    elif shape[1] <= context_frames:
        raise ValueError(f"{message}, got {shape[1]} frames")


def frame_noise(ids: tf.Tensor, num_frames: int | tf.Tensor, size: int) -> tf.Tensor:
    """Standard normal noise of frames, float32 `[R, num_frames, size]`.

    Args:
      ids: uint32 `[R, 2]`.
      num_frames: Frames, an integer or a scalar tensor; the first do not depend on it.
      size: Numbers for each frame.
    """
    rows = tf.repeat(ids, num_frames, axis=0)
    numbers = tf.tile(tf.range(num_frames), [tf.shape(ids)[0]])
    draws = noise.normal(noise.fold(rows, _FRAMES, numbers), [size])
    return tf.reshape(draws, [-1, num_frames, size])


def _whole_number(num_frames: object) -> int:
    if not isinstance(num_frames, numbers.Integral) or num_frames < 1:
        raise ValueError(f"num_frames must be a whole number from 1, got {num_frames!r}")
    return int(num_frames)
