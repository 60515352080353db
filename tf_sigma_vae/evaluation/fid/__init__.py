"""Distances between samples and data in the space of a network's features.

  extractor = fid.extractors.find("saved_file")(path="network.keras")
  reference = fid.cached_features("cache", extractor, fid.dataset_images(images, "mnist", "test"))
  samples = fid.features(extractor, fid.prior_samples(model, 10_000, "mean", seed=0))
  distances = fid.compare(reference, samples)

The package is called after the best known of them, but a distance is FID only with the extractor
`inception_2015`: `distances.protocol.label(name)` says what each is to be called.
"""

from tf_sigma_vae.evaluation.fid import extractors
from tf_sigma_vae.evaluation.fid.cache import cache_folder, cached_features
from tf_sigma_vae.evaluation.fid.clip_network import ClipNetwork
from tf_sigma_vae.evaluation.fid.comparison import Distances, compare
from tf_sigma_vae.evaluation.fid.extraction import FeatureSet, features
from tf_sigma_vae.evaluation.fid.images import Images, dataset_images, prior_samples
from tf_sigma_vae.evaluation.fid.protocol import (
    Extraction,
    Protocol,
    ProtocolMismatchError,
    Source,
    require_comparable,
)
from tf_sigma_vae.evaluation.fid.statistics import Statistics
from tf_sigma_vae.evaluation.fid.videos import future_frames, rollout_frames

__all__ = [
    "ClipNetwork",
    "Distances",
    "Extraction",
    "FeatureSet",
    "Images",
    "Protocol",
    "ProtocolMismatchError",
    "Source",
    "Statistics",
    "cache_folder",
    "cached_features",
    "compare",
    "dataset_images",
    "extractors",
    "features",
    "future_frames",
    "prior_samples",
    "require_comparable",
    "rollout_frames",
]
