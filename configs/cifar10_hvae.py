"""CIFAR-10, 32x32x3: the paper's "larger hierarchical VAE", reconstructed.

Command: sigma-vae-train --config=configs/cifar10_hvae.py --data_dir=DIR --workdir=runs/cifar10_hvae
Cost:    28.0 million weights; on 2 CPU cores 50 s for the first step, then 2 hours an epoch,
         in 2.9 GiB and 44 MiB an image: it takes a GPU.
Score:   not measured: it takes a GPU.

Rybkin et al. 2021 (Table 2) name BIVA (Maaloe et al. 2019) and state no sizes. Taken from BIVA's
published code: 15 latents, 96 channels, three blocks a level, batches of 48, Adamax at 2e-3, 2 nats
free for each level. Assumed: what `ladder32` says of the networks, the moving average of the
weights, the warm-ups, the length of the training (theirs has no end), the limit of the gradient,
ten times the norm of the first steps (`gradient_norm` in metrics.jsonl).
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "cifar10"
    config.flip = True
    config.model = "hierarchical_vae"
    config.network = "ladder32"
    # The options of the model and the network are those of the reference by default. As many
    # numbers at the top as BIVA's map of 4x4x10 has.
    config.latent_size = 160
    config.free_bits = 2.0
    config.rate_warmup_steps = 10_000
    config.global_batch_size = 48
    config.num_epochs = 400
    config.optimizer = "adamax"
    config.learning_rate = 2e-3
    config.learning_rate_schedule = "cosine"
    config.warmup_steps = 1_000
    config.skip_norm = 1e5
    config.ema_momentum = 0.999
    config.checkpoint_every_steps = 2_000
    return config
