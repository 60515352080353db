"""Probabilities of a categorical variable, and draws that depend on none drawn beside them.

TensorFlow's own sampler divides the rows of the logits among threads, so that what the first rows
get depends on how many there are.
"""

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow.types.experimental import TensorLike


def softmax(logits: tf.Tensor) -> tf.Tensor:
    """Probabilities over the last axis, of logits of any rank: TensorFlow's own takes five axes."""
    rows = tf.reshape(logits, [-1, logits.shape[-1]])
    return tf.reshape(tf.nn.softmax(rows), tf.shape(logits))


def sample(logits: tf.Tensor, num_samples: int | tf.Tensor, seed: TensorLike) -> tf.Tensor:
    """Draws categories by inverting the CDF, with one uniform number a draw.

    Args:
      logits: `[B..., K]`, unnormalized log-probabilities.
      num_samples: Draws `n` for each row, an integer or a scalar tensor.
      seed: Of TFP's stateless samplers.

    Returns:
      int32 `[n, B...]`, 0 ... K - 1.
    """
    num_categories = logits.shape[-1]
    zero, one = tf.zeros([], logits.dtype), tf.ones([], logits.dtype)
    shape = tf.concat([[num_samples], tf.shape(logits)[:-1]], axis=0)
    uniform = tfp.distributions.Uniform(zero, one).sample(shape, seed=seed)
    cdf = tf.cumsum(tf.nn.softmax(tf.reshape(logits, [-1, num_categories])), axis=-1)
    # Rounding may leave the last value of the CDF off 1.
    targets = cdf[:, -1:] * tf.transpose(tf.reshape(uniform, [num_samples, -1]))
    category = tf.minimum(tf.searchsorted(cdf, targets, side="right"), num_categories - 1)
    return tf.reshape(tf.transpose(category), shape)
