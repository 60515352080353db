"""The upstream archives of a TensorFlow Datasets builder: finding, checking, placing them.

This is what a machine without a network needs. TensorFlow Datasets registers the size and the
SHA-256 of every archive; nothing that differs from them is ever prepared.
"""

import hashlib
import os
import pathlib
import shutil
from typing import TYPE_CHECKING, NamedTuple

import tqdm

from tf_sigma_vae.workdir import atomic_path

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_BLOCK_BYTES = 1 << 20


class Archive(NamedTuple):
    """One upstream file, as its builder registers it.

    Attributes:
      url: Where it is published.
      name: File name.
      size: Bytes.
      sha256: Hexadecimal digest.
    """

    url: str
    name: str
    size: int
    sha256: str


def expected(builder: "tfds.core.DatasetBuilder") -> list[Archive]:
    """The archives that a `tfds.core.DatasetBuilder` registers."""
    infos = (builder.url_infos or {}).items()
    return [
        Archive(url, i.filename or url.rsplit("/", 1)[-1], i.size, i.checksum) for url, i in infos
    ]


def manual_folder(builder: "tfds.core.DatasetBuilder") -> str:
    """Where archives for the builder are placed.

    A folder of its own below the one TensorFlow Datasets looks in: MNIST and Fashion-MNIST call
    their different archives by the same names.
    """
    return os.path.join(downloads_folder(builder), "manual", builder.name)


def downloads_folder(builder: "tfds.core.DatasetBuilder") -> str:
    """The folder `downloads` of the builder's `data_dir`."""
    return os.path.join(os.fspath(builder.data_dir_root), "downloads")


def folder_with_all(builder: "tfds.core.DatasetBuilder") -> str | None:
    """The first of the manual folders that holds all archives by name and size, or None."""
    own = manual_folder(builder)
    archives = expected(builder)
    for folder in (own, os.path.dirname(own)):
        paths = [(os.path.join(folder, archive.name), archive.size) for archive in archives]
        if paths and all(os.path.isfile(p) and os.path.getsize(p) == size for p, size in paths):
            return folder
    return None


def find(archives: list[Archive], source: str) -> list[pathlib.Path]:
    """Finds archives by their names.

    Args:
      archives: What is looked for.
      source: A folder that holds them, or the file itself where there is only one.

    Returns:
      Their paths, in the same order.

    Raises:
      FileNotFoundError: If one is missing; the message names all that are.
    """
    given = pathlib.Path(source).expanduser()
    if not given.exists():
        raise FileNotFoundError(f"--archives={source} does not exist")
    paths = [given if given.name == a.name else given / a.name for a in archives]
    missing = [a for a, path in zip(archives, paths, strict=True) if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{source} lacks these archives:\n{listing(missing)}")
    return paths


def verify(archives: list[Archive], paths: list[pathlib.Path]) -> None:
    """Checks the size and the SHA-256 of every file, with a progress bar.

    Raises:
      ValueError: If a file is not the registered archive.
    """
    total = sum(archive.size for archive in archives)
    with tqdm.tqdm(total=total, desc="Checking archives", unit="B", unit_scale=True) as progress:
        for archive, path in zip(archives, paths, strict=True):
            size = path.stat().st_size
            if size != archive.size:
                raise ValueError(
                    f"{path} is not the archive {archive.url}: it has {size:,} bytes, "
                    f"not {archive.size:,}"
                )
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
                    progress.update(len(block))
            if digest.hexdigest() != archive.sha256:
                raise ValueError(
                    f"{path} is damaged, or not the archive {archive.url}: its sha256 is "
                    f"{digest.hexdigest()}, the registered one is {archive.sha256}"
                )


def place(paths: list[pathlib.Path], folder: str) -> None:
    """Copies files into a folder; a file is seen there only when it is complete."""
    os.makedirs(folder, exist_ok=True)
    for path in paths:
        target = os.path.join(folder, path.name)
        if os.path.exists(target) and os.path.samefile(path, target):
            continue
        with atomic_path(target) as temporary:
            shutil.copyfile(path, temporary)


def listing(archives: list[Archive]) -> str:
    """One indented line for each archive: its URL, its name where the URL hides it, its size."""
    lines = []
    for archive in archives:
        is_named = archive.url.endswith(f"/{archive.name}")
        name = "" if is_named else f" as {archive.name}"
        lines.append(f"    {archive.url}{name} ({megabytes([archive])})")
    return "\n".join(lines)


def megabytes(archives: list[Archive]) -> str:
    """The size of archives together, as text."""
    size = sum(archive.size for archive in archives)
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
