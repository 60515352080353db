"""BAIR robot pushing, 64x64x3: the paper's sequence model, SVG-LP with a calibrated decoder.

Command: sigma-vae-train --config=configs/bair_svg.py --data_dir=DIR --workdir=runs/bair_svg
Cost:    12.7 million weights; on 2 CPU cores 0.6 s a step at batches of 4, in 1.3 GiB: it takes a
         GPU.
Score:   not measured: it takes a GPU.

Rybkin et al. 2021 (Table 2, last column) train SVG-LP (Denton & Fergus 2018) with its own settings
for BAIR: two frames given, ten predicted in training, 28 in evaluation, g of 128 numbers, z of 64,
LSTMs of 256, Adam at 2e-3, batches of 100 in 300 epochs of 600 batches. Here an epoch is a pass
over the 43,264 videos, 433 batches, and there are as many batches in all. For the larger networks
that SVG's paper uses on BAIR set `--config.network=vgg64`.
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "bair_push"
    config.validation_fraction = 0.006
    config.train_frames = 12
    config.eval_frames = 30
    config.model = "sequence_vae"
    config.model_options = {"context_frames": 2, "feature_size": 128, "lstm_units": 256}
    config.network = "dcgan64"
    config.latent_size = 64
    config.likelihood = "gaussian_optimal"
    config.global_batch_size = 100
    config.num_train_steps = 180_000
    config.learning_rate = 2e-3
    config.checkpoint_every_steps = 2_000
    return config
