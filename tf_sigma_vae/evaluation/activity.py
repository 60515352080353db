"""Active units: the latent dimensions that carry information about the image.

A dimension is active if the variance over images of its posterior mean exceeds 0.01.

Source: Burda et al. 2016, Sec. 5.1.
"""

import numpy as np

from tf_sigma_vae.evaluation import estimate

THRESHOLD = 0.01
UNIT = "count"


def active_units(posterior_means: np.ndarray) -> estimate.Estimate:
    """Number of active dimensions, with its standard error over images by bootstrap.

    Args:
      posterior_means: `[N, latent_size]`, `E[z|x]` of each image.

    Raises:
      FloatingPointError: If a mean is not finite.
    """
    means = estimate.require_finite("active_units", posterior_means)
    # The variance does not depend on the origin; near zero the difference of moments is exact.
    means = means - means.mean(axis=0)

    def count(weights: np.ndarray) -> np.ndarray:
        variance = weights @ means**2 - (weights @ means) ** 2
        return np.sum(variance > THRESHOLD, axis=1)

    error = estimate.bootstrap(count, len(means))
    return estimate.Estimate(float(np.sum(means.var(axis=0) > THRESHOLD)), error, UNIT)
