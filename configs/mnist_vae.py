"""MNIST, 28x28x1: the paper's Table 3, with the networks of the authors' code.

Command: sigma-vae-train --config=configs/mnist_vae.py --data_dir=DIR --workdir=runs/mnist
Cost:    about 90 s an epoch on 2 CPU cores; 10 epochs.
Score:   test elbo of 823 nats after 3 epochs (gaussian_optimal, mean of three seeds).
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "mnist"
    return config
