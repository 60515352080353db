"""CIFAR-10, 32x32x3, with the networks of the authors' code: the flat model beside the hierarchy.

Command: sigma-vae-train --config=configs/cifar10_vae.py --data_dir=DIR --workdir=runs/cifar10
Cost:    3.8 million weights; about 6 minutes an epoch on 2 CPU cores (from the time of a step).
Score:   not measured yet.
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "cifar10"
    config.flip = True
    # Ours: the paper trains no flat model on these images.
    config.latent_size = 128
    config.num_epochs = 20
    return config
