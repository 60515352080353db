"""1,797 real 8x8 digit scans (scikit-learn), a small convolutional VAE. Needs no download.

Command: sigma-vae-train --config=configs/digits_vae.py --workdir=runs/digits
Cost:    about 40 s on 2 CPU cores.
Score:   test elbo of about 31 nats (gaussian_optimal), -61 (gaussian_fixed).
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "digits"
    config.network_options = {"width": 16}
    config.latent_size = 10
    config.num_epochs = 60
    config.learning_rate = 2e-3
    config.learning_rate_schedule = "cosine"
    return config
