"""SVHN, 28x28x3: the paper's Table 1 and the SVHN column of Table 2.

Command: sigma-vae-train --config=configs/svhn_vae.py --data_dir=DIR --workdir=runs/svhn
Cost:    about 110 s an epoch on 2 CPU cores (estimated from 28x28x1); 10 epochs.
Score:   not measured yet.
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "svhn"
    config.dataset_options = {"image_size": 28}
    return config
