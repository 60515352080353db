"""What a model returns: distributions, and their terms in nats."""

from typing import NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd


class Inference(NamedTuple):
    """A draw of the latent of images, and what the decoder makes of it; all but the likelihood."""

    posterior: tfd.Distribution
    """See `Output`; so are the others."""
    z: tf.Tensor
    """See there."""
    params: tf.Tensor
    """See there."""
    rate_groups: tf.Tensor
    """See there."""


class Output(NamedTuple):
    """What `model(x)` returns. `B` is the batch size; nats are summed over the event."""

    posterior: tfd.Distribution
    """q(z given x), batch shape `[B]`."""
    likelihood: tfd.Distribution
    """p(x given z), batch shape `[B]`, event shape `[H, W, C]`."""
    z: tf.Tensor
    """`[B, latent_size]`, drawn from the posterior."""
    params: tf.Tensor
    """`[B, H, W, P]`, raw output of the decoder."""
    rate: tf.Tensor
    """`[B]`, nats, `KL(q(z given x), p(z))`."""
    rate_groups: tf.Tensor
    """`[B, G]`, nats, the same by latent dimension (or level, or frame): what free bits are for."""
    distortion: tf.Tensor
    """`[B]`, nats, `-log p(x given z)`."""
