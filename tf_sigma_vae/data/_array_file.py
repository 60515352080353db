"""Arrays larger than memory: written once into an .npy file, then memory-mapped."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable

import numpy as np
import tqdm


def write(
    path: pathlib.Path, blocks: Iterable[np.ndarray], shape: tuple[int, ...], what: str
) -> None:
    """Writes a uint8 array block by block; the file is seen only when it is complete.

    Several processes may write the same file at once; the last one's stays. What a process that
    was killed has left beside it is removed by the next that writes.

    Args:
      path: The file.
      blocks: Blocks of rows, each uint8 `[n, *shape[1:]]`, together `shape[0]` rows.
      shape: The shape of the whole.
      what: What the rows are, for the progress bar and messages.

    Raises:
      OSError: If the disk has no room for it.
      ValueError: If the blocks do not make up the array.
    """
    size, free = int(np.prod(shape)), shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(f"{path} needs {size / 1e9:,.1f} GB of disk, and {free / 1e9:,.1f} are free")
    handle, partial = _new_partial(path)
    end = 0
    try:
        # disable=None: no bar where the output is not a terminal.
        bar = tqdm.tqdm(total=shape[0], desc=f"Writing {what}", disable=None, leave=False)
        with os.fdopen(handle, "wb") as file, bar:
            header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks:
                if block.dtype != np.uint8 or block.shape[1:] != tuple(shape[1:]):
                    raise ValueError(
                        f"{what}: expected uint8 rows {tuple(shape[1:])}, got {block.dtype} "
                        f"{block.shape[1:]}"
                    )
                file.write(np.ascontiguousarray(block).data)
                end += len(block)
                bar.update(len(block))
            if end != shape[0]:
                raise ValueError(f"{what}: expected {shape[0]} rows, got {end}")
            file.flush()
            os.fsync(file.fileno())
        # A temporary file is its owner's alone; this one is for whoever can read the folder.
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def _new_partial(path: pathlib.Path) -> tuple[int, str]:
    """A new file to write to, open, and its path; those that killed processes left are removed.

    It is beside `path`, and not elsewhere: only within a file system a renaming is atomic. A lock
    tells that its writer lives, and ends with it.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # Where the disk has no locks, nothing can be told from what is still being written.
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
            for left in path.parent.glob(f"{path.name}.*.partial"):
                _remove_unless_locked(left)
        handle, partial = tempfile.mkstemp(".partial", f"{path.name}.", path.parent)
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(folder)
    return handle, partial


def _remove_unless_locked(path: pathlib.Path) -> None:
    with contextlib.suppress(OSError), path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def read(path: pathlib.Path, shape: tuple[int, ...]) -> np.ndarray:
    """Memory-maps an array that `write` has written.

    Raises:
      ValueError: If the file is cut off, or holds another array.
    """
    remedy = "delete the file to have it written anew"
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from error
    expected = array.offset + int(np.prod(shape))
    if array.dtype != np.uint8 or array.shape != tuple(shape) or not array.flags.c_contiguous:
        raise ValueError(
            f"{path} holds {array.dtype} {array.shape} and not the uint8 {tuple(shape)} that "
            f"belongs there: {remedy}"
        )
    if path.stat().st_size != expected:
        raise ValueError(f"{path} is damaged (it is longer than its array): {remedy}")
    return array
