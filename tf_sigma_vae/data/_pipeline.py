"""From images in memory to batches of float32 in [0, 1].

Images stay bytes in one tensor that every batch is gathered from; only the batch is converted.
What a training step sees is a pure function of (seed, step), so that a run that was killed goes on
with exactly the batches it would have seen.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_sigma_vae import noise, rows
from tf_sigma_vae.data import _base, _options

# Streams of random numbers, one for each use, so that none is correlated with another.
_FLIP, _DEQUANTIZE = 1, 2
_PREFETCHED_BATCHES = 4


class Splits(NamedTuple):
    """Images that do not overlap, each uint8 `[N, H, W, C]`.

    Attributes:
      train: What is trained on.
      validation: What is looked at during training; None where none was asked for.
      test: What results are reported on.
    """

    train: np.ndarray
    validation: np.ndarray | None
    test: np.ndarray


class Shard(NamedTuple):
    """The replicas whose rows a dataset holds, of each global batch; by default the only one.

    The dataset gives, step after step, one element for each of these replicas, in order.

    Attributes:
      first_replica: Number of the first of them, from 0.
      num_local: How many they are.
      num_replicas: How many share a global batch.
    """

    first_replica: int = 0
    num_local: int = 1
    num_replicas: int = 1


WHOLE = Shard()


def split(arrays: dict[str, np.ndarray], validation_fraction: float, seed: int) -> Splits:
    """Takes the validation images out of the training images.

    Args:
      arrays: What `ImageDataset.load` returns. Where it brings a validation split that one is
        used, and nothing is taken out of the training images.
      validation_fraction: Part of the training images to take, drawn by seed; 0 for none.
      seed: The same seed takes the same images.

    Returns:
      The three splits. Images keep their order.

    Raises:
      ValueError: If a split would be empty or `validation_fraction` is not in [0, 1).
    """
    _base.check_arrays(arrays, "dataset")
    if validation_fraction != 0:
        _options.fraction("validation_fraction", validation_fraction)
    train, test = arrays["train"], arrays["test"]
    if "validation" in arrays or validation_fraction == 0:
        return Splits(train, arrays.get("validation"), test)
    is_validation = _base.held_out(len(train), validation_fraction, seed, "training images")
    return Splits(train[~is_validation], train[is_validation], test)


def steps_per_epoch(num_examples: int, global_batch_size: int, drop_remainder: bool = False) -> int:
    """Number of batches of an epoch.

    Args:
      num_examples: Examples of the dataset.
      global_batch_size: Examples of a batch, over all replicas.
      drop_remainder: Whether the examples of a partial last batch are left out.

    Returns:
      Batches that hold every example once, the last one perhaps partial; or the full ones alone.

    Raises:
      ValueError: If there is no full batch and others are left out.
    """
    _options.integer("num_examples", num_examples)
    _options.integer("global_batch_size", global_batch_size)
    _options.boolean("drop_remainder", drop_remainder)
    if not drop_remainder:
        return -(-num_examples // global_batch_size)
    if num_examples < global_batch_size:
        raise ValueError(
            f"drop_remainder leaves nothing: {num_examples} examples are no full batch of "
            f"{global_batch_size}"
        )
    return num_examples // global_batch_size


def training_batches(
    images: np.ndarray,
    *,
    global_batch_size: int,
    seed: int,
    start_step: int = 0,
    dequantize: bool = False,
    flip: bool = False,
    drop_remainder: bool = False,
    shard: Shard = WHOLE,
) -> tf.data.Dataset:
    """Endless shuffled batches, each epoch in another order of all images.

    Epoch `e` goes through a permutation drawn from (seed, e), `steps_per_epoch` batches long; its
    last batch may be partial. Batches larger than the data hold all of them. However a batch is
    shared out over replicas, together they see the rows that one alone would.

    Args:
      images: uint8 `[N, H, W, C]`.
      global_batch_size: Images in a batch, over all replicas.
      seed: Seed of the order, the flips and the dequantization noise.
      start_step: Step to start at: the dataset is the one from step 0 without its first
        `start_step` batches, which are not computed.
      dequantize: Whether to spread grey level k over its bin: x = (k + u) / 256 with u uniform in
        [0, 1), instead of x = k / 255.
      flip: Whether to mirror each image left to right with probability one half.
      drop_remainder: Whether a partial last batch is left out of each epoch, so that all batches
        have one shape. Every epoch leaves out other images.
      shard: The replicas whose rows are wanted.

    Returns:
      Dataset of float32 `[B, H, W, C]` in [0, 1], `B` the rows of a replica.
    """
    steps = _checked_steps(images, global_batch_size, dequantize, drop_remainder)
    _options.integer("start_step", start_step, minimum=0)
    _options.integer("seed", seed, minimum=0)
    _options.boolean("flip", flip)
    num_examples, pixels = len(images), _in_host_memory(images)
    partial = num_examples % global_batch_size and steps > 1 and not drop_remainder
    share_size = None if partial else _share_size(min(global_batch_size, num_examples), shard)

    def batch(element: tf.Tensor) -> tf.Tensor:
        step, replica = _step_and_replica(element, shard)
        epoch = step // steps
        places = _places(step % steps, global_batch_size, num_examples)
        order_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        # Of the whole batch, which is never empty as a share of it may be.
        index = tf.random.experimental.index_shuffle(places, order_seed, num_examples - 1)
        first, end = rows.share(tf.size(index), replica, shard.num_replicas)
        index = index[first:end]
        x = tf.gather(pixels, index)
        if flip:
            is_flipped = noise.uniform(_noise_ids(index, _FLIP, seed, epoch), [1, 1, 1]) < 0.5
            x = tf.where(is_flipped, tf.reverse(x, axis=[2]), x)
        u = _keyed_by_step([end, *images.shape[1:]], seed, step)[first:] if dequantize else None
        return tf.ensure_shape(_to_unit_interval(x, u), (share_size, *images.shape[1:]))

    dataset = tf.data.Dataset.counter(start_step * shard.num_local)
    return _with_options(dataset.map(batch).prefetch(_PREFETCHED_BATCHES))


def evaluation_batches(
    images: np.ndarray,
    *,
    global_batch_size: int,
    dequantize: bool = False,
    seed: int = 0,
    shard: Shard = WHOLE,
) -> tf.data.Dataset:
    """Every image once, in order; the last batch may be partial.

    Args:
      images: uint8 `[N, H, W, C]`.
      global_batch_size: Images in a batch, over all replicas.
      dequantize: As for `training_batches`. The noise of an image depends on the seed and on the
        image's place among all images, not on the batch size.
      seed: Seed of that noise.
      shard: The replicas whose rows are wanted; of a partial batch one may have none.

    Returns:
      Finite dataset of float32 `[B, H, W, C]` in [0, 1], `B` the rows of a replica.
    """
    steps = _checked_steps(images, global_batch_size, dequantize)
    _options.integer("seed", seed, minimum=0)
    pixels = _in_host_memory(images)

    def batch(element: tf.Tensor) -> tf.Tensor:
        step, replica = _step_and_replica(element, shard)
        places = _places(step, global_batch_size, len(images))
        first, end = rows.share(tf.size(places), replica, shard.num_replicas)
        index = places[first:end]
        ids = _noise_ids(index, _DEQUANTIZE, seed, epoch=0)
        u = noise.uniform(ids, images.shape[1:]) if dequantize else None
        return tf.ensure_shape(
            _to_unit_interval(tf.gather(pixels, index), u), (None, *images.shape[1:])
        )

    dataset = tf.data.Dataset.range(steps * shard.num_local)
    return _with_options(dataset.map(batch).prefetch(_PREFETCHED_BATCHES))


def _checked_steps(
    images: np.ndarray, global_batch_size: int, dequantize: bool, drop_remainder: bool = False
) -> int:
    _base.check_images(images, "images")
    _options.boolean("dequantize", dequantize)
    return steps_per_epoch(len(images), global_batch_size, drop_remainder)


def _in_host_memory(images: np.ndarray) -> tf.Tensor:
    """One tensor that the dataset refers to; as a constant of its graph it would end at 2 GB."""
    with tf.device("CPU"):
        return tf.convert_to_tensor(images)


def _step_and_replica(element: tf.Tensor, shard: Shard) -> tuple[tf.Tensor, tf.Tensor]:
    replica = shard.first_replica + element % shard.num_local
    return element // shard.num_local, tf.cast(replica, tf.int32)


def _places(step_in_epoch: tf.Tensor, global_batch_size: int, num_examples: int) -> tf.Tensor:
    """Places int64 `[B]` of a batch's examples in their epoch."""
    first = step_in_epoch * global_batch_size
    return tf.range(first, tf.minimum(first + global_batch_size, num_examples))


def _noise_ids(index: tf.Tensor, stream: int, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Ids uint32 `[B, 2]` of the noise of examples: other ones for each stream, seed and epoch."""
    ids = tf.stack([index, tf.fill(tf.shape(index), tf.constant(stream, index.dtype))], axis=1)
    return noise.fold(tf.cast(ids, tf.uint32), seed, epoch)


def _share_size(batch_size: int, shard: Shard) -> int | None:
    """Rows of a replica's share of a batch; None where the shares differ."""
    size, rest = divmod(batch_size, shard.num_replicas)
    return None if rest else size


def _keyed_by_step(shape: tf.Tensor, seed: int, step: tf.Tensor) -> tf.Tensor:
    """Uniform noise float32 in [0, 1): the same on every machine for a (seed, step).

    One key a batch is many times faster than one an example. So a replica draws the rows before its
    own too: they are cheap, and its own are then those of the whole batch.
    """
    key = tf.stack([tf.constant(seed, tf.int64), step])
    return tf.random.stateless_uniform(shape, key, alg="philox")


def _to_unit_interval(x: tf.Tensor, u: tf.Tensor | None) -> tf.Tensor:
    """Grey levels uint8 `[B, H, W, C]` as float32 in [0, 1], spread over their bins by `u`."""
    levels = tf.cast(x, tf.float32)
    return levels / 255.0 if u is None else (levels + u) / 256.0


def _with_options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Options of both datasets: always the same order, and never sharded by file.

    Two operations leave the graph rewriter and the tuner nothing to gain, and to rewrite the
    graph they would copy all images.
    """
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)
