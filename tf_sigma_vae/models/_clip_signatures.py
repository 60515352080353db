"""What a saved model of videos answers to; the rules are those of `_serving`."""

import keras
import tensorflow as tf
from numpy.typing import ArrayLike

from tf_sigma_vae import noise, objectives
from tf_sigma_vae.models._clip_likelihood import as_rows
from tf_sigma_vae.models._signatures import (
    IMAGE_STREAM,
    Z_STREAM,
    Function,
    Signatures,
    drawn,
    nan_unless,
    require_as_many_rows,
    row_ids,
    with_specs,
)

NUM_FRAMES = 28
"""Frames of a rollout beyond the context by default: 30 in all with SVG's context of two."""


class ClipSignatures(Signatures):
    """The signatures of a model of videos.

        serving_default,
        predict    context, seed   mean, frames, mean_rollout[, scale]
        encode     clips           z_mean, z_scale, prior_mean, prior_scale
        elbo       clips, seed     elbo, log_prob, rate, bits_per_dim, elbo_per_frame
        anomaly    clips           score[, p_value], score_per_frame

    `clips` are float32 `[B, T, H, W, C]` in [0, 1], of any number `T` of frames above `c`, the same
    for all rows of a request; `context` `[B, c, H, W, C]` are the frames that a prediction starts
    from, `seed` is int32 `[B, 2]`. `n` is `num_frames`, fixed in a saved model; `T' = T - c`.

    `predict` rolls the model out for `n` frames after the context, each `[B, n, H, W, C]`: `mean`,
    the means of p(x|z) with each z drawn from the prior by the seed of the row; `frames`, drawn
    from p(x|z) around these, frame by frame with the stored scale; `mean_rollout`, the means with
    each z the mean of the prior. What is fed back is the mean. `scale` belongs to `mean`: `[B, n]`,
    `[B, n, C]` or `[B, n, H, W, C]`, as the likelihood has it. Random numbers are functions of the
    seed alone, not of the context; a longer rollout begins as a shorter one.

    `encode` gives the posterior and the prior of the z of each frame, `[B, T, latent_size]`: the
    posterior sees the frames up to it, the prior those before. `elbo` draws z by the seed,
    `anomaly` as an evaluation does; both are nats of the `T'` frames after the context,
    `elbo_per_frame` `[B]` their mean, `score_per_frame` `[B, T']` the negative elbo by frame.

    `p_value` is the split-conformal one of `ImageSignatures`. Scores are sums over frames: those of
    clips of another length are not exchangeable with them, and their p-value is NaN.
    """

    def __init__(
        self,
        model: keras.Model,
        num_frames: int = NUM_FRAMES,
        validation_scores: ArrayLike | None = None,
        validation_frames: int | None = None,
    ) -> None:
        """Builds the signatures.

        Args:
          model: A `SequenceVAE`.
          num_frames: `n`, frames of a rollout beyond the context.
          validation_scores: `[N]`, anomaly scores of clips that the model has not been trained on;
            without them there is no p-value.
          validation_frames: Frames of these clips, the context included; None for those of a
            context and a rollout.

        Raises:
          NotCalibratedError: If an analytic likelihood holds no scale.
          ValueError: If a number of frames is impossible, the scores are no finite numbers, or
            there are none.
        """
        super().__init__(model, validation_scores)
        self.context_frames, self.num_frames = model.context_frames, num_frames
        is_whole = not isinstance(num_frames, bool) and isinstance(num_frames, int)
        if not is_whole or num_frames < 1:
            raise ValueError(f"num_frames must be an integer from 1, got {num_frames!r}")
        if validation_frames is None:
            validation_frames = self.context_frames + num_frames
        self.validation_frames = validation_frames

    def functions(self) -> dict[str, Function]:
        """`tf.function` objects by name, with their input signatures; the outputs by name."""
        frame = self.model.image_shape
        clips = tf.TensorSpec([None, None, *frame], tf.float32, "clips")
        context = tf.TensorSpec([None, self.context_frames, *frame], tf.float32, "context")
        seed = tf.TensorSpec([None, 2], tf.int32, "seed")
        functions = with_specs(
            {
                "predict": (self.predict, [context, seed]),
                "encode": (self.encode, [clips]),
                "elbo": (self.elbo, [clips, seed]),
                "anomaly": (self.anomaly, [clips]),
            }
        )
        # One object under two names is traced once.
        return {"serving_default": functions["predict"], **functions}

    def predict(self, context: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The rollouts of a context."""
        require_as_many_rows(context, seed, "context")
        x, is_valid = self.valid(context)
        noise_ids = row_ids(seed, Z_STREAM)[:, tf.newaxis]
        params = as_rows(self.model.rollout(x, self.num_frames, noise_ids)[:, 0])
        likelihood = self.model.frame_distribution(params)
        found = self.model.likelihood.parameters(likelihood)
        names = ("mean", "scale") if self.model.likelihood.has_scale else ("mean",)
        found = {name: found[name] for name in names}
        found["frames"] = self._drawn_frames(params, seed)
        by_clip = {name: self._as_clips(value) for name, value in found.items()}
        means = self.model.rollout(x, self.num_frames, noise_ids, temperature=0.0)
        by_clip["mean_rollout"] = self.model.mean_frames(means)[:, 0]
        return nan_unless(is_valid, by_clip)

    def _as_clips(self, values: tf.Tensor) -> tf.Tensor:
        """`[B n, ...]` as `[B, n, ...]`."""
        return tf.reshape(values, [-1, self.num_frames, *values.shape[1:]])

    def _drawn_frames(self, params: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A draw of each frame, by the seed of its clip and its number."""
        num_rows = tf.shape(seed)[0]
        ids = tf.repeat(row_ids(seed, IMAGE_STREAM), self.num_frames, axis=0)
        numbers = tf.tile(tf.range(self.num_frames), [num_rows])
        ids = noise.fold(ids, 0, numbers)
        return drawn(self.model.frame_distribution, params, ids, self.model.image_shape)

    def _long_enough(self, clips: tf.Tensor) -> tf.Tensor:
        """The clips, after a check that they have a frame after the context."""
        message = f"clips must have more than {self.context_frames} frames, the context"
        check = tf.debugging.assert_greater(tf.shape(clips)[1], self.context_frames, message)
        with tf.control_dependencies([check]):
            return tf.identity(clips)

    def encode(self, clips: tf.Tensor) -> dict[str, tf.Tensor]:
        """Posterior and prior of each frame's z."""
        x, is_valid = self.valid(self._long_enough(clips))
        posterior, prior = self.model.posteriors_and_priors(x)
        found = {"z_mean": posterior.mean(), "z_scale": posterior.stddev()}
        found |= {"prior_mean": prior.mean(), "prior_scale": prior.stddev()}
        return nan_unless(is_valid, found)

    def elbo(self, clips: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The bound and its terms, z drawn by the seed."""
        require_as_many_rows(clips, seed, "clips")
        x, is_valid = self.valid(self._long_enough(clips))
        output = self.model.score(x, row_ids(seed, Z_STREAM))
        elbo = objectives.elbo(output.distortion, output.rate)
        values = {"elbo": elbo, "log_prob": -output.distortion, "rate": output.rate}
        values["bits_per_dim"] = self.bits_per_dim(output, x)
        values["elbo_per_frame"] = elbo / tf.cast(tf.shape(x)[1] - self.context_frames, tf.float32)
        return nan_unless(is_valid, values)

    def anomaly(self, clips: tf.Tensor) -> dict[str, tf.Tensor]:
        """`score`, `p_value` and `score_per_frame`."""
        x, is_valid = self.valid(self._long_enough(clips))
        output = self.model(x, training=False)
        score = output.distortion + output.rate
        by_frame = self.model.frame_distortions(output, x) + output.rate_groups
        found = {"score": score, "score_per_frame": by_frame}
        if self.sorted_scores is not None:
            is_as_long = tf.equal(tf.shape(x)[1], self.validation_frames)
            found["p_value"] = tf.where(is_as_long, self.p_value(score), float("nan"))
        return nan_unless(is_valid, found)
