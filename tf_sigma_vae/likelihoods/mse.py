"""`mse`: the deliberately wrong baseline, *mean* squared error in place of a likelihood.

Averaging the squared error over the `D` elements while the rate stays summed is the most frequent
error of public implementations: `e / D + rate` has the optimum of a Gaussian of variance `D / 2`,
so that for images the latent is all but ignored. Kept because the authors' code ships it. Written
here as that Gaussian, so that its elbo is a likelihood like any other:

    -log p(x|z) = e / D + (D/2) log(pi D).

Source: the authors' published code; Rybkin et al. 2021, Sec. 3.1.
"""

import math

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.likelihoods import _gaussian


@keras.saving.register_keras_serializable("tf_sigma_vae")
class Mse(_gaussian.GaussianLikelihood):
    """Gaussian of variance `D / 2`: its gradient is that of the mean squared error."""

    scale_per = "image"

    def distribution(
        self, params: tf.Tensor, x: TensorLike | None = None, training: bool = False
    ) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        self.ensure_built(params.shape)
        num_dims = tf.TensorShape(params.shape[1:]).num_elements()
        if num_dims is None:
            num_dims = tf.cast(tf.reduce_prod(tf.shape(params)[1:]), tf.float32)
            return _gaussian.independent_normal(self.loc(params), tf.sqrt(num_dims / 2.0))
        return _gaussian.independent_normal(self.loc(params), math.sqrt(num_dims / 2.0))

    def provenance(self) -> dict[str, object]:
        """The scale follows from the size of the image."""
        return {"source": "constant", "variance": "D / 2"}
