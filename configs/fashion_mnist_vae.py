"""Fashion-MNIST, 28x28x1, with the networks of the authors' code.

Command: sigma-vae-train --config=configs/fashion_mnist_vae.py --data_dir=DIR --workdir=runs/fashion
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "fashion_mnist"
    return config
