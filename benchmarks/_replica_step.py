"""Training on a number of replicas that share this machine's CPU, a competitor of `_worker`."""

import dataclasses

import numpy as np
import tensorflow as tf

import tf_sigma_vae  # noqa: F401  (registers what the model is made of)
from benchmarks import _equality, _ours
from tf_sigma_vae import training
from tf_sigma_vae.training import batches


def serve(setting: str, args):
    """Obeys the parent.

    Args:
      setting: Likelihood and number of replicas, `"gaussian_shared:2"`.
      args: Command line of `_worker`.
    """
    likelihood, _, number = setting.partition(":")
    distribution = tf.distribute.get_strategy()
    if int(number) > 1:
        distribution = _equality.logical_devices(int(number))
    config = _ours.config_of("float32", args.images, args.batch_size, args.steps)
    config = dataclasses.replace(config, likelihood=likelihood)
    images = np.load(args.images)["train"]
    with distribution.scope():
        model = training.compiled_model(config, images.shape[1:], _ours.ENDLESS)
    model.fit(
        batches.training(distribution, config, images, start_step=0),
        steps_per_epoch=_ours.ENDLESS,
        shuffle=False,
        callbacks=[_ours.Gate()],
        verbose=0,
    )
