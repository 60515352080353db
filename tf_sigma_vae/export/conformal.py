"""Scores of held-out images, from which the exported model computes its p-values.

Split-conformal: if a new image is exchangeable with the `n` held-out ones, the rank of its score
among theirs is uniform, so that `p = (1 + #{scores >= score}) / (1 + n)` is at most t with a
probability of at most t, for any level t, whatever the model and however badly it fits.

Source: Vovk, Gammerman & Shafer 2005; Papadopoulos et al. 2002 (split).
"""

from collections.abc import Callable

import numpy as np

from tf_sigma_vae import data
from tf_sigma_vae.evaluation.estimate import require_finite
from tf_sigma_vae.evaluation.runs import FinishedRun

GLOBAL_BATCH_SIZE = 128
SPLITS = ("auto", "validation", "test")


def held_out_images(
    run: FinishedRun, split: str, num_examples: int, data_dir: str | None, download: bool
) -> tuple[np.ndarray, str]:
    """Images that the model has not been trained on.

    Args:
      run: The run.
      split: One of `SPLITS`; `"auto"` is the validation split where the run has one and has not
        chosen its weights by it, else the test split. Images that the weights were made or chosen
        by are not exchangeable with new ones.
      num_examples: How many of the first images; 0 for all.
      data_dir: Where the data are; None for what the run was trained with.
      download: Whether missing data may be downloaded.

    Returns:
      Pair of uint8 `[N, H, W, C]` and the name of the split.

    Raises:
      FileNotFoundError: If the data are missing.
      ValueError: On an unknown split, or one that the run does not have.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    if split == "auto":
        config = run.config
        has_chosen = config.select == "best" or config.early_stopping_patience > 0
        split = "test" if has_chosen or config.validation_fraction == 0 else "validation"
    return run.images(split, num_examples, data_dir, download), split


def scores(
    model, images: np.ndarray, progress: Callable[[int], object] | None = None
) -> np.ndarray:
    """Anomaly scores of images: the negative elbo, z drawn as an evaluation draws it.

    Args:
      model: A calibrated `LatentVariableModel`.
      images: uint8 `[N, H, W, C]`.
      progress: Called after each batch with the number of images in it.

    Returns:
      float32 `[N]`, nats.

    Raises:
      FloatingPointError: If a score is not finite.
    """
    anomaly = model.signatures()["anomaly"]
    found = []
    for x in data.evaluation_batches(images, global_batch_size=GLOBAL_BATCH_SIZE):
        found.append(anomaly(x)["score"].numpy())
        if progress is not None:
            progress(len(x))
    return require_finite("anomaly score", np.concatenate(found)).astype(np.float32)
