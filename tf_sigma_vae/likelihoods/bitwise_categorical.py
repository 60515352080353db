"""`bitwise_categorical`: the eight bits of every sub-pixel as independent Bernoulli variables.

    log P(k|z) = sum_j log Bernoulli(b_j(k); sigmoid(logits_j(z))),    8 logits a sub-pixel.

A 32nd of the parameters of `categorical`; what it cannot express is dependence between bits.

Source: Rybkin et al. 2021, Sec. 3.2.
"""

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions import GreyLevelBits
from tf_sigma_vae.distributions.grey_level_bits import NUM_BITS
from tf_sigma_vae.likelihoods import _grey_levels


@keras.saving.register_keras_serializable("tf_sigma_vae")
class BitwiseCategorical(_grey_levels.GreyLevelLikelihood):
    """Independent bits with log-odds `[B, H, W, C, 8]`, the most significant bit first."""

    def params_channels(self, channels: int) -> int:
        """8 log-odds for each channel."""
        return NUM_BITS * channels

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """See `Likelihood.distribution`; channel `c` has `params[..., 8 c : 8 (c + 1)]`."""
        self.ensure_built(params.shape)
        marginal = GreyLevelBits(_grey_levels.by_channel(params, NUM_BITS))
        return tfd.Independent(marginal, reinterpreted_batch_ndims=marginal.batch_shape.rank - 1)
