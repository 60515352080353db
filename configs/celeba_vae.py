"""CelebA, 64x64x3, with residual networks: a strong baseline with a single latent vector.

Command: sigma-vae-train --config=configs/celeba_vae.py --data_dir=DIR --workdir=runs/celeba
Cost:    12.0 million weights; 2.7 s a step of 32 images on 2 CPU cores, in 1.8 GB, or 4 hours an
         epoch: it takes a GPU.
Score:   not measured yet.
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "celeba"
    config.dataset_options = {"image_size": 64}
    config.flip = True
    config.network = "resnet64"
    # As many latents as Tolstikhin et al. 2018 (WAE) have for these images.
    config.latent_size = 64
    config.num_epochs = 20
    config.learning_rate_schedule = "cosine"
    config.warmup_steps = 100
    return config
