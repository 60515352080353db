"""Videos that go on by themselves: a sequence model fed with the frames that it has made.

One loop, a frame an iteration, whose graph does not grow with the number of frames.
"""

import numbers

import tensorflow as tf
from tensorflow.types.experimental import TensorLike

from tf_sigma_vae import noise
from tf_sigma_vae.models._clip_likelihood import ClipLikelihood
from tf_sigma_vae.models._clips import frame_noise
from tf_sigma_vae.models._latent import require_temperature
from tf_sigma_vae.models._recurrent import State


class Rollouts(ClipLikelihood):
    """Base of a sequence model that rolls out."""

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
          noise_ids: Of the draws from the prior, uint32 `[B, S, 2]`: S rollouts of each clip. A
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
        prior_state, state = (), self.predictor.start(batch_size)
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


def _whole_number(num_frames: object) -> int:
    if not isinstance(num_frames, numbers.Integral) or num_frames < 1:
        raise ValueError(f"num_frames must be a whole number from 1, got {num_frames!r}")
    return int(num_frames)
