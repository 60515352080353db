"""What the likelihoods of 8-bit values share: a probability mass on the 256 grey levels."""

import tensorflow as tf

from tf_sigma_vae.likelihoods._base import Likelihood


class GreyLevelLikelihood(Likelihood):
    """Base of the discrete likelihoods: `x` holds the values `k / 255`, `k` in 0 ... 255."""

    measure = "mass"
    has_scale = False
    value_range = (0.0, 1.0)

    def bin_log_mass(self, distribution, x):
        """Log-probability of the images `x`, float64 `[B]`, nats: the likelihood itself."""
        return tf.cast(distribution.log_prob(tf.cast(x, tf.float32)), tf.float64)

    def provenance(self):
        """All parameters are outputs of the network."""
        return {"source": "network"}
