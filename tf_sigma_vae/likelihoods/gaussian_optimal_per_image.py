"""`gaussian_optimal_per_image`: `gaussian_optimal` with `average_over="image"`.

Source: Rybkin et al. 2021, Sec. 4, last paragraph.
"""

from typing import Any

import keras

from tf_sigma_vae.likelihoods import _gaussian
from tf_sigma_vae.likelihoods.gaussian_optimal import GaussianOptimal


@keras.saving.register_keras_serializable("tf_sigma_vae")
class GaussianOptimalPerImage(GaussianOptimal):
    """Gaussian whose scale is, in training, the root mean squared error of each image."""

    def __init__(
        self,
        bound: str = "floor",
        floor: float = _gaussian.HALF_GREY_LEVEL,
        momentum: float = 0.9,
        loc_activation: str = "sigmoid",
        **kwargs: Any,
    ) -> None:
        """Builds the layer; the arguments are those of `GaussianOptimal`."""
        # A saved configuration holds the base's argument too.
        kwargs.pop("average_over", None)
        super().__init__("image", bound, floor, momentum, loc_activation, **kwargs)
