"""Prepares a public dataset for training, with or without a network.

On a machine without a network, get the archives elsewhere and say where they are:

  python -m tf_sigma_vae.cli.prepare --dataset=fashion_mnist --data_dir=data --archives=DIR

Their checksums are verified, they are copied into DATA_DIR/downloads/manual/, and the dataset is
prepared from them. Called without --archives and --download it lists the archives. With a network:

  python -m tf_sigma_vae.cli.prepare --dataset=fashion_mnist --data_dir=data --download

Videos are read once, too: what a dataset of them writes to be read from (bair_push, for a camera,
--option=camera=image_main) is written here and not by the first of several workers.
"""

import ast
import os
import pathlib
import shlex
import sys

from absl import flags, logging

from tf_sigma_vae import data, plugins
from tf_sigma_vae.cli import _command
from tf_sigma_vae.data import _archives, _tfds

PROGRAM = "python -m tf_sigma_vae.cli.prepare"
_OF_VIDEOS = " --config.model=sequence_vae --config.network=dcgan64"


def define_flags() -> None:
    """Defines this command's flags; called once, where the command starts."""
    flags.DEFINE_string("dataset", None, "Name of the dataset.", required=True)
    flags.DEFINE_string("data_dir", None, "Folder of TensorFlow Datasets; by default its own.")
    flags.DEFINE_string(
        "archives", None, "Folder of the archives, under their names; or the file, if there is one."
    )
    flags.DEFINE_boolean("download", False, "Fetch the archives from the network.")
    flags.DEFINE_multi_string(
        "option", [], "Option of the dataset, NAME=VALUE, such as camera=image_main; repeatable."
    )


def prepare(
    dataset: str,
    data_dir: str | None = None,
    archives: str | None = None,
    download: bool = False,
    options: dict[str, object] | None = None,
) -> str:
    """Prepares a dataset; nothing is written unless everything that can be checked is right.

    Args:
      dataset: Name of a dataset plug-in.
      data_dir: Folder of TensorFlow Datasets; None for its default.
      archives: Folder that holds the archives, or the file where there is only one.
      download: Whether to fetch the archives instead.
      options: Of the dataset, as far as they are not its defaults.

    Returns:
      What was done and the command that trains on the dataset.

    Raises:
      ValueError: If there is no such dataset or option, both or a wrong archive are given.
      FileNotFoundError: If an archive is missing.
      PermissionError: If `data_dir` cannot be written to.
      OSError: If what is written does not fit on the disk.
    """
    cls, options = plugins.find("data", dataset), options or {}
    plugins.check_options(cls, options, f"dataset {dataset!r}")
    of_videos, tfds_name = issubclass(cls, data.VideoDataset), cls.tfds_name
    # A dataset of images and one of videos are for different models.
    train_command = f"sigma-vae-train --dataset={dataset}" + (_OF_VIDEOS if of_videos else "")
    if tfds_name is None:
        return f"{dataset} needs no preparation. Train on it with: {train_command}"
    if archives and download:
        raise ValueError("give --archives or --download, not both")
    if data_dir:
        train_command += f" --data_dir={shlex.quote(data_dir)}"
    plugin = cls(**options)
    source = _tfds.builder(tfds_name, data_dir)
    if source.is_prepared():
        if of_videos:
            plugin.load(data_dir)
        return f"{dataset} is already prepared. Train on it with: {train_command}"
    _check_writable(source.data_dir_root)
    if archives:
        wanted = _archives.expected(source)
        paths = _archives.find(wanted, archives)
        _archives.verify(wanted, paths)
        _archives.place(paths, _archives.manual_folder(source))
    _tfds.prepare(source, download=download, dataset=dataset)
    if of_videos:
        plugin.load(data_dir)
    return f"{dataset} is prepared in {source.data_dir}. Train on it with: {train_command}"


def options_of(texts: list[str]) -> dict[str, object]:
    """Options by name of texts `NAME=VALUE`, the values as Python writes them or as they stand.

    Raises:
      ValueError: If a text has no `=`.
    """
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--option must be NAME=VALUE, got {text!r}")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name] = value
    return options


def _check_writable(folder: os.PathLike | str) -> None:
    """Checks that a folder can be written to, or made.

    Raises:
      PermissionError: If not.
    """
    path = pathlib.Path(folder).expanduser().absolute()
    nearest = next(p for p in (path, *path.parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"--data_dir={folder} cannot be written to: look at {nearest}")


def main() -> None:
    """Runs the command from the parsed flags."""
    # TensorFlow Datasets notes at length what it does; its progress bars say enough.
    logging.set_verbosity(logging.ERROR)
    values = flags.FLAGS
    try:
        options = options_of(values.option)
        print(prepare(values.dataset, values.data_dir, values.archives, values.download, options))
    # ImportError: a package that a dataset takes, PyAV for one.
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"{PROGRAM}: error: {error}")


def run() -> None:
    """The entry point."""
    _command.run(main, __doc__, define_flags)


if __name__ == "__main__":
    run()
