"""SHA-256 of files and folders: what a record names its subject by."""

import hashlib
import os
from collections.abc import Collection


def sha256(path: str, leave_out: Collection[str] = ()) -> str:
    """The hash of a file, or of the names and contents of all files below a folder.

    Args:
      path: Of the file or folder.
      leave_out: Names of files of a folder that do not count, wherever they are in it.

    Returns:
      Hexadecimal digits.

    Raises:
      FileNotFoundError: If there is nothing, or no file in the folder.
    """
    if not os.path.isdir(path):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    files = sorted(
        os.path.relpath(os.path.join(folder, name), path)
        for folder, _, names in os.walk(path)
        for name in set(names).difference(leave_out)
    )
    if not files:
        raise FileNotFoundError(f"there is no file in {path!r}")
    lines = [f"{sha256(os.path.join(path, name))} {name}\n" for name in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
