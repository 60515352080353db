"""A sweep whose runs cost nothing: training and measures are replaced by arithmetic."""

import gc
import json
import math
import pathlib

import keras
import numpy as np

from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation import fid, measures, record
from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.evaluate import Evaluation, unit_of
from tf_sigma_vae.sweep import convergence, information_plot, plot, runner, studies
from tf_sigma_vae.sweep.results import Result
from tf_sigma_vae.training import loop
from tf_sigma_vae.workdir import Workdir

IMAGE_SHAPE = (4, 6, 1)
NUM_DIMS = 24
NUM_TEST = 7


def config(**changes):
    """Of a sweep on tiny images: 18 for training and 2 for validation, in steps of 8."""
    values = {
        "dataset": "synthetic",
        "dataset_options": {"num_train": 20, "num_test": NUM_TEST, "image_size": [4, 6]},
        "network": "dense",
        "network_options": {"hidden_sizes": [5]},
        "latent_size": 3,
        "global_batch_size": 8,
        "num_epochs": 2,
        "tensorboard": False,
    }
    return Config(**{**values, **changes})


def evaluation(measure="density", split="test", num_examples=NUM_TEST, num_samples=0, **metrics):
    """An evaluation with some metrics."""
    protocol = {
        "dataset": "synthetic",
        "split": split,
        "num_examples": num_examples,
        "num_samples": num_samples,
        "global_batch_size": 128,
        "measure": measure,
        "step": 6,
        "image_shape": list(IMAGE_SHAPE),
    }
    found = {name: Estimate(value, 0.25, unit_of(name)) for name, value in metrics.items()}
    return Evaluation(found, protocol)


def row(name):
    """The row of a name, in whatever study it is."""
    if name.startswith("beta="):
        return studies.grid_row(float(name.removeprefix("beta=")))
    return studies.Row(name, name, studies.SWEEP_OPTIONS.get(name, {}))


def information(rate, lower, upper, saturated=False, num_examples=NUM_TEST, latent="whole"):
    """What `information.json` holds of I(x; z) in [lower, upper]."""
    ends = {
        "mutual_information": (lower, upper),
        "marginal_kl": (rate - upper, rate - lower),
    }
    return {
        "rate": {"value": rate, "standard_error": 0.25, "unit": "nats"},
        **{name: {"lower": low, "upper": high} for name, (low, high) in ends.items()},
        "saturated": saturated,
        "protocol": {
            "num_examples": num_examples,
            "log_num_examples": math.log(num_examples),
            "latent": latent,
        },
    }


def distances(frechet, kid=0.5, content_hash="0123456789", num_images=NUM_TEST, seed=0):
    """What `distances.json` holds."""
    protocol = fid.Protocol(
        fid.Extraction("saved_file", content_hash, "none", None, (0.0, 255.0)),
        fid.Source("data", num_images, IMAGE_SHAPE, True, "synthetic", "test"),
        fid.Source("mean", num_images, IMAGE_SHAPE, True, seed=seed),
    )
    values = {"frechet": frechet, "kid": kid}
    return {
        "metrics": {
            k: {"value": v, "standard_error": 0.75, "unit": "1"} for k, v in values.items()
        },
        "labels": {name: protocol.label(name) for name in values},
        "protocol": protocol.to_dict(),
    }


def result(name, seed=0, measure="density", validation_elbo=None, measured=None, **metrics):
    """The result of a run; `measured` are its other measures, by their name."""
    validation = None
    if validation_elbo is not None:
        validation = evaluation(split="validation", elbo=validation_elbo)
    found = evaluation(measure, **metrics)
    return Result(row(name), seed, found, validation, **(measured or {}))


class Trainings:
    """Stands for `loop.train`, `record.evaluate_run`, the measures and the pictures.

    Attributes:
      trained: Names of the folders of the runs that were trained, in order.
      evaluated: Names of the folders and splits of those that were evaluated.
      measured: Names of the folders and measures that were made.
      failure: What the training of a run raises, by the name of its folder.
    """

    def __init__(self, monkeypatch):
        """Replaces them."""
        self.trained, self.evaluated, self.measured, self.failure = [], [], [], {}
        monkeypatch.setattr(loop, "train", self._train)
        monkeypatch.setattr(record, "evaluate_run", self._evaluate)
        # They have made no graphs.
        monkeypatch.setattr(keras.backend, "clear_session", lambda: None)
        monkeypatch.setattr(gc, "collect", lambda: 0)
        monkeypatch.setattr(measures, "obtain", self._measure)
        monkeypatch.setattr(measures, "stored", self._stored)
        for module, name in (
            (plot, "rate_distortion"),
            (information_plot, "figure"),
            (convergence, "figure"),
        ):
            monkeypatch.setattr(module, name, lambda about, results: len(results))
        monkeypatch.setattr(plot, "save", lambda n, path: pathlib.Path(path).write_text(f"{n}"))

    def _train(self, config, workdir, **given):
        files = Workdir(workdir)
        name = files.path.rsplit("/", 1)[-1]
        if name in self.failure:
            raise self.failure[name]
        files.prepare(config, given["data_dir"])
        with open(files.model_file, "w", encoding="utf-8") as file:
            file.write("a model")
        self.trained.append(name)

    def _evaluate(self, run, images, split, num_samples, global_batch_size, progress):
        assert images.dtype == np.uint8
        self.evaluated.append((run.workdir.path.rsplit("/", 1)[-1], split))
        scale = run.config.likelihood_options.get("scale", 0.5)
        return evaluation(
            split=split,
            num_examples=len(images),
            num_samples=num_samples,
            elbo=-100.0 * scale - run.config.seed,
            rate=3.0 + run.config.seed,
            mse=scale / 10,
            beta_equivalent=2 * scale**2,
        )

    def _measure(self, run, name, options, extractor, data_dir, download, progress):
        self.measured.append((run.workdir.path.rsplit("/", 1)[-1], name))
        made = {
            "information": information(3.0, 1.0, 2.0, False, options.information_examples),
            "distances": distances(7.0, num_images=options.distance_samples),
        }[name]
        text = json.dumps({**made, "options": options._asdict()})
        pathlib.Path(measures.path_of(run, name)).write_text(text, encoding="utf-8")

    def _stored(self, run, name, options, extraction=None):
        path = pathlib.Path(measures.path_of(run, name))
        if not path.exists():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        number = {"information": "information_examples", "distances": "distance_samples"}[name]
        return found if found["options"][number] == getattr(options, number) else None


def sweep(workdir, study="beta", **given):
    """A sweep with few rows, unless asked for others."""
    values = {"seeds": [0], "betas": [0.1, 1.0], "variants": ["gaussian_optimal"], **given}
    base = values.pop("config", None) or config()
    return runner.Sweep(study, base, str(workdir), **values)
