"""Arrays larger than memory: written once into an .npy file, then memory-mapped."""

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

    Several processes may write the same file at once; the last one's stays.

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
    # Beside the file, and not elsewhere: only within a file system a renaming is atomic.
    handle, partial = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent)
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
