"""Scores of held-out images, from which the exported model computes its p-values.

Split-conformal: if a new image is exchangeable with the `n` held-out ones, the rank of its score
among theirs is uniform, so that `p = (1 + #{scores >= score}) / (1 + n)` is at most t with a
probability of at most t, for any level t, whatever the model and however badly it fits.

Of videos it is the first clip of each: two clips of one video resemble one another, and are not
exchangeable with a new one. Nor are, strictly, videos that were cut from one recording.

Source: Vovk, Gammerman & Shafer 2005; Papadopoulos et al. 2002 (split).
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from tf_sigma_vae import data
from tf_sigma_vae.evaluation.estimate import require_finite
from tf_sigma_vae.evaluation.runs import FinishedRun
from tf_sigma_vae.models import LatentVariableModel

GLOBAL_BATCH_SIZE = 128
CLIPS_AT_ONCE = 16
"""A clip is some 30 images."""
SPLITS = ("auto", "validation", "test")


def held_out_examples(
    run: FinishedRun, split: str, num_examples: int, data_dir: str | None, download: bool
) -> tuple[np.ndarray | data.VideoSource, str]:
    """Images, or videos, that the model has not been trained on.

    Args:
      run: The run.
      split: One of `SPLITS`; `"auto"` is the validation split where the run has one and has not
        chosen its weights by it, else the test split. Examples that the weights were made or
        chosen by are not exchangeable with new ones.
      num_examples: How many of the first examples; 0 for all.
      data_dir: Where the data are; None for what the run was trained with.
      download: Whether missing data may be downloaded.

    Returns:
      Pair of the examples, images uint8 `[N, H, W, C]` or videos, and the name of the split.

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


def batches(examples: np.ndarray | data.VideoSource, clip_frames: int | None = None) -> Iterable:
    """Images, or the first clip of each video, in batches.

    Args:
      examples: uint8 `[N, H, W, C]`, or videos.
      clip_frames: `T`, frames of a clip, at most those of a video; None for images.

    Returns:
      Batches of float32 `[B, H, W, C]` or `[B, T, H, W, C]`, in [0, 1]; the last may be partial.
    """
    if isinstance(examples, data.VideoSource):
        assert clip_frames is not None, "clips have a length"
        return _first_clips(examples, clip_frames)
    return data.evaluation_batches(examples, global_batch_size=GLOBAL_BATCH_SIZE)


def _first_clips(videos: data.VideoSource, clip_frames: int) -> Iterator[np.ndarray]:
    for start in range(0, len(videos), CLIPS_AT_ONCE):
        index = np.arange(start, min(start + CLIPS_AT_ONCE, len(videos)))
        clips = videos.clips(index, np.zeros_like(index), clip_frames)
        yield clips.astype(np.float32) / np.float32(255.0)


def scores(
    model: LatentVariableModel,
    examples: np.ndarray | data.VideoSource,
    clip_frames: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Anomaly scores of examples: the negative elbo, z drawn as an evaluation draws it.

    Args:
      model: A calibrated `LatentVariableModel`.
      examples: See `batches`; so is `clip_frames`.
      clip_frames: See there.
      progress: Called after each batch with the number of examples in it.

    Returns:
      float32 `[N]`, nats.

    Raises:
      FloatingPointError: If a score is not finite.
    """
    anomaly = model.signatures()["anomaly"]
    found = []
    for x in batches(examples, clip_frames):
        found.append(anomaly(x)["score"].numpy())
        if progress is not None:
            progress(len(x))
    return require_finite("anomaly score", np.concatenate(found)).astype(np.float32)
