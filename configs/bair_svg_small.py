"""BAIR robot pushing, 64x64x3: a small sequence VAE that trains in minutes on 2 CPU cores.

Command: sigma-vae-train --config=configs/bair_svg_small.py --data_dir=DIR --workdir=runs/bair_small
Cost:    1.4 million weights; 0.3 s a step on 2 CPU cores, or 10 minutes in all.
Score:   not measured on BAIR; on 441 rendered videos of the same shape, half of the steps: elbo
         15340 nats a frame, 6.19 bits/dim (density), PSNR of the best of 20 rollouts 24.6,
         20.9, 20.2 dB at steps 1, 5, 10.

The same on videos of your own, 64x64x3: --dataset=video_npz --config.dataset_options.path=FILE, and
--config.validation_fraction=0.1 where they are few.
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "bair_push"
    config.validation_fraction = 0.02
    config.model = "sequence_vae"
    config.model_options = {"feature_size": 64, "lstm_units": 128}
    config.network = "dcgan64"
    config.network_options = {"width": 16}
    config.latent_size = 16
    config.global_batch_size = 16
    config.num_train_steps = 2_000
    config.learning_rate = 1e-3
    config.learning_rate_schedule = "cosine"
    config.warmup_steps = 100
    config.precision = "mixed_bfloat16"
    return config
