"""A run that is finished without training: what evaluate and sample start from."""

import os

from tests._models import set_weights
from tf_sigma_vae import build
from tf_sigma_vae.config import Config
from tf_sigma_vae.workdir import Workdir

OPTIONS = {"network": "dense", "network_options": {"hidden_sizes": (5,)}, "latent_size": 3}


def finished_run(path, likelihood="gaussian_optimal", **options):
    """Writes `config.json` and `model.keras` of a run on the digits; returns its path."""
    config = Config(likelihood=likelihood, **{**OPTIONS, **options})
    workdir = Workdir(path)
    workdir.prepare(config, data_dir=None)
    images = build.load_splits(config).train
    model = set_weights(build.model(config, images.shape[1:]), scale=0.8)
    model.calibrate(images[:50].astype("float32") / 255.0)
    model.save(workdir.model_file)
    return os.fspath(workdir.path)
