"""CelebA, 32x32x3: the paper's "larger hierarchical VAE", reconstructed as in `cifar10_hvae`.

Command: sigma-vae-train --config=configs/celeba_hvae.py --data_dir=DIR --workdir=runs/celeba_hvae
Cost:    28.0 million weights; on 2 CPU cores 50 s for the first step, then 7 hours an epoch,
         in 2.9 GiB and 44 MiB an image: it takes a GPU.
Score:   not measured: it takes a GPU.

For 64x64 set `--config.dataset_options.image_size=64`: one more map on the way, the same latents.
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "celeba"
    config.dataset_options = {"image_size": 32}
    config.flip = True
    config.model = "hierarchical_vae"
    config.network = "ladder32"
    config.latent_size = 160
    config.free_bits = 2.0
    config.rate_warmup_steps = 10_000
    config.global_batch_size = 48
    config.num_epochs = 100
    config.optimizer = "adamax"
    config.learning_rate = 2e-3
    config.learning_rate_schedule = "cosine"
    config.warmup_steps = 1_000
    config.skip_norm = 1e5
    config.ema_momentum = 0.999
    config.checkpoint_every_steps = 2_000
    return config
