"""The batches of `fit`, each replica's share of them made where it is used.

Every worker gathers its own rows of each global batch and no others; all shuffle by the same seed,
so that together they see the batches that one device would, each image once an epoch.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from tf_sigma_vae import data
from tf_sigma_vae.config import Config

Examples = np.ndarray | data.VideoSource
Batches: TypeAlias = tf.data.Dataset | tf.distribute.DistributedDataset
"""What `fit` takes."""
COMPARED_VIDEOS = 16


def training(
    strategy: tf.distribute.Strategy,
    config: Config,
    images: Examples,
    start_step: int,
    num_steps: int | None = None,
) -> Batches:
    """Shuffled global batches from a step on.

    Args:
      strategy: The strategy.
      config: The configuration.
      images: The whole training set, uint8 `[N, H, W, C]` or videos.
      start_step: Step to start at.
      num_steps: Steps after which the batches end; None for never.

    Returns:
      What `fit` takes.
    """

    def make(shard: data.Shard) -> tf.data.Dataset:
        batches = shuffled(config, images, start_step, shard)
        return batches if num_steps is None else batches.take(num_steps * shard.num_local)

    return _distributed(strategy, make)


def shuffled(
    config: Config, images: Examples, start_step: int = 0, shard: data.Shard = data.WHOLE
) -> tf.data.Dataset:
    """What `training` takes its batches from, of one share of them."""
    if isinstance(images, data.VideoSource):
        return data.training_clips(
            images,
            config.train_frames,
            global_batch_size=config.global_batch_size,
            seed=config.seed,
            start_step=start_step,
            flip=config.flip,
            drop_remainder=config.drop_remainder,
            shard=shard,
        )
    return data.training_batches(
        images,
        global_batch_size=config.global_batch_size,
        seed=config.seed,
        start_step=start_step,
        dequantize=config.dequantize,
        flip=config.flip,
        drop_remainder=config.drop_remainder,
        shard=shard,
    )


def in_order(config: Config, images: Examples, shard: data.Shard = data.WHOLE) -> tf.data.Dataset:
    """Every image, or every clip as long as those of the training, once and in order."""
    size = config.global_batch_size
    if isinstance(images, data.VideoSource):
        return data.evaluation_clips(
            images, config.train_frames, global_batch_size=size, shard=shard
        )
    return data.evaluation_batches(images, global_batch_size=size, shard=shard)


def num_in_order(config: Config, images: Examples) -> int:
    """Examples of `in_order`."""
    if isinstance(images, data.VideoSource):
        return data.num_evaluation_clips(images, config.train_frames)
    return len(images)


def first(config: Config, images: Examples, num_examples: int) -> np.ndarray:
    """The first images, uint8, or the first clips, as long as in training if the videos are."""
    if not isinstance(images, data.VideoSource):
        return images[:num_examples]
    index = np.arange(min(num_examples, len(images)))
    length = min(config.train_frames, images.video_shape[0])
    return images.clips(index, np.zeros_like(index), length)


def to_compare(images: Examples) -> np.ndarray:
    """Bytes by which workers tell whether they hold the same: all images, or some of the videos."""
    if not isinstance(images, data.VideoSource):
        return images
    index = np.unique(np.linspace(0, len(images) - 1, COMPARED_VIDEOS).astype(np.int64))
    return images.clips(index, np.zeros_like(index), images.video_shape[0])


def validation(
    strategy: tf.distribute.Strategy, config: Config, images: Examples, pad: bool | None = None
) -> Batches:
    """Every image, or clip, once and in order.

    Args:
      strategy: The strategy.
      config: The configuration.
      images: The whole validation set, uint8 `[N, H, W, C]` or videos.
      pad: Whether to fill the last batch up with images of no weight, so that all have one shape.
        By default for a TPU, which needs it.

    Returns:
      What `fit` takes as `validation_data`.
    """
    if pad is None:
        pad = isinstance(strategy, tf.distribute.TPUStrategy)

    def make(shard: data.Shard) -> tf.data.Dataset:
        batches = in_order(config, images, shard)
        size = config.global_batch_size // shard.num_replicas
        return batches.map(lambda x: _padded(x, size)) if pad else batches

    return _distributed(strategy, make)


def _padded(x: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """x, targets that are ignored, and weights: 1 for the rows of x, 0 for those added to them."""
    num_rows = tf.shape(x)[0]
    padding = [[0, size - num_rows], *[[0, 0]] * (x.shape.rank - 1)]
    images = tf.ensure_shape(tf.pad(x, padding), [size, *x.shape[1:]])
    return images, images, tf.sequence_mask(num_rows, size, tf.float32)


def _distributed(
    strategy: tf.distribute.Strategy, make: Callable[[data.Shard], tf.data.Dataset]
) -> Batches:
    if strategy.num_replicas_in_sync == 1:
        return make(data.WHOLE)

    def of_pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
        num_local = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * num_local
        return make(data.Shard(first, num_local, context.num_replicas_in_sync))

    return strategy.distribute_datasets_from_function(of_pipeline)
