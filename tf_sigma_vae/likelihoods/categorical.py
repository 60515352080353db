"""`categorical`: a free probability for each of the 256 grey levels of every sub-pixel.

    P(k|z) = softmax(logits(z))_k,    256 logits a sub-pixel.

Memory. The logits of 128 images of 32x32x3 are 400 MB in float32. `GreyLevelCategorical` scores
them by one fused operation, so that a training step in a graph holds two tensors of that size at a
time: the logits and their gradient in the forward pass, then the gradient alone and what the last
convolution makes of it. Under mixed_bfloat16 the decoder's output and its gradient exist in copies
of 200 MB too. With `conv28` that is a peak of 1.7 GiB resident on a CPU (1.4 in mixed_bfloat16, 2.9
under XLA), of which the imported libraries take 0.7. Executed eagerly the logits live on in
`Output`: one more.

Source: Rybkin et al. 2021, Sec. 3.2; van den Oord et al. 2016 (the 256-way softmax of pixels).
"""

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions import GreyLevelCategorical
from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS
from tf_sigma_vae.likelihoods import _grey_levels


@keras.saving.register_keras_serializable("tf_sigma_vae")
class Categorical(_grey_levels.GreyLevelLikelihood):
    """Categorical on grey levels with logits `[B, H, W, C, 256]` emitted by the decoder."""

    def params_channels(self, channels: int) -> int:
        """256 logits for each channel."""
        return GREY_LEVELS * channels

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """See `Likelihood.distribution`; channel `c` has `params[..., 256 c : 256 (c + 1)]`."""
        self.ensure_built(params.shape)
        marginal = GreyLevelCategorical(_grey_levels.by_channel(params, GREY_LEVELS))
        return tfd.Independent(marginal, reinterpreted_batch_ndims=marginal.batch_shape.rank - 1)
