"""The contract check that others call, on our likelihoods and on broken ones."""

import keras
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tf_sigma_vae as sv
from tests._representatives import REPRESENTATIVES
from tf_sigma_vae import likelihoods, plugins

tfd = tfp.distributions


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in REPRESENTATIVES else pytest.mark.slow)
        for name in plugins.names("likelihoods")
    ],
)
def test_every_likelihood_keeps_the_contract(name):
    sv.testing.check_likelihood(name)


class Wrong(likelihoods.GaussianFixed):
    """Its distribution is changed by `change`."""

    change = staticmethod(lambda distribution: distribution)

    def distribution(self, params, x=None, training=False):
        return self.change(super().distribution(params, x, training))


class ReadsImages(Wrong):
    def distribution(self, params, x=None, training=False):
        loc = params if x is None else params + tf.reduce_mean(x)
        return super().distribution(loc)


class Unregistered(Wrong):
    pass


def changed(name, change):
    cls = type(name, (Wrong,), {"change": staticmethod(change)})
    return keras.saving.register_keras_serializable("tests")(cls)


WRONG = {
    "batch and event shape": changed("Flat", lambda d: d.distribution),
    "float32": changed(
        "Double",
        lambda d: tfd.Independent(
            tfd.Normal(tf.cast(d.mean(), tf.float64), tf.constant(1.0, tf.float64)), 3
        ),
    ),
    "not finite": changed("Endless", lambda d: tfd.Independent(tfd.Normal(d.mean(), 0.0), 3)),
    "must not read the images": keras.saving.register_keras_serializable("tests")(ReadsImages),
    "register the class": Unregistered,
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_said(message):
    with pytest.raises(AssertionError, match=message):
        sv.testing.check_likelihood(WRONG[message])


def test_what_is_no_likelihood_is_said():
    with pytest.raises(AssertionError, match="must derive from"):
        sv.testing.check_likelihood(keras.layers.Dense)
