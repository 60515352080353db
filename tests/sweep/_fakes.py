"""A sweep whose runs cost nothing: training and evaluation are replaced by arithmetic."""

import pathlib

import numpy as np

from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation import record
from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.evaluate import UNITS, Evaluation
from tf_sigma_vae.sweep import plot, runner, studies
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
    found = {name: Estimate(value, 0.25, UNITS[name]) for name, value in metrics.items()}
    return Evaluation(found, protocol)


def row(name):
    """The row of a name, in whatever study it is."""
    if name.startswith("beta="):
        return studies.grid_row(float(name.removeprefix("beta=")))
    return studies.Row(name, name, studies.SWEEP_OPTIONS.get(name, {}))


def result(name, seed=0, measure="density", validation_elbo=None, **metrics):
    """The result of a run."""
    validation = None
    if validation_elbo is not None:
        validation = evaluation(split="validation", elbo=validation_elbo)
    return Result(row(name), seed, evaluation(measure, **metrics), validation)


class Trainings:
    """Stands for `loop.train`, `record.evaluate_run` and the picture.

    Attributes:
      trained: Names of the folders of the runs that were trained, in order.
      evaluated: Names of the folders and splits of those that were evaluated.
      failure: What the training of a run raises, by the name of its folder.
    """

    def __init__(self, monkeypatch):
        """Replaces them."""
        self.trained, self.evaluated, self.failure = [], [], {}
        monkeypatch.setattr(loop, "train", self._train)
        monkeypatch.setattr(record, "evaluate_run", self._evaluate)
        monkeypatch.setattr(plot, "rate_distortion", lambda about, results: len(results))
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


def sweep(workdir, study="beta", **given):
    """A sweep with few rows, unless asked for others."""
    values = {"seeds": [0], "betas": [0.1, 1.0], "variants": ["gaussian_optimal"], **given}
    base = values.pop("config", None) or config()
    return runner.Sweep(study, base, str(workdir), **values)
