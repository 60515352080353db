"""The measure itself: all clips, batch by batch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_sigma_vae import data, objectives
from tf_sigma_vae.evaluation import clips
from tf_sigma_vae.evaluation.rollouts import quality, widths
from tf_sigma_vae.evaluation.rollouts.record import CONVENTIONS, RATIO, summarize
from tf_sigma_vae.models import LatentVariableModel

NO_VARIANCE = "the distribution of a frame has no variance to divide by"


def model_rollouts(
    model: LatentVariableModel,
    source: data.VideoSource,
    num_rollouts: int = 100,
    num_clips: int = 256,
    clip_length: int | None = None,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
    max_numbers: int = quality.MAX_NUMBERS,
) -> dict[str, Any]:
    """Measures how well a model of videos predicts, step by step, with its stored scale.

    Args:
      model: A trained `SequenceVAE`, on one device.
      source: Videos.
      num_rollouts: N, rollouts of each clip that the best and the mean are of.
      num_clips: How many clips, of as many videos as can be; all where there are fewer.
      clip_length: Frames of a clip, the context included; whole videos by default.
      seed: Of the rollouts, and of the randomization of the coverage.
      progress: Called with the number of clips whenever so many are done.
      max_numbers: Decoder outputs of rollouts that are held at once. It changes rounding only.

    Returns:
      What `rollouts.json` holds: `metrics`, averages over steps by `<metric>_<kind>`; `steps`;
      `curves`, by metric and kind the lists `value`, `standard_error`, `low` and `high`; `units`;
      `absent`, metrics that are left out and why; `protocol`.

    Raises:
      ValueError: On an impossible number, or what are no fitting videos.
      NotCalibratedError: If an analytic likelihood holds no scale.
      FloatingPointError: If a figure is not finite; the message names it.
    """
    check_numbers(num_rollouts, num_clips, seed)
    if not getattr(model, "of_videos", False):
        raise ValueError("rollouts are of a model of videos")
    source = clips.require_videos(source)
    length = source.video_shape[0] if clip_length is None else clip_length
    clips.check(model, source, length)
    num_clips = min(num_clips, data.num_evaluation_clips(source, length))
    # As `clips.first` takes them.
    videos = np.arange(num_clips) % len(source)
    size = clips.batch_size_of(model, length)
    parts = _Parts(model, length, num_rollouts, seed, max_numbers)
    batches = [parts.of_batch(x, progress) for x in clips.first(source, length, len(videos), size)]
    found, squares = _joined(batches)
    content = summarize(found, squares, videos)
    absent = dict(parts.absent)
    if squares and RATIO not in content["curves"]:
        absent[RATIO] = NO_VARIANCE
    protocol = {
        "num_rollouts": num_rollouts,
        "seed": seed,
        **_of_model(model),
        **clips.protocol(model, source, length),
        "num_clips": num_clips,
        "num_videos": int(videos.max()) + 1,
        "conventions": CONVENTIONS,
    }
    return {**content, "absent": absent, "protocol": protocol}


def _of_model(model: LatentVariableModel) -> dict[str, Any]:
    return {
        "posterior_seed": model.seed,
        "measure": model.likelihood.measure,
        "scale": model.likelihood.provenance(),
        "image_shape": list(model.image_shape),
    }


def check_numbers(num_rollouts: int, num_clips: int, seed: int = 0) -> None:
    """Checks the numbers that rollouts are asked for.

    Raises:
      ValueError: If one is impossible; the message names it.
    """
    if num_rollouts < 1:
        raise ValueError(f"num_rollouts must be at least 1, got {num_rollouts}")
    if num_clips < 2:
        raise ValueError(f"rollout_clips must be at least 2, got {num_clips}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")


class _Parts:
    """The figures of batches of clips; each function is compiled once.

    Attributes:
      absent: Metrics that the model does not have, and why.
    """

    def __init__(
        self,
        model: LatentVariableModel,
        clip_length: int,
        num_rollouts: int,
        seed: int,
        max_numbers: int,
    ) -> None:
        self._model, self._num_rollouts, self._seed = model, num_rollouts, seed
        self._horizon = clip_length - model.context_frames
        self._rollouts = quality.Rollouts(model, self._horizon, max_numbers)
        self._widths = widths.Widths(model, seed)
        spec = tf.TensorSpec([None, clip_length, *model.image_shape], tf.float32)
        self._teacher_forced = tf.function(self._of_true_frames, input_signature=[spec])
        self.absent = {}
        if reason := quality.reason_without_ssim(model.image_shape):
            self.absent["ssim"] = reason
        if reason := self._widths.reason_without():
            self.absent |= {widths.COVERAGE: reason, RATIO: reason}

    def of_batch(
        self, x: tf.Tensor, progress: Callable[[int], object] | None
    ) -> dict[tuple[str, str], np.ndarray]:
        """The figures by metric and kind, `[B, n]`; of widths also the two parts of the ratio."""
        model = self._model
        context, targets = x[:, : model.context_frames], model.targets(x)
        terms, params = self._teacher_forced(x)
        found = {key: value.numpy() for key, value in terms.items()}
        copied = tf.repeat(context[:, -1:], self._horizon, axis=1)
        shown = quality.of_frames(targets, copied)
        found |= {(metric, "copy"): values.numpy() for metric, values in shown.items()}
        ids = model.rollout_noise_ids(context, self._num_rollouts, self._seed)
        along_means = self._rollouts(context, targets, ids[:, :1], temperature=0.0)
        drawn = self._rollouts(context, targets, ids, progress=progress)
        for metric, values in drawn.items():
            found[metric, "mean_rollout"] = along_means[metric][:, 0]
            found[metric, "best"] = quality.best(values)
            found[metric, "mean"] = values.mean(axis=1, dtype=np.float64)
        if widths.COVERAGE not in self.absent:
            first = model.rollout(context, self._horizon, ids[:, :1])[:, 0]
            for kind, outputs in (("posterior", params), ("rollout", first)):
                figures = self._widths(outputs, targets)
                found |= {(name, kind): each for name, each in figures.items()}
        return found

    def _of_true_frames(self, x: tf.Tensor) -> tuple[dict[tuple[str, str], tf.Tensor], tf.Tensor]:
        model = self._model
        output, targets = model(x, training=False), model.targets(x)
        frames = model.mean_frames(output.params)
        found = quality.of_frames(targets, frames)
        found["rate"] = output.rate_groups
        found["distortion"] = model.frame_distortions(output, x)
        found["elbo"] = objectives.elbo(found["distortion"], found["rate"])
        return {(metric, "posterior"): v for metric, v in found.items()}, output.params


def _joined(
    batches: list[dict[tuple[str, str], np.ndarray]],
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The figures of all clips, and apart from them the parts of the ratio of variances."""
    found: dict[str, dict[str, np.ndarray]] = {}
    squares: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    joined = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    for (metric, kind), values in joined.items():
        if metric == "variance":
            squares[kind] = (joined["squared", kind], values)
        elif metric != "squared":
            found.setdefault(metric, {})[kind] = values
    return found, squares
