"""The evaluation of a finished run as kept in its folder: made, written and read."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_sigma_vae import data
from tf_sigma_vae.content_hash import sha256
from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.evaluate import Evaluation, evaluate_model
from tf_sigma_vae.evaluation.runs import FinishedRun
from tf_sigma_vae.evaluation.table import to_json
from tf_sigma_vae.version import __version__
from tf_sigma_vae.workdir import write_atomically


def evaluate_run(
    run: FinishedRun,
    images: np.ndarray | data.VideoSource,
    split: str,
    num_samples: int | None = None,
    global_batch_size: int | None = None,
    progress: Callable[[int], object] | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> Evaluation:
    """Evaluates a run; the protocol also says what the run was.

    Args:
      run: The run.
      images: Of `run.images(split)`: uint8 `[N, H, W, C]`, or a source of videos, which are
        evaluated in clips of `run.clip_length`.
      split: Where the images come from.
      num_samples: K of the importance-weighted bound; 0 leaves it out. By default as
        `evaluate_model` has it.
      global_batch_size: Images, or clips, a batch; by default as there.
      progress: Called after each batch with the number of images, or clips, in it.
      strategy: On whose replicas to evaluate; one device if None.

    Returns:
      An `Evaluation`.

    Raises:
      ValueError: On images that the model does not take, or an impossible number.
      NotCalibratedError: If an analytic likelihood holds no scale.
      FloatingPointError: If a figure is not finite.
    """
    clip_length = run.clip_length(images) if isinstance(images, data.VideoSource) else None
    found = evaluate_model(
        run.model(strategy), images, num_samples, global_batch_size, progress, clip_length
    )
    config = run.config
    protocol: dict[str, Any] = {
        "dataset": config.dataset,
        "split": split,
        "variant": config.likelihood,
    }
    protocol |= {"split_size": run.split_size(split)}
    protocol |= {"model_sha256": sha256(run.workdir.model_file)}
    protocol |= {"trained_dequantized": config.dequantize, **found.protocol}
    versions = {"tf-sigma-vae": __version__, **found.protocol["versions"]}
    return found._replace(protocol={**protocol, "versions": versions})


def write(evaluation: Evaluation, path: str) -> None:
    """Writes an evaluation, atomically.

    Raises:
      OSError: If the file cannot be written.
    """
    write_atomically(path, to_json(evaluation))


def read(path: str) -> Evaluation | None:
    """The evaluation in a file; None if there is none that can be read."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        metrics = {name: Estimate(**fields) for name, fields in content["metrics"].items()}
        return Evaluation(metrics, dict(content["protocol"]))
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None
