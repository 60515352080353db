"""Pictures of what a model of videos has learned: films of rollouts, and strips of their frames.

Of each clip, side by side: the true frames; "approx. posterior", z ~ q(z|x) with the model's own
frames fed back; "mean rollout", the means of the prior; and samples, z from the prior. All frames
are means of p(x|z), but those that are called noisy. Frames of the context are given to all and
have a border of their own; where the data end before the film does, truth is gray.

Layout after the figures of Denton & Fergus 2018.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from tf_sigma_vae import data, image_grid, video_frames
from tf_sigma_vae.evaluation import _labels
from tf_sigma_vae.models import LatentVariableModel

NUM_CLIPS = 8
NUM_SAMPLES = 4
"""Sampled rollouts that are shown of each clip."""
STRIP_CLIPS = 3
BEST_OF = 20
"""Sampled rollouts of a clip of `strips`, of which the one nearest to the truth is shown."""
MOST_COLUMNS = 14
"""Frames in a row of a strip."""
FILM_SIDE, LARGE_FILM_SIDE = 64, 128
"""To which the longer side of small frames is enlarged at least."""

GIVEN, PREDICTED = (0, 114, 178), (213, 94, 0)
"""Colors of the borders: blue for frames of the context, orange for those of the model."""
NO_DATA = (128, 128, 128)
BORDER = 2
NOT_FINITE = "the model gives frames with values that are not finite"


class Rollouts(NamedTuple):
    """Frames of some clips, uint8; c of them are given, n follow."""

    numbers: np.ndarray
    """int64 `[N]`: which videos of the split the clips are the first frames of."""
    truth: np.ndarray
    """`[N, T, H, W, C]`; T is c + n, or less where the videos end before."""
    posterior: np.ndarray
    """`[N, T - c, H, W, C]`."""
    mean: np.ndarray
    """`[N, n, H, W, C]`, the mean rollout."""
    samples: np.ndarray
    """`[N, S, n, H, W, C]`."""
    best: np.ndarray
    """`[M, n, H, W, C]`: of the first M clips the sample with the largest mean PSNR."""
    best_of: int
    """Of how many."""
    temperature: float
    """Of the samples."""

    @property
    def context_frames(self) -> int:
        """Frames that are given, c."""
        return self.truth.shape[1] - self.posterior.shape[1]

    @property
    def num_frames(self) -> int:
        """All frames, c + n."""
        return self.context_frames + self.mean.shape[1]

    def first(self, num_clips: int) -> "Rollouts":
        """Those of the first clips."""
        return self._replace(
            numbers=self.numbers[:num_clips],
            truth=self.truth[:num_clips],
            posterior=self.posterior[:num_clips],
            mean=self.mean[:num_clips],
            samples=self.samples[:num_clips],
            best=self.best[:num_clips],
        )


def check_request(num_clips: int = 1, num_frames: int = 2, num_samples: int = 1) -> None:
    """Checks what can be told without a model.

    Raises:
      ValueError: Naming the number that makes no sense.
    """
    for name, value in (("num_clips", num_clips), ("num_samples", num_samples)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if num_frames < 2:
        raise ValueError(
            f"num_frames must be at least 2, a given frame and a predicted one, got {num_frames}"
        )


def draw(
    model: LatentVariableModel,
    source: data.VideoSource,
    num_frames: int,
    num_clips: int = NUM_CLIPS,
    num_samples: int = NUM_SAMPLES,
    seed: int = 0,
    temperature: float = 1.0,
) -> Rollouts:
    """Rollouts of some videos.

    Args:
      model: A model of videos.
      source: A `data.VideoSource`.
      num_frames: Frames of a clip with its context; more than videos have is allowed.
      num_clips: Videos, from their first frame on, chosen by seed; all where there are fewer.
      num_samples: Sampled rollouts of each.
      seed: Of the choice and of the samples.
      temperature: Factor on the scales of the prior of the samples.

    Raises:
      ValueError: If no frame is predicted, or the videos have no frame after the context.
      FloatingPointError: If a value of a frame is not a number.
    """
    check_request(num_clips, num_frames, num_samples)
    numbers, truth = _clips(model, source, num_frames, num_clips, seed)
    context_frames = model.context_frames
    context, length = truth[:, :context_frames], num_frames - context_frames
    drawn = max(num_samples, BEST_OF)
    ids = model.rollout_noise_ids(video_frames.unit_interval(context), drawn, seed)
    ids, first = np.asarray(ids), slice(0, STRIP_CLIPS)
    try:
        # NaN has no gray level: the cast is an invalid operation.
        with np.errstate(invalid="raise"):
            mean = video_frames.mean_rollouts(model, context, length)
            posterior = video_frames.posterior_rollouts(model, truth)
            samples = video_frames.rollouts(
                model, context, length, ids[:, :num_samples], temperature
            )
            found = samples[first]
            if drawn > num_samples:
                more = ids[first, num_samples:]
                more = video_frames.rollouts(model, context[first], length, more, temperature)
                found = np.concatenate([found, more], axis=1)
    except FloatingPointError as error:
        raise FloatingPointError(NOT_FINITE) from error
    best = found[np.arange(len(found)), _nearest(truth[first, context_frames:], found)]
    return Rollouts(numbers, truth, posterior, mean, samples, best, drawn, temperature)


def film(rollouts: Rollouts, side: int = FILM_SIDE, where: str = "") -> np.ndarray:
    """The frames of a film, a row for each clip: uint8 `[T, H', W', 3]`.

    Args:
      rollouts: What to show.
      side: Pixels that the longer side of a frame has at least.
      where: What the clips are of, for the second line.
    """
    factor = image_grid.readable_factor(rollouts.truth.shape[2:4], side)
    numbers = range(1, rollouts.samples.shape[1] + 1)
    drawn = (f"sample\n{number}" for number in numbers)
    columns = ("ground\ntruth", "approx.\nposterior", "mean\nrollout", *drawn)
    shown = np.stack([_whole(rollouts, kind) for kind in _kinds(rollouts)], axis=1)
    frames = []
    for place in range(rollouts.num_frames):
        given = place < rollouts.context_frames
        colors = _colors(rollouts, range(shown.shape[1]), [place]).transpose(1, 0, 2)
        colors = np.broadcast_to(colors, (len(shown), *colors.shape[1:]))
        images = _labels.bordered(_as_color(shown[:, :, place]), colors, factor, BORDER)
        counter = f"frame {place + 1} of {rollouts.num_frames}: {'given' if given else 'predicted'}"
        picture = _labels.picture(
            images,
            counter,
            _subtitle(rollouts, where),
            row_labels=[f"#{number}" for number in rollouts.numbers],
            column_labels=columns,
            factor=1,
            title_color=GIVEN if given else PREDICTED,
        )
        frames.append(np.asarray(picture))
    return np.stack(frames)


def strips(rollouts: Rollouts, where: str = "") -> Image.Image:
    """Frames of some clips in rows: truth, posterior, mean rollout, the best sample, samples.

    Args:
      rollouts: What to show, of which the first `STRIP_CLIPS` clips are taken.
      where: What the clips are of, for the second line.
    """
    places = _columns(rollouts.context_frames, rollouts.num_frames)
    labels = _column_labels(places, rollouts.context_frames)
    factor = image_grid.readable_factor(rollouts.truth.shape[2:4])
    kinds = _kinds(rollouts)
    best = f"best of {rollouts.best_of} (PSNR)"
    drawn = (f"sample {number}" for number in range(1, rollouts.samples.shape[1] + 1))
    names = ("ground truth", "approx. posterior", "mean rollout", best, *drawn)
    pictures = []
    for clip in range(len(rollouts.best)):
        rows = [_whole(rollouts, kind)[clip] for kind in kinds[:3]]
        rows.append(np.concatenate([_context(rollouts)[clip], rollouts.best[clip]]))
        rows += [_whole(rollouts, kind)[clip] for kind in kinds[3:]]
        colors = _colors(rollouts, range(len(rows)), places)
        images = _labels.bordered(_as_color(np.stack(rows)[:, places]), colors, factor, BORDER)
        pictures.append(
            _labels.picture(
                images,
                f"Rollouts of video {rollouts.numbers[clip]}: mean of p(x|z)",
                _subtitle(rollouts, where),
                row_labels=names,
                column_labels=labels,
                factor=1,
            )
        )
    return _labels.stacked(pictures)


def posterior(
    model: LatentVariableModel, rollouts: Rollouts, seed: int = 0, where: str = ""
) -> Image.Image:
    """One-step reconstructions of the clips of `strips`: true frames, their means, noisy ones.

    Args:
      model: A model of videos.
      rollouts: Whose clips to reconstruct.
      seed: Of the decoder's noise.
      where: What the clips are of, for the second line.

    Raises:
      FloatingPointError: If a value of a frame is not a number.
    """
    given, clips = rollouts.context_frames, rollouts.truth[:STRIP_CLIPS]
    try:
        with np.errstate(invalid="raise"):
            frames = video_frames.reconstructions(model, clips, seed)
    except FloatingPointError as error:
        raise FloatingPointError(NOT_FINITE) from error
    places = _columns(0, frames.shape[2])
    factor = image_grid.readable_factor(clips.shape[2:4])
    colors = np.broadcast_to(np.array(PREDICTED, np.uint8), (3, len(places), 3))
    pictures = []
    for clip, number in enumerate(rollouts.numbers[:STRIP_CLIPS]):
        images = _as_color(frames[:, clip, places])
        pictures.append(
            _labels.picture(
                _labels.bordered(images, colors, factor, BORDER),
                f"One-step reconstructions of video {number}, z ~ q(z|x), true frames before",
                f"{where}noisy: a draw from p(x|z), with the decoder's noise",
                row_labels=("original", "mean", "noisy"),
                column_labels=_column_labels([given + place for place in places], given),
                factor=1,
            )
        )
    return _labels.stacked(pictures)


def _clips(
    model: LatentVariableModel, source: data.VideoSource, num_frames: int, num_clips: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of videos and their first frames; see `draw`."""
    context_frames, length = model.context_frames, source.video_shape[0]
    if num_frames <= context_frames:
        raise ValueError(
            f"num_frames is {num_frames}, with the {context_frames} frames that are given; it must "
            f"be at least {context_frames + 1}"
        )
    if length <= context_frames:
        raise ValueError(
            f"{source.name}: the videos have {length} frames, and {context_frames} of them are "
            "given: there is none to predict"
        )
    numbers = np.random.default_rng(seed).permutation(len(source))[:num_clips]
    start = np.zeros(len(numbers), np.int64)
    return numbers, source.clips(numbers, start, min(num_frames, length))


def _nearest(truth: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """The sample of each clip with the largest mean PSNR over its frames.

    Args:
      truth: `[M, t, H, W, C]`.
      samples: `[M, S, n, H, W, C]`, n at least t: the frames after the truth do not count.
    """
    errors = video_frames.unit_interval(samples[:, :, : truth.shape[1]])
    errors -= video_frames.unit_interval(truth)[:, np.newaxis]
    mse = np.mean(np.square(errors), axis=(3, 4, 5), dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.argmin(np.log(mse).mean(axis=2), axis=1)


def _kinds(rollouts: Rollouts) -> list[np.ndarray]:
    """Predicted frames `[N, up to n, H, W, C]` in the order in which they are shown."""
    future = rollouts.truth[:, rollouts.context_frames :]
    samples = rollouts.samples.transpose(1, 0, 2, 3, 4, 5)
    return [future, rollouts.posterior, rollouts.mean, *samples]


def _context(rollouts: Rollouts) -> np.ndarray:
    return rollouts.truth[:, : rollouts.context_frames]


def _whole(rollouts: Rollouts, kind: np.ndarray) -> np.ndarray:
    """The context and what follows, gray where there is nothing: `[N, num_frames, H, W, C]`."""
    frames = np.concatenate([_context(rollouts), kind], axis=1)
    missing = rollouts.num_frames - frames.shape[1]
    after = [(0, 0), (0, missing), (0, 0), (0, 0), (0, 0)]
    return np.pad(frames, after, constant_values=NO_DATA[0])


def _colors(rollouts: Rollouts, rows: Sequence[int], places: Sequence[int]) -> np.ndarray:
    """Colors of the borders, uint8 `[rows, places, 3]`; truth and posterior are the first rows."""
    colors = np.empty((len(rows), len(places), 3), np.uint8)
    for column, place in enumerate(places):
        colors[:, column] = GIVEN if place < rollouts.context_frames else PREDICTED
        if place >= rollouts.truth.shape[1]:
            colors[:2, column] = NO_DATA
    return colors


def _columns(first: int, end: int) -> list[int]:
    """The frames of a strip: the first ones, and as many of the others as there is room for."""
    room = max(MOST_COLUMNS - first, MOST_COLUMNS // 2)
    chosen = np.linspace(first, end - 1, min(room, end - first))
    return [*range(first), *np.rint(chosen).astype(int).tolist()]


def _column_labels(places: Sequence[int], context_frames: int) -> list[str]:
    """Which frames the columns are."""
    steps = [place - context_frames + 1 for place in places]
    return [f"step {step}" if step > 0 else "given" for step in steps]


def _subtitle(rollouts: Rollouts, where: str) -> str:
    """How the frames were made."""
    drawn = rollouts.temperature
    hotter = "" if drawn == 1.0 else f"; samples at temperature {drawn:g}"
    given = rollouts.context_frames
    return f"{where}{given} given frame{'s' if given > 1 else ''} in blue{hotter}"


def _as_color(images: np.ndarray) -> np.ndarray:
    return np.broadcast_to(images, (*images.shape[:-1], 3))
