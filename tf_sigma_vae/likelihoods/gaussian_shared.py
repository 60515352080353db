"""`gaussian_shared`: one trainable scale for the whole image, the paper's simplest sigma-VAE.

    -log p(x|z) = e / (2 s^2) + D log s + (D/2) log(2 pi),    log s a single trainable scalar.

The gradient in `log s` vanishes exactly when `s^2` is the mean squared error.

Source: Rybkin et al. 2021, Sec. 3.1, Eq. 2 and 3.
"""

import keras

from tf_sigma_vae.likelihoods import _trainable_scale


@keras.saving.register_keras_serializable("tf_sigma_vae")
class GaussianShared(_trainable_scale.TrainableScaleLikelihood):
    """Gaussian with one trainable scalar `log_scale`."""

    scale_per = "image"

    def scale_shape(self, params_shape: tuple) -> tuple[int, ...]:
        """A scalar."""
        return ()
