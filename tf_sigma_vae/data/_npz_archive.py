"""The arrays of a user's .npz file, by split."""

import os
import zipfile
import zlib

import numpy as np

KEYS = {
    "train": ("x_train", "train"),
    "test": ("x_test", "test"),
    "validation": ("x_validation", "x_val", "validation"),
}
UNSPLIT = "unsplit"


def read(
    path: str,
    *,
    dataset: str,
    example: str,
    unsplit_keys: tuple[str, ...],
    train_key: str | None = None,
    test_key: str | None = None,
) -> dict[str, np.ndarray]:
    """Reads the splits of a file, or the one array that holds all examples.

    Args:
      path: The file.
      dataset: The plug-in's name, for messages.
      example: How such a file is written, for messages.
      unsplit_keys: Names of an array that holds all examples.
      train_key: Name of the array to train on, where it has none of the usual names.
      test_key: Name of the array to test on, likewise.

    Returns:
      Arrays under "train", "test" and, where there is one, "validation"; or one under `UNSPLIT`.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If it is no archive, is damaged or holds other arrays.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{dataset}: there is no file {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not an .npz archive; {example} writes one")
    asked = {"train": train_key, "test": test_key}
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = {split: _key(archive, KEYS[split], asked.get(split), path) for split in KEYS}
            if keys["train"] and keys["test"]:
                return {split: archive[key] for split, key in keys.items() if key}
            unsplit = _key(archive, unsplit_keys, None, path)
            if unsplit and not keys["train"] and not keys["test"]:
                return {UNSPLIT: archive[unsplit]}
            held = sorted(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    raise ValueError(
        f"{path} must hold the arrays x_train and x_test, or train and test, or "
        f"{' or '.join(unsplit_keys)}, or those named by train_key and test_key; it holds {held}"
    )


def _key(
    archive: np.lib.npyio.NpzFile, usual: tuple[str, ...], asked: str | None, path: str
) -> str | None:
    """The name an array has in the archive, None where it is not there."""
    if asked is None:
        return next((key for key in usual if key in archive), None)
    if asked not in archive:
        raise ValueError(f"{path} has no array {asked!r}; it holds {sorted(archive)}")
    return asked
