"""Features of reference images, kept on disk: they are the same for every model.

A file is named by the hash of what it depends on: the pixels, the network and the preprocessing.
There is nothing to invalidate: other images are another file.
"""

import dataclasses
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from absl import logging

from tf_sigma_vae.evaluation.fid.extraction import FeatureSet, Network, features
from tf_sigma_vae.evaluation.fid.images import Images, with_content_hash
from tf_sigma_vae.evaluation.fid.protocol import Source
from tf_sigma_vae.evaluation.fid.statistics import Statistics
from tf_sigma_vae.evaluation.runs import require_writable
from tf_sigma_vae.workdir import atomic_file

FORMAT = 1
CACHE_VARIABLE = "TF_SIGMA_VAE_CACHE"
DEFAULT_CACHE = "~/.cache/tf_sigma_vae"
"""Folder of the features of reference images, unless the variable names another."""
_ARRAYS = ("num_examples", "mean", "scatter", "features")


def cache_folder() -> str:
    """Where the features of reference images are kept."""
    folder = os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE
    return os.path.join(os.path.expanduser(folder), "features")


def cached_features(
    folder: str,
    extractor: Network,
    images: Images,
    progress: Callable[[int], object] | None = None,
) -> FeatureSet:
    """The features of reference images, read from a file if they were extracted before.

    Args:
      folder: Where the files are; made if missing. Of N images it takes 4 N D bytes.
      extractor: An `Extractor`.
      images: The reference images, gone through once for their hash.
      progress: Called with the number of images whenever so many are done.

    Returns:
      A `FeatureSet` with its features kept. A file that is damaged is made anew.

    Raises:
      PermissionError: If the folder cannot be written to.
      ValueError: If the extractor does not take the images.
      FloatingPointError: If a feature is not finite.
    """
    require_writable(folder)
    source = with_content_hash(images)
    record = json.dumps([FORMAT, dataclasses.asdict(extractor.extraction), _content(source)])
    path = os.path.join(folder, hashlib.sha256(record.encode()).hexdigest() + ".npz")
    found = _read(path, record, source.num_images)
    if found is None:
        extracted = features(extractor, images, progress=progress)
        os.makedirs(folder, exist_ok=True)
        _write(path, record, extracted)
        return extracted
    if progress is not None:
        progress(source.num_images)
    return FeatureSet(*found, extractor.extraction, source)


def _content(source: Source) -> list:
    """What of the images the features depend on: the name of a dataset is none of it."""
    return [source.content_hash, source.num_images, source.image_shape]


def _read(path: str, record: str, num_images: int) -> tuple[Statistics, np.ndarray] | None:
    """What a file holds; None if there is none, or none that is whole and of this record."""
    try:
        # The archive holds a checksum of each array, which is tested while it is read. Opened
        # here, because NumPy leaves a file open that is no archive.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            stored = str(arrays["record"])
            count, mean, scatter, kept = (arrays[name] for name in _ARRAYS)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        logging.warning("%r is damaged (%s) and is made anew", path, error)
        return None
    if stored != record or count != num_images or len(kept) != num_images:
        logging.warning("%r is not of its name and is made anew", path)
        return None
    return Statistics(int(count), mean, scatter), kept


def _write(path: str, record: str, extracted: FeatureSet) -> None:
    arrays = {**extracted.statistics._asdict(), "features": extracted.features}
    with atomic_file(path) as file:
        np.savez(file, record=record, **arrays)
