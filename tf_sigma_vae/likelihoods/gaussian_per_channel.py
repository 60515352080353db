"""`gaussian_per_channel`: one trainable scale for each channel of the image.

`gaussian_shared` with `C` scales: for data whose channels differ in noise (colour, depth,
multi-spectral). Not in the paper.
"""

import keras

from tf_sigma_vae.likelihoods import _trainable_scale


@keras.saving.register_keras_serializable("tf_sigma_vae")
class GaussianPerChannel(_trainable_scale.TrainableScaleLikelihood):
    """Gaussian with `C` trainable `log_scale`."""

    scale_per = "channel"

    def scale_shape(self, params_shape: tuple) -> tuple[int, ...]:
        """One scale a channel, `[C]`."""
        return (params_shape[-1],)
