"""Random numbers as a pure function of (seed, step, example).

Row `b` of the noise depends on the content of example `b`, on the run's seed and on the step, and
on nothing else: not on the batch the example is in, its place there, the number of replicas, or
the numbers drawn before. Hence a resumed run repeats the interrupted one, n replicas equal one,
changing one example never changes another's noise, and a served sample repeats.

The generator is Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as
easy as 1, 2, 3"), counter based, written in element-wise integer operations: TensorFlow's
stateless generators take one key a call, not one a row, and mapping them over rows costs a loop.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import TensorLike

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_WORD = 0xFFFFFFFF
_SPREAD = 0x1E3779B97F4A7C15


def threefry2x32(
    key: Sequence[tf.Tensor], counter: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """The Threefry-2x32-20 block function, element by element.

    Args:
      key: Pair of uint32 tensors.
      counter: Pair of uint32 tensors that broadcast against the key.

    Returns:
      Pair of uint32 tensors of the broadcast shape: 64 random bits an element.
    """
    parity = tf.constant(_PARITY, tf.uint32)
    schedule = (key[0], key[1], tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(*key), parity))
    x0, x1 = counter[0] + schedule[0], counter[1] + schedule[1]
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            x0 = x0 + x1
            left = tf.bitwise.left_shift(x1, tf.constant(rotation, tf.uint32))
            right = tf.bitwise.right_shift(x1, tf.constant(32 - rotation, tf.uint32))
            x1 = tf.bitwise.bitwise_xor(tf.bitwise.bitwise_or(left, right), x0)
        x0 = x0 + schedule[(block + 1) % 3]
        x1 = x1 + schedule[(block + 2) % 3] + tf.constant(block + 1, tf.uint32)
    return x0, x1


def example_ids(x: TensorLike) -> tf.Tensor:
    """A 64-bit hash of each example's content.

    Args:
      x: Floating-point tensor `[B, ...]`; sizes of the event may be unknown, as T of clips.

    Returns:
      uint32 `[B, 2]`. Equal examples have equal ids, wherever they stand.
    """
    x = tf.cast(x, tf.float32)
    size = x.shape[1:].num_elements()
    if size is None:
        size = tf.reduce_prod(tf.shape(x)[1:])
        weights = _hash_weights_in_graph(size)
    else:
        weights = _hash_weights(size)
    bits = tf.reshape(tf.bitcast(x, tf.int32), [-1, size])
    # Floats of few significant bits (binary images) are multiples of a large power of two, and so
    # would be every product: spread them over the word first.
    mixed = tf.cast(bits, tf.int64) * _SPREAD
    mixed = tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, 32))
    # A sum of products with odd pseudo-random 64-bit weights, modulo 2**64.
    total = tf.reduce_sum(mixed * weights, axis=1)
    words = [tf.bitwise.bitwise_and(total, _WORD), tf.bitwise.right_shift(total, 32) & _WORD]
    return tf.stack([tf.cast(w, tf.uint32) for w in words], axis=1)


def _hash_weights(size: int) -> np.ndarray:
    """Odd 64-bit constants: SplitMix64 (Steele et al. 2014) of 1 ... size."""
    with np.errstate(over="ignore"):
        state = np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((state ^ (state >> np.uint64(31))) | np.uint64(1)).view(np.int64)


def _hash_weights_in_graph(size: tf.Tensor) -> tf.Tensor:
    """The same for a size that is a tensor, int64."""

    def signed(word: int) -> tf.Tensor:
        return tf.constant(word - (1 << 64) if word >> 63 else word, tf.int64)

    def xor_shifted(state: tf.Tensor, places: int) -> tf.Tensor:
        # Of a signed number the shift brings in copies of its sign.
        shifted = tf.bitwise.right_shift(state, tf.constant(places, tf.int64))
        return tf.bitwise.bitwise_xor(state, shifted & signed((1 << (64 - places)) - 1))

    state = tf.range(1, tf.cast(size, tf.int64) + 1) * signed(0x9E3779B97F4A7C15)
    state = xor_shifted(state, 30) * signed(0xBF58476D1CE4E5B9)
    state = xor_shifted(state, 27) * signed(0x94D049BB133111EB)
    return tf.bitwise.bitwise_or(xor_shifted(state, 31), signed(1))


def row_ids(num_rows: int, seed: int | tf.Tensor) -> tf.Tensor:
    """Ids of numbered rows, for draws that belong to no example (prior samples).

    Args:
      num_rows: Number of rows `n`.
      seed: Integer; another seed gives other rows.

    Returns:
      uint32 `[n, 2]`; the first rows do not depend on `n`.
    """
    rows = tf.stack([tf.range(num_rows), tf.zeros([num_rows], tf.int32)], axis=1)
    return fold(tf.cast(rows, tf.uint32), seed)


def fold(ids: tf.Tensor, seed: int | tf.Tensor, step: int | tf.Tensor = 0) -> tf.Tensor:
    """Ids of another stream of random numbers: one for each (seed, step).

    Args:
      ids: uint32 `[B, 2]`.
      seed: Integer scalar.
      step: Integer scalar, possibly a tensor.

    Returns:
      uint32 `[B, 2]`.
    """
    counter = [tf.cast(tf.cast(v, tf.int64) & _WORD, tf.uint32) for v in (seed, step)]
    return tf.stack(threefry2x32((ids[:, 0], ids[:, 1]), counter), axis=1)


def _uniform_pairs(ids: tf.Tensor, num_pairs: int) -> list[tf.Tensor]:
    """Two float32 `[B, num_pairs]` in (0, 1); the first columns do not depend on `num_pairs`."""
    counter = tf.cast(tf.range(num_pairs), tf.uint32)[tf.newaxis]
    pair = threefry2x32((ids[:, :1], ids[:, 1:]), (counter, tf.zeros_like(counter)))
    shift = tf.constant(9, tf.uint32)
    numerators = [tf.cast(tf.bitwise.right_shift(word, shift), tf.int32) for word in pair]
    # (k + 1/2) / 2**23: exact in float32, and never 0 or 1.
    return [tf.cast(2 * k + 1, tf.float32) * 2.0**-24 for k in numerators]


def _rows(pair: Sequence[tf.Tensor], shape: Sequence[int] | tf.TensorShape) -> tf.Tensor:
    size = int(np.prod(shape))
    interleaved = tf.reshape(tf.stack(pair, axis=-1), [-1, 2 * ((size + 1) // 2)])
    return tf.reshape(interleaved[:, :size], [-1, *shape])


def uniform(ids: tf.Tensor, shape: Sequence[int] | tf.TensorShape) -> tf.Tensor:
    """Uniform noise in the open interval (0, 1), float32 `[B, *shape]`, row by row from `ids`."""
    return _rows(_uniform_pairs(ids, (int(np.prod(shape)) + 1) // 2), shape)


def normal(ids: tf.Tensor, shape: Sequence[int] | tf.TensorShape) -> tf.Tensor:
    """Standard normal noise, float32 `[B, *shape]`, row by row from `ids`.

    By the Box-Muller transform of 23-bit uniform numbers, so that |noise| < 5.8.
    """
    first, second = _uniform_pairs(ids, (int(np.prod(shape)) + 1) // 2)
    radius = tf.sqrt(-2.0 * tf.math.log(first))
    angle = np.float32(2.0 * np.pi) * second
    return _rows((radius * tf.cos(angle), radius * tf.sin(angle)), shape)
