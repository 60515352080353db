"""The bound and its two terms, per example, with the stored scale and with that of the data.

    elbo = -(distortion + rate),    one z ~ q(z|x) for each image, rate in closed form.

The paper's code evaluates an analytic decoder with the scale of the evaluated batch (or image).
That figure looks at what it scores, so it is no likelihood; it is given beside the bound as
`*_batch_scale` (`*_image_scale`).

Source: Rybkin et al. 2021, Eq. 3, and Sec. 4 for the stored scale.
"""

import tensorflow as tf

from tf_sigma_vae import objectives
from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.models import Output

UNIT = "nats"


def terms(output: Output) -> dict[str, tf.Tensor]:
    """`elbo`, `rate` and `distortion` of each example, `[B]`, nats."""
    return {
        "elbo": objectives.elbo(output.distortion, output.rate),
        "rate": output.rate,
        "distortion": output.distortion,
    }


def plug_in_terms(likelihood: Likelihood, output: Output, x: tf.Tensor) -> dict[str, tf.Tensor]:
    """The terms of the paper's code, `[B]`, nats; empty where the scale is not analytic.

    Args:
      likelihood: The model's likelihood.
      output: Of the model for `x`, outside of training.
      x: `[B, H, W, C]`, the evaluated batch, which sets the scale; of a model of clips the
        predicted frames.
    """
    if not hasattr(likelihood, "plug_in_distribution"):
        return {}
    plug_in = likelihood.plug_in_distribution(output.params, x)
    distortion = -plug_in.log_prob(tf.cast(x, tf.float32))
    source = f"{likelihood.average_over}_scale"
    return {
        f"elbo_{source}": objectives.elbo(distortion, output.rate),
        f"distortion_{source}": distortion,
    }
