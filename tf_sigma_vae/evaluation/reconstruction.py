"""How close the mean image of `p(x|z)`, with one `z ~ q(z|x)`, comes to `x`.

    mse  = mean over pixels and channels of (x - loc)^2,    psnr = -10 log10(mse)    of each image.

Data lie in [0, 1], so that the peak of the signal is 1. No decoder's noise is added.
"""

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tf_sigma_vae.models import Output

MSE_UNIT = "data^2"
PSNR_UNIT = "dB"


def mean_squared_error(output: Output, x: tf.Tensor) -> tf.Tensor:
    """Squared error of the mean image, averaged over the event: float64 `[B]`."""
    error = tf.cast(tf.cast(x, tf.float32) - output.likelihood.mean(), tf.float64)
    return tf.reduce_mean(error**2, axis=list(range(1, error.shape.rank)))


def psnr(mse: ArrayLike) -> np.ndarray:
    """Peak signal-to-noise ratio of images in [0, 1], dB, of the shape of `mse`.

    Infinite for an exact copy.
    """
    with np.errstate(divide="ignore"):
        return -10.0 * np.log10(np.asarray(mse, np.float64))
