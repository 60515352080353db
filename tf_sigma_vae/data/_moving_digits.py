"""Digits that move through a picture and bounce off its edges, by the rules of SVG.

Source of the rules: E. Denton and R. Fergus, "Stochastic Video Generation with a Learned Prior",
ICML 2018, and its published data set.
"""

import copy
from typing import Any

import numpy as np

from tf_sigma_vae.data import _base, _videos

# Random numbers of a digit: which it is, its place (y, x) and its velocity (y, x); and for each
# frame those of a bounce in y (speed, velocity in x) and in x (speed, velocity in y).
_AT_START, _A_FRAME = 5, 4
# Streams of random numbers: videos of one are never those of another.
TRAINING, HELD_OUT, TEST = 1, 2, 3


class MovingDigits(_videos.VideoSource):
    """Videos of moving digits, made as they are read.

    A digit has a place and a velocity, whole pixels a frame in y and in x, both drawn uniformly.
    Where a step would leave the picture the digit stays at that edge, and a new velocity is drawn:
    away from the edge and not zero across it, any along it. Digits pass through one another, and
    overlapping ones add up to white at most.

    A video is a function of (seed, stream, epoch, its number), and its first frames do not depend
    on how many follow.
    """

    def __init__(
        self,
        digits: np.ndarray,
        *,
        num_videos: int,
        video_length: int,
        image_size: int,
        num_digits: int,
        seed: int,
        stream: int,
        name: str,
    ) -> None:
        """Says how videos are made.

        Args:
          digits: uint8 `[N, h, h]`, what may move.
          num_videos: Videos of an epoch.
          video_length: Frames `T` of a video.
          image_size: Pixels of a side of the picture, more than `h`.
          num_digits: Digits in a picture.
          seed: Seed of the videos.
          stream: `TRAINING`, where each epoch has videos of its own, or `HELD_OUT` or `TEST`, where
            all have the same.
          name: What the videos are, for messages.
        """
        self.video_shape = (video_length, image_size, image_size, 1)
        self.name = name
        self._digits = digits
        self._num_videos = num_videos
        self._num_digits = num_digits
        self._seed = seed
        self._stream = stream

    def __len__(self) -> int:
        return self._num_videos

    def clips(
        self, index: np.ndarray, start: np.ndarray, length: int, epoch: int = 0
    ) -> np.ndarray:
        """Frames of some of the videos; see `VideoSource.clips`."""
        digit, places = self._motion(index, int(np.max(start, initial=0)) + length, epoch)
        frames = np.asarray(start)[:, np.newaxis] + np.arange(length)
        rows = np.arange(len(index))[:, np.newaxis]
        x = np.zeros((len(index), length, *self.video_shape[1:3]), np.uint8)
        size = self._digits.shape[1:]
        boxes = np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3), writeable=True)
        for number in range(self._num_digits):
            top, left = np.moveaxis(places[rows, frames, number], -1, 0)
            where = (rows, np.arange(length), top, left)
            picture = self._digits[digit[:, number], np.newaxis]
            below = boxes[where]
            boxes[where] = below + np.minimum(picture, 255 - below)
        return x[..., np.newaxis]

    def first(self, num_videos: int) -> "MovingDigits":
        """The first videos; see `VideoSource.first`."""
        return self._with(num_videos=min(num_videos, len(self)))

    def hold_out(self, fraction: float, seed: int) -> tuple["MovingDigits", "MovingDigits"]:
        """Parts the digits in two, and the number of videos; see `VideoSource.hold_out`.

        The videos held out are the same in all epochs and show digits that are in no other.
        """
        is_out = _base.held_out(len(self._digits), fraction, seed, self.name)
        num_out = int(np.sum(_base.held_out(len(self), fraction, seed, self.name)))
        kept = self._with(digits=self._digits[~is_out], num_videos=len(self) - num_out)
        out = self._with(digits=self._digits[is_out], num_videos=num_out, stream=HELD_OUT)
        return kept, out

    def _with(self, **changes: Any) -> "MovingDigits":
        other = copy.copy(self)
        for name, value in changes.items():
            setattr(other, f"_{name}", value)
        return other

    def _motion(self, index: np.ndarray, length: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Which digits the first frames of videos show, and where.

        Returns:
          digit: int64 `[B, num_digits]`.
          places: int64 `[B, length, num_digits, 2]`, the top and the left of each.
        """
        u = self._uniform(index, self._num_digits * (_AT_START + _A_FRAME * length), epoch)
        at_start, bounces = np.split(u, [self._num_digits * _AT_START], axis=1)
        at_start = at_start.reshape(len(index), self._num_digits, _AT_START)
        bounces = bounces.reshape(len(index), length, self._num_digits, 2, 2)
        image_size, speed = self.video_shape[1], max_speed(self.video_shape[1])
        # As in SVG a digit never touches the lower and the right edge: its last place is one off.
        end = image_size - self._digits.shape[1]
        digit = _integers(at_start[..., 0], 0, len(self._digits))
        place = _integers(at_start[..., 1:3], 0, end)
        velocity = _integers(at_start[..., 3:], -speed, speed + 1)
        places = np.empty((len(index), length, self._num_digits, 2), np.int64)
        for frame in range(length):
            # First y, then x: in a corner the velocity drawn last is the one that holds.
            for axis in (0, 1):
                here, drawn = place[..., axis], bounces[:, frame, :, axis]
                side = np.where(here < 0, 1, np.where(here >= end, -1, 0))
                is_out = side != 0
                away = side * _integers(drawn[..., 0], 1, speed + 1)
                along = _integers(drawn[..., 1], -speed, speed + 1)
                velocity[..., axis] = np.where(is_out, away, velocity[..., axis])
                velocity[..., 1 - axis] = np.where(is_out, along, velocity[..., 1 - axis])
                place[..., axis] = np.clip(here, 0, end - 1)
            places[:, frame] = place
            place = place + velocity
        return digit, places

    def _uniform(self, index: np.ndarray, count: int, epoch: int) -> np.ndarray:
        """Uniform numbers in [0, 1), float64 `[B, count]`, of each video.

        Of the counter-based generator Philox, whose raw numbers NumPy keeps the same in all its
        versions, as it does not those of its distributions.
        """
        epoch = epoch if self._stream == TRAINING else 0
        raw = np.empty((len(index), count), np.uint64)
        for row, video in zip(raw, index, strict=True):
            # The first word counts the numbers drawn.
            counter = np.array([0, video, epoch, self._stream], np.uint64)
            row[:] = np.random.Philox(counter=counter, key=self._seed).random_raw(count)
        return (raw >> np.uint64(11)) * 2.0**-53


def max_speed(image_size: int) -> int:
    """The most pixels a digit moves in a frame along an axis: SVG's 4 at its size of 64."""
    return max(1, image_size // 16)


def _integers(u: np.ndarray, low: int, end: int) -> np.ndarray:
    """Whole numbers, uniform in [low, end), from uniform numbers in [0, 1)."""
    return low + np.floor(u * (end - low)).astype(np.int64)
