"""Images from TensorFlow Datasets: never a silent download, never a long wait for a network.

TensorFlow Datasets is imported when such a dataset is loaded, and not before.
"""

import importlib
import os
import pathlib
import pkgutil
import shlex
import types
import urllib.error
import urllib.request
from collections.abc import Mapping

import numpy as np

from tf_sigma_vae.data import _archives, _base, _tfds_builders

_READ_BATCH = 1024
_NETWORK_TIMEOUT_SECONDS = 10


class TfdsImages(_base.ImageDataset):
    """Base of the plug-ins whose images come from a TensorFlow Datasets builder.

    Attributes:
      splits: Our split -> the builder's, in its slicing syntax ("train[:90%]", "train+extra").
    """

    splits: Mapping[str, str] = types.MappingProxyType({"train": "train", "test": "test"})

    def _read(self, data_dir: str | None, download: bool) -> dict[str, np.ndarray]:
        return load(self.tfds_name, self.splits, data_dir, download, dataset=self.plugin_name())


def load(
    name: str,
    splits: Mapping[str, str],
    data_dir: str | None,
    download: bool,
    *,
    dataset: str | None = None,
) -> dict[str, np.ndarray]:
    """Reads splits of a TensorFlow Datasets builder, preparing it first where that is asked for.

    Args:
      name: The builder's name.
      splits: Our split -> the builder's, in its slicing syntax.
      data_dir: Folder of TensorFlow Datasets; None for its default.
      download: Whether missing archives may be fetched.
      dataset: The plug-in's name, for messages; None where it is the builder's.

    Returns:
      uint8 `[N, H, W, C]` for each of our splits, in the order of the files.

    Raises:
      FileNotFoundError: At once, if the data are not prepared, their archives are not in place,
        and `download` is False. The message says how to get them.
    """
    source = builder(name, data_dir)
    prepare(source, download=download, dataset=dataset or name)
    return {ours: _read_split(source, theirs) for ours, theirs in splits.items()}


def builder(name: str, data_dir: str | None):
    """A `tfds.core.DatasetBuilder` by name, those shipped in this package included."""
    import tensorflow_datasets as tfds

    if name in [module.name for module in pkgutil.iter_modules(_tfds_builders.__path__)]:
        # Importing a builder registers it.
        importlib.import_module(f"{_tfds_builders.__name__}.{name}.{name}_dataset_builder")
    return tfds.builder(name, data_dir=data_dir)


def prepare(source, *, download: bool, dataset: str) -> None:
    """Makes sure that a builder's data are prepared.

    Archives that lie complete in one of the manual folders are used before anything is fetched.

    Args:
      source: A `tfds.core.DatasetBuilder`.
      download: Whether missing archives may be fetched.
      dataset: The plug-in's name, for messages.

    Raises:
      FileNotFoundError: If nothing is there to prepare from and `download` is False.
      ValueError: If an archive in a manual folder is not the registered one.
      ConnectionError: If the archives are to be fetched and their host does not answer.
    """
    import tensorflow_datasets as tfds

    if source.is_prepared():
        return
    folder = _archives.folder_with_all(source)
    archives = _archives.expected(source)
    if folder:
        _archives.verify(archives, [pathlib.Path(folder, archive.name) for archive in archives])
    elif download:
        _check_reachable(archives, how_to_get(source, dataset))
    else:
        raise FileNotFoundError(how_to_get(source, dataset))
    # Extracted files are cached by file name alone, and MNIST's archives are called as
    # Fashion-MNIST's are: in one folder the second of them would silently get the first's images.
    config = tfds.download.DownloadConfig(
        manual_dir=folder or _archives.manual_folder(source),
        extract_dir=os.path.join(_archives.downloads_folder(source), "extracted", source.name),
        try_download_gcs=False,
    )
    source.download_and_prepare(
        download_dir=_archives.downloads_folder(source), download_config=config
    )


def how_to_get(source, dataset: str) -> str:
    """What a user has to do to get the data of a builder that is not prepared."""
    archives = _archives.expected(source)
    flags = f"--dataset={dataset} --data_dir={shlex.quote(str(source.data_dir_root))}"
    return (
        f"{dataset} is not prepared in {source.data_dir}. Either\n"
        f"  run the same command with --download, which fetches "
        f"{_archives.megabytes(archives)}, or\n"
        f"  on a machine without a network, get these archives elsewhere, under their names:\n"
        f"{_archives.listing(archives)}\n"
        f"  put them into a folder DIR, and run\n"
        f"    python -m tf_sigma_vae.cli.prepare {flags} --archives=DIR\n"
        f"  (it checks them and places them in {_archives.manual_folder(source)})."
    )


def _check_reachable(archives: list[_archives.Archive], advice: str) -> None:
    """Asks for the head of the first archive: TensorFlow Datasets would retry for minutes."""
    request = urllib.request.Request(archives[0].url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=_NETWORK_TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError:
        return  # It answered, and may still hand out the archive itself.
    except OSError as error:
        raise ConnectionError(
            f"{archives[0].url} cannot be reached ({error}).\n{advice}"
        ) from error


def _read_split(source, split: str) -> np.ndarray:
    """All images of a split, uint8 `[N, H, W, C]`, decoded in parallel by the builder."""
    import tensorflow_datasets as tfds

    # One shard at a time keeps the order of the files; the array is the cache.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    examples = source.as_dataset(split=split, batch_size=_READ_BATCH, read_config=config)
    return np.concatenate([batch["image"] for batch in tfds.as_numpy(examples)])
