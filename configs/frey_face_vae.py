"""Frey Face, 1,965 frames of one face, 28x20x1.

Command: sigma-vae-train --config=configs/frey_face_vae.py --data_dir=DIR --workdir=runs/frey_face
Cost:    about 2 minutes on 2 CPU cores.
Score:   see README.md, Results.
"""

from tf_sigma_vae.config import base


def get_config():
    config = base()
    config.dataset = "frey_face"
    config.num_epochs = 60
    config.learning_rate_schedule = "cosine"
    # 1,365 frames are soon learned by heart: keep the epoch that does best on the held-out block.
    config.select = "best"
    return config
