"""Images from TensorFlow Datasets: never a silent download, never a long wait for a network.

TensorFlow Datasets is imported when such a dataset is loaded, and not before.
"""

import contextlib
import importlib
import os
import pathlib
import pkgutil
import shlex
import types
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import tqdm

from tf_sigma_vae.data import _archives, _base, _tfds_builders

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# A batch of CelebA's 218x178 pixels, as large as any, is 30 MB; several are decoded ahead.
_READ_BATCH = 256
_NETWORK_TIMEOUT_SECONDS = 10


class TfdsImages(_base.ImageDataset):
    """Base of the plug-ins whose images come from a TensorFlow Datasets builder.

    Attributes:
      splits: Our split -> the builder's, in its slicing syntax ("train[:90%]", "train+extra").
    """

    splits: Mapping[str, str] = types.MappingProxyType({"train": "train", "test": "test"})

    def _read(self, data_dir: str | None, download: bool) -> dict[str, np.ndarray]:
        assert self.tfds_name is not None, "a subclass names its builder"
        return load(
            self.tfds_name,
            self.splits,
            data_dir,
            download,
            dataset=self.plugin_name(),
            convert=self._convert,
        )

    def _convert(self, images: np.ndarray) -> np.ndarray:
        """What becomes of the builder's images, uint8 `[N, H, W, C]`, as they are read.

        A batch at a time: the images may be too large to be held at once as they come.
        """
        return images


def load(
    name: str,
    splits: Mapping[str, str],
    data_dir: str | None,
    download: bool,
    *,
    dataset: str | None = None,
    convert: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Reads splits of a TensorFlow Datasets builder, preparing it first where that is asked for.

    Args:
      name: The builder's name.
      splits: Our split -> the builder's, in its slicing syntax.
      data_dir: Folder of TensorFlow Datasets; None for its default.
      download: Whether missing archives may be fetched.
      dataset: The plug-in's name, for messages; None where it is the builder's.
      convert: Applied to each batch that is read, uint8 `[B, H, W, C]`; None for nothing.

    Returns:
      uint8 `[N, H, W, C]` for each of our splits, in the order of the files.

    Raises:
      FileNotFoundError: At once, if the data are not prepared, their archives are not in place,
        and `download` is False. The message says how to get them.
    """
    source = builder(name, data_dir)
    prepare(source, download=download, dataset=dataset or name)
    return {ours: _read_split(source, theirs, convert) for ours, theirs in splits.items()}


def builder(name: str, data_dir: str | None) -> "tfds.core.DatasetBuilder":
    """A `tfds.core.DatasetBuilder` by name, those shipped in this package included."""
    import tensorflow_datasets as tfds

    if name in [module.name for module in pkgutil.iter_modules(_tfds_builders.__path__)]:
        # Importing a builder registers it.
        importlib.import_module(f"{_tfds_builders.__name__}.{name}.{name}_dataset_builder")
    return tfds.builder(name, data_dir=data_dir)


def prepare(source: "tfds.core.DatasetBuilder", *, download: bool, dataset: str) -> None:
    """Makes sure that a builder's data are prepared.

    Archives that lie complete in one of the manual folders are used before anything is fetched.

    Args:
      source: A `tfds.core.DatasetBuilder`.
      download: Whether missing archives may be fetched.
      dataset: The plug-in's name, for messages.

    Raises:
      FileNotFoundError: If nothing is there to prepare from and `download` is False.
      ValueError: If an archive in a manual folder is not the registered one.
      ConnectionError: If the archives are to be fetched and their host does not answer, or hands
        out something else.
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
    with contextlib.nullcontext() if folder else _explained(source, dataset):
        source.download_and_prepare(
            download_dir=_archives.downloads_folder(source), download_config=config
        )


def how_to_get(source: "tfds.core.DatasetBuilder", dataset: str) -> str:
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


@contextlib.contextmanager
def _explained(source: "tfds.core.DatasetBuilder", dataset: str) -> Iterator[None]:
    """Turns the failure of a download into one message that says how to get the files by hand.

    Raises:
      ConnectionError: Naming what failed, and every file and where it is put.
    """
    import tensorflow_datasets as tfds

    try:
        yield
    except (
        tfds.download.DownloadError,
        tfds.core.download.download_manager.NonMatchingChecksumError,
        OSError,  # Of the network, or a full disk.
        ImportError,  # What reads the page that Google Drive shows instead of a large file.
        ValueError,  # That page has changed, or says that the file was asked for too often.
    ) as error:
        archives = _archives.expected(source)
        on_drive = any("drive.google.com" in archive.url for archive in archives)
        reason = (
            "Google Drive shows a page in place of a large file, or of one that many have asked "
            "for today. A browser gets past the first, a day past the second; the publisher is "
            f"{source.info.homepage}.\n"
        )
        raise ConnectionError(
            f"{dataset} could not be downloaded: {error}\n{reason if on_drive else ''}"
            f"Files that lie in {_archives.manual_folder(source)} under their names are not "
            f"fetched again with --download.\n{how_to_get(source, dataset)}"
        ) from error


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


def _read_split(
    source: "tfds.core.DatasetBuilder",
    split: str,
    convert: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """All images of a split, uint8 `[N, H, W, C]`, decoded in parallel by the builder."""
    import tensorflow_datasets as tfds

    # One shard at a time keeps the order of the files; the array is the cache.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    examples = source.as_dataset(split=split, batch_size=_READ_BATCH, read_config=config)
    num_examples = source.info.splits[split].num_examples
    images: np.ndarray | None = None
    end = 0
    # disable=None: no bar where the output is not a terminal.
    with tqdm.tqdm(desc=f"Reading {split}", total=num_examples, disable=None, leave=False) as bar:
        for batch in tfds.as_numpy(examples):
            batch = convert(batch["image"]) if convert else batch["image"]
            if images is None:
                # Filled in place: joining batches would need the memory of all of them twice.
                images = np.empty((num_examples, *batch.shape[1:]), np.uint8)
            images[end : end + len(batch)] = batch
            end += len(batch)
            bar.update(len(batch))
    assert images is not None, f"a builder has no split {split!r} without images"
    return images
