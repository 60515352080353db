"""From images to features: what a distance is computed from."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from tf_sigma_vae.evaluation.fid.images import ContentHash, Images
from tf_sigma_vae.evaluation.fid.protocol import Extraction, Source
from tf_sigma_vae.evaluation.fid.statistics import Statistics


class FeatureSet(NamedTuple):
    """Features of a set of images, and how they came about."""

    statistics: Statistics
    """Of the features."""
    features: np.ndarray | None
    """float32 `[N, D]`, in the order of the images; None if they were not kept."""
    extraction: Extraction
    """How the features were made."""
    source: Source
    """Of which images, with the hash of their content."""


class Network(Protocol):
    """What gives examples features: an `Extractor` of images, or a `ClipNetwork`.

    Attributes:
      extraction: The record of what it does.
    """

    extraction: Extraction

    def __call__(self, examples: np.ndarray, /) -> np.ndarray:
        """Features float32 `[B, D]` of grey levels 0 to 255, `[B, ...]`."""


def features(
    extractor: Network,
    images: Images,
    keep_features: bool = True,
    progress: Callable[[int], object] | None = None,
) -> FeatureSet:
    """Extracts features batch by batch.

    Args:
      extractor: An `Extractor`.
      images: Of `dataset_images` or `prior_samples`.
      keep_features: Whether the features themselves are kept too (4 bytes each), which standard
        errors and the kernel distance need.
      progress: Called after each batch with the number of images in it.

    Raises:
      ValueError: If the extractor does not take the images, or there are none.
      FloatingPointError: If a feature is not finite.
    """
    statistics, kept, content = None, [], ContentHash()
    for batch in images:
        content.update(batch)
        extracted = extractor(batch)
        found = Statistics.from_features(extracted)
        statistics = found if statistics is None else statistics.merged(found)
        if keep_features:
            kept.append(extracted)
        if progress is not None:
            progress(len(batch))
    if statistics is None:
        raise ValueError("there are no images to extract features from")
    return FeatureSet(
        statistics,
        np.concatenate(kept) if keep_features else None,
        extractor.extraction,
        dataclasses.replace(images.source, content_hash=content.hexdigest()),
    )
