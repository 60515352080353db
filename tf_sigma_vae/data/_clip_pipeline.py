"""From videos to batches of clips, float32 in [0, 1].

Clips are read as bytes, by NumPy, as each batch is wanted; only the batch is converted. What a
training step sees is a pure function of (seed, step), as in `_pipeline`.
"""

import numpy as np
import tensorflow as tf

from tf_sigma_vae import noise, rows
from tf_sigma_vae.data import _options, _pipeline, _videos

# A stream of random numbers of its own, beside those of `_pipeline`: crops and flips.
_CLIP = 3
_PREFETCHED_BATCHES = 4


def num_evaluation_clips(source: _videos.VideoSource, clip_length: int) -> int:
    """Number of clips that `evaluation_clips` cuts the videos into.

    Raises:
      ValueError: If the videos have fewer frames than a clip.
    """
    _check_length(source, clip_length)
    return len(source) * (source.video_shape[0] // clip_length)


def training_clips(
    source: _videos.VideoSource,
    clip_length: int,
    *,
    global_batch_size: int,
    seed: int,
    start_step: int = 0,
    flip: bool = False,
    drop_remainder: bool = False,
    shard: _pipeline.Shard = _pipeline.WHOLE,
) -> tf.data.Dataset:
    """Endless shuffled batches, one clip a video and epoch, each from another place.

    Epoch `e` goes through a permutation of the videos drawn from (seed, e), `steps_per_epoch`
    batches long; its last batch may be partial. The first frame of a video's clip is drawn
    uniformly from (seed, e, video) among those that leave the clip inside. However a batch is
    shared out over replicas, together they see the clips that one alone would.

    Args:
      source: The videos.
      clip_length: Frames `T` of a clip.
      global_batch_size: Clips in a batch, over all replicas.
      seed: Seed of the order, the crops and the flips.
      start_step: Step to start at: the dataset is the one from step 0 without its first
        `start_step` batches, which are not computed.
      flip: Whether to mirror each clip as a whole left to right with probability one half.
      drop_remainder: Whether a partial last batch is left out of each epoch, so that all batches
        have one shape. Every epoch leaves out other videos.
      shard: The replicas whose clips are wanted.

    Returns:
      Dataset of float32 `[B, T, H, W, C]` in [0, 1], `B` the clips of a replica.

    Raises:
      ValueError: If the videos have fewer frames than a clip, or an option is impossible.
    """
    _check_length(source, clip_length)
    num_videos = len(source)
    steps = _pipeline.steps_per_epoch(num_videos, global_batch_size, drop_remainder)
    _options.integer("start_step", start_step, minimum=0)
    _options.integer("seed", seed, minimum=0)
    _options.boolean("flip", flip)
    partial = num_videos % global_batch_size and steps > 1 and not drop_remainder
    batch_size = min(global_batch_size, num_videos)
    share_size = None if partial else _pipeline._share_size(batch_size, shard)

    def batch(element: tf.Tensor) -> tf.Tensor:
        step, replica = _pipeline._step_and_replica(element, shard)
        epoch = step // steps
        places = _pipeline._places(step % steps, global_batch_size, num_videos)
        order_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        index = tf.random.experimental.index_shuffle(places, order_seed, num_videos - 1)
        first, end = rows.share(tf.size(index), replica, shard.num_replicas)
        x = _random_clips(source, index[first:end], clip_length, seed, epoch, flip)
        x = tf.ensure_shape(x, (share_size, clip_length, *source.video_shape[1:]))
        return _pipeline._to_unit_interval(x, None)

    dataset = tf.data.Dataset.counter(start_step * shard.num_local)
    return _pipeline._with_options(dataset.map(batch).prefetch(_PREFETCHED_BATCHES))


def evaluation_clips(
    source: _videos.VideoSource,
    clip_length: int,
    *,
    global_batch_size: int,
    first_of_each: bool = False,
    shard: _pipeline.Shard = _pipeline.WHOLE,
) -> tf.data.Dataset:
    """Fixed clips of all videos in order, each frame at most once; the last batch may be partial.

    Each video is cut from its first frame on into clips that follow one another without overlap.
    The `T mod clip_length` frames after the last of them are left out.

    Args:
      source: The videos.
      clip_length: Frames `T` of a clip.
      global_batch_size: Clips in a batch, over all replicas.
      first_of_each: Whether the first clips of all videos come first, then their second ones, so
        that some clips are of as many videos as can be; else those of the first video, and so on.
      shard: The replicas whose clips are wanted; of a partial batch one may have none.

    Returns:
      Finite dataset of float32 `[B, T, H, W, C]` in [0, 1], `B` the clips of a replica.

    Raises:
      ValueError: If the videos have fewer frames than a clip.
    """
    num_clips = num_evaluation_clips(source, clip_length)
    steps = _pipeline.steps_per_epoch(num_clips, global_batch_size)
    clips_a_video = num_clips // len(source)

    def batch(element: tf.Tensor) -> tf.Tensor:
        step, replica = _pipeline._step_and_replica(element, shard)
        places = _pipeline._places(step, global_batch_size, num_clips)
        first, end = rows.share(tf.size(places), replica, shard.num_replicas)
        own = places[first:end]
        index, number = own // clips_a_video, own % clips_a_video
        if first_of_each:
            index, number = own % len(source), own // len(source)
        x = _read(source, index, number * clip_length, clip_length, tf.constant(0, tf.int64))
        return _pipeline._to_unit_interval(x, None)

    dataset = tf.data.Dataset.range(steps * shard.num_local)
    return _pipeline._with_options(dataset.map(batch).prefetch(_PREFETCHED_BATCHES))


def _check_length(source: _videos.VideoSource, clip_length: int) -> None:
    """Checks that a clip fits into the videos."""
    _options.integer("clip_length", clip_length)
    frames = source.video_shape[0]
    if clip_length > frames:
        raise ValueError(
            f"{source.name}: a clip of {clip_length} frames was asked for, but the videos have "
            f"{frames}"
        )


def _random_clips(
    source: _videos.VideoSource,
    index: tf.Tensor,
    length: int,
    seed: int,
    epoch: tf.Tensor,
    flip: bool,
) -> tf.Tensor:
    """A clip of each video, uint8 `[B, length, H, W, C]`, from a random place on."""
    u = noise.uniform(_pipeline._noise_ids(index, _CLIP, seed, epoch), [2])
    num_starts = source.video_shape[0] - length + 1
    # In float64, where the product with u < 1 cannot be rounded up to the number itself.
    start = tf.cast(tf.cast(u[:, 0], tf.float64) * num_starts, tf.int64)
    x = _read(source, index, start, length, epoch)
    if flip:
        is_flipped = tf.reshape(u[:, 1] < 0.5, [-1, 1, 1, 1, 1])
        x = tf.where(is_flipped, tf.reverse(x, axis=[3]), x)
    return x


def _read(
    source: _videos.VideoSource, index: tf.Tensor, start: tf.Tensor, length: int, epoch: tf.Tensor
) -> tf.Tensor:
    """Clips uint8 `[B, length, H, W, C]`, which NumPy reads outside the graph."""

    def clips(index: np.ndarray, start: np.ndarray, epoch: np.ndarray) -> np.ndarray:
        return source.clips(index, start, length, int(epoch))

    x = tf.numpy_function(clips, [index, start, epoch], tf.uint8)
    return tf.ensure_shape(x, (None, length, *source.video_shape[1:]))
