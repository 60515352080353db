"""Your own images: an .npz file of uint8 arrays, or a folder of PNG and JPEG files.

Command: sigma-vae-train --config=configs/pixels_vae.py --workdir=runs/mine
             --dataset=npz --config.dataset_options.path=images.npz
   or:       --dataset=image_folder --config.dataset_options.path=FOLDER
             --config.dataset_options.image_size=64
Cost:    depends on your images.
Score:   depends on your images.
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "npz"
    config.latent_size = 64
    config.num_epochs = 50
    return config
