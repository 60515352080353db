"""Fashion-MNIST, 28x28x1, with the networks of the authors' code.

Command: sigma-vae-train --config=configs/fashion_mnist_vae.py --data_dir=DIR --workdir=runs/fashion
Cost:    about 90 s an epoch on 2 CPU cores; 10 epochs.
Score:   test elbo of 650.6 nats after 2 epochs on all 60,000 images (gaussian_optimal).
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "fashion_mnist"
    return config
