"""Moving MNIST, 64x64x1: SVG-LP at the sizes of its authors, with a calibrated decoder.

Command: sigma-vae-train --config=configs/moving_mnist_svg.py --data_dir=DIR --workdir=runs/mm_svg
Cost:    12.6 million weights, of clips of 15 frames in batches of 100: it takes a GPU.
Score:   not measured: it takes a GPU.

Denton & Fergus 2018: five frames given and ten predicted in training, 30 frames in evaluation,
batches of 100, Adam at 2e-3, 300 epochs of 600 batches, z of 10 numbers; their published code has
no decay of the learning rate. Ours: groups, not batches, are normalized (see `dcgan64`), and the
decoder's scale is in the place of their beta of 1e-4 on the mean squared error.
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "moving_mnist"
    config.validation_fraction = 0.01
    config.train_frames = 15
    config.eval_frames = 30
    config.model = "sequence_vae"
    config.model_options = {"context_frames": 5, "feature_size": 128, "lstm_units": 256}
    config.network = "dcgan64"
    config.latent_size = 10
    config.global_batch_size = 100
    config.num_epochs = 300
    config.learning_rate = 2e-3
    config.checkpoint_every_steps = 2_000
    return config
