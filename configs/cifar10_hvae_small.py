"""CIFAR-10, 32x32x3: a small hierarchical VAE that trains in minutes on 2 CPU cores.

Command: sigma-vae-train --config=configs/cifar10_hvae_small.py --data_dir=DIR --workdir=runs/small
Cost:    0.5 million weights; 0.19 s a step on 2 CPU cores, or 7 minutes in all, in 1.1 GiB.
Score:   elbo 3921 nats, 6.11 bits/dim (mass) on 2,000 test images, after 1,200 steps on the first
         10,000 training images, 1,000 of them held out; all of them were not tried.
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "cifar10"
    config.model = "hierarchical_vae"
    config.network = "ladder32"
    config.network_options = {
        "channels": 32,
        "latents": [[16, 2], [8, 2], [4, 1], [1, 1]],
        "latent_channels": 8,
        "num_blocks": 1,
        "stochastic_bottom_up": False,
    }
    config.latent_size = 32
    config.global_batch_size = 64
    config.num_epochs = 3
    config.optimizer = "adamax"
    config.learning_rate = 2e-3
    config.learning_rate_schedule = "cosine"
    config.warmup_steps = 100
    config.ema_momentum = 0.99
    config.precision = "mixed_bfloat16"
    return config
