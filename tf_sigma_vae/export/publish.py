"""Versions of a model in the folder that servers watch: each appears whole or not at all.

    EXPORT_DIR/<version>/                         what servers see
               .tmp-<host>-<pid>-<random>/lock    held by the exporter while it lives
                                         /export  what it writes
               .trash-<random>                    a version that is being deleted
               .lock                              held for the moment of a look and a rename

TensorFlow Serving takes every child whose whole name is an integer for a version, also a file or an
empty folder, and loads the largest. So a version is written under another name, synced to disk, and
renamed; all that an exporter killed at any point leaves bears a name that servers ignore, and is
removed by the next one.

Exporters exclude one another by flock on `.lock`, because a rename alone would replace an empty
folder. The kernel releases such a lock when its holder dies, however it dies, and Linux carries it
over NFS as well. Where a mount keeps locks to each machine (NFS with `nolock`), the rename itself
still refuses to replace a version that holds anything.

Only the standard library is used.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator

# Servers keep versions as int64.
MAX_VERSION = 2**63 - 1

# What absl::SimpleAtoi, which servers use, takes for an integer.
_INTEGER = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+[ \t\n\v\f\r]*")
_TEMPORARY = ".tmp-"
_TRASH = ".trash-"
# Exactly as made here, and by tempfile for the atomic write of a text file: what others left in the
# folder is theirs.
_TEMPORARY_NAME = re.compile(r"\.tmp-(.+-[0-9]+-[0-9a-f]{8}|[a-z0-9_]{8}(\.[a-z]+)?)")
_TRASH_NAME = re.compile(r"\.trash-[0-9a-f]{8}")
_SAVED_MODEL = "saved_model.pb"
# The lock is held for a rename, or while leftovers are deleted.
_LOCK_SECONDS = 60
# When a leftover of another machine is taken for dead: its locks may not be seen from here.
_DAY_SECONDS = 24 * 3600


class VersionExistsError(FileExistsError):
    """A version that was asked for is there already; it has not been touched."""


def versions(export_dir: str) -> list[int]:
    """The versions that a server sees, in ascending order.

    Every child counts whose whole name is an integer, a file or an empty folder too.

    Raises:
      OSError: If there is no such folder.
    """
    return sorted(_names_by_version(export_dir))


def check_target(export_dir: str, version: int | None = None) -> None:
    """Checks all that can be known of a target before any work; leaves nothing behind.

    Args:
      export_dir: The folder of the versions; it need not exist.
      version: The version to be published, None for the next one.

    Raises:
      ValueError: If the version is no positive int64 or not above the newest, or the folder is "".
      VersionExistsError: If it is there already.
      OSError: If the folder cannot be written to.
    """
    is_int = isinstance(version, int) and not isinstance(version, bool)
    if version is not None and not (is_int and 1 <= version <= MAX_VERSION):
        raise ValueError(f"version is {version!r}: it must be an integer from 1 to {MAX_VERSION}")
    export_dir = os.fspath(export_dir)
    if not export_dir:
        raise ValueError("export_dir is empty: give the folder of the versions of a served model")
    folder = os.path.abspath(export_dir)
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    try:
        # Tried, because permissions do not tell all (a read-only mount, root).
        tempfile.TemporaryFile(dir=folder, prefix=_TEMPORARY).close()
    except OSError as error:
        raise type(error)(
            error.errno,
            f"cannot write to the export_dir {export_dir!r} ({error.strerror}); "
            "take another, or make this one writable",
            folder,
        ) from error
    if os.path.isdir(export_dir):
        _free_version(export_dir, version)


def publish(export_dir: str, write: Callable[[str], None], version: int | None = None) -> str:
    """Publishes a version in one step: servers see nothing of it, then all of it.

    Several exporters may publish at once: each gets the next version when its own is complete.

    Args:
      export_dir: The folder of the versions; it is made if it does not exist.
      write: Fills the empty folder that it is given. If it fails, nothing is left.
      version: The version; it must be above all others, since servers take the largest. None for
        the next integer.

    Returns:
      Path of the version.

    Raises:
      ValueError: If the version is no positive int64 or not above the newest, or if nothing was
        written.
      VersionExistsError: If it is there already, or another exporter was faster.
      OSError: If the folder cannot be written to.
      TimeoutError: If another exporter holds the lock for a minute.
    """
    export_dir = os.fspath(export_dir)
    check_target(export_dir, version)
    os.makedirs(export_dir, exist_ok=True)
    with _workspace(export_dir) as folder:
        write(folder)
        if not os.listdir(folder):
            raise ValueError(f"nothing was written, so nothing is published in {export_dir!r}")
        _sync_tree(folder)
        with _locked(os.path.join(export_dir, ".lock")):
            path = _rename_to_version(folder, export_dir, version)
        _sync(export_dir)
    return path


def prune(export_dir: str, keep: int) -> list[int]:
    """Removes all versions but the newest; a server never sees half of one.

    What holds no `saved_model.pb` is no export, whatever its name: it is not counted among those to
    keep, lest it take the place of a model, and is not removed. Of a link the link is removed.

    Args:
      export_dir: The folder of the versions.
      keep: How many to keep, at least 1. With 2 a server that is just loading the last but one is
        not disturbed.

    Returns:
      What was removed, in ascending order.

    Raises:
      ValueError: If `keep` is below 1.
      OSError: If a version cannot be removed.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep!r}: at least 1 version must be kept")
    with _locked(os.path.join(export_dir, ".lock")):
        exports = {}
        for version, names in _names_by_version(export_dir).items():
            paths = [os.path.join(export_dir, name) for name in names]
            paths = [path for path in paths if os.path.isfile(os.path.join(path, _SAVED_MODEL))]
            if paths:
                exports[version] = paths
        removed = sorted(exports)[:-keep]
        for version in removed:
            for path in exports[version]:
                trash = os.path.join(export_dir, f"{_TRASH}{secrets.token_hex(4)}")
                os.rename(path, trash)
                _remove(trash)
    return removed


def _names_by_version(export_dir: str) -> dict[int, list[str]]:
    """Children that a server takes for versions; `7` and `007` are both version 7."""
    found: dict[int, list[str]] = {}
    for name in os.listdir(export_dir):
        if _INTEGER.fullmatch(name) and -MAX_VERSION - 1 <= int(name) <= MAX_VERSION:
            found.setdefault(int(name), []).append(name)
    return found


def _free_version(export_dir: str, version: int | None, above: int = 0) -> int:
    """The version, or the next one above `above`, if it can be published now."""
    taken = versions(export_dir)
    newest = max([*taken, above])
    if version is None:
        if newest == MAX_VERSION:
            raise ValueError(f"{export_dir!r} holds version {MAX_VERSION}: there is none above it")
        return newest + 1
    if version in taken:
        raise VersionExistsError(
            f"{os.path.join(export_dir, str(version))!r} exists and is not overwritten: take a "
            f"version above {newest}, or none for the next"
        )
    if version < newest:
        raise ValueError(
            f"version {version} is below {newest}, the newest in {export_dir!r}, and servers take "
            f"the largest: take a version above {newest}, or none for the next"
        )
    return version


def _rename_to_version(folder: str, export_dir: str, version: int | None) -> str:
    above = 0
    while True:
        target = _free_version(export_dir, version, above)
        path = os.path.join(export_dir, str(target))
        try:
            os.rename(folder, path)
            return path
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            # The lock did not hold another exporter off: it is on a machine that does not share it.
            if version is not None:
                raise VersionExistsError(f"{path!r} has just been published by another") from error
            above = target


@contextlib.contextmanager
def _workspace(export_dir: str) -> Iterator[str]:
    """An empty folder that nobody takes for a version, and that nobody cleans while it is used."""
    name = f"{_TEMPORARY}{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    workspace = os.path.join(export_dir, name)
    folder = os.path.join(workspace, "export")
    with contextlib.ExitStack() as stack:
        # Who cleans holds the same lock, and so never meets a workspace before it is locked.
        with _locked(os.path.join(export_dir, ".lock")):
            _remove_leftovers(export_dir)
            # A lock file is closed before the folder goes: NFS keeps the name of an open file.
            stack.callback(shutil.rmtree, workspace, ignore_errors=True)
            os.mkdir(workspace)
            stack.enter_context(_locked(os.path.join(workspace, "lock")))
        # Not tempfile.mkdtemp, whose folders only their owner can read: servers are other users.
        os.mkdir(folder)
        yield folder


def _remove_leftovers(export_dir: str) -> None:
    """Deletes what dead exporters left; what cannot be deleted is left to who can."""
    for entry in list(os.scandir(export_dir)):
        is_ours = _TRASH_NAME.fullmatch(entry.name) or _TEMPORARY_NAME.fullmatch(entry.name)
        if is_ours and (entry.name.startswith(_TRASH) or _is_dead(entry)):
            with contextlib.suppress(OSError):
                _remove(entry.path)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _is_dead(entry: os.DirEntry) -> bool:
    """Whether nobody works in a temporary folder, or on a temporary file, any more."""
    try:
        age_seconds = time.time() - entry.stat(follow_symlinks=False).st_mtime
        if not entry.is_dir(follow_symlinks=False):  # of an atomic write of a text file
            return age_seconds > _DAY_SECONDS
        with contextlib.suppress(FileNotFoundError):  # killed before it made its lock
            handle = os.open(os.path.join(entry.path, "lock"), os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(handle)
    except OSError:  # alive, or another user's, or cleaned by itself meanwhile
        return False
    # The pid says nothing: containers with the name of one host number their processes anew.
    host = entry.name.removeprefix(_TEMPORARY).rsplit("-", 2)[0]
    return host == _host() or age_seconds > _DAY_SECONDS


def _host() -> str:
    return re.sub(r"[^\w.-]", "_", os.uname().nodename)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Holds a file's lock, which the kernel releases if this process dies."""
    # For writing, which NFS demands of an exclusive lock.
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError(
                        f"another exporter has held {path!r} for {_LOCK_SECONDS} s: end it "
                        "(it may be stopped) and try again"
                    ) from None
                time.sleep(0.01)
            except OSError as error:
                message = f"cannot lock ({error.strerror}): take an export_dir whose disk has locks"
                raise OSError(error.errno, message, path) from error
        yield
    finally:
        os.close(handle)


def _sync_tree(top: str) -> None:
    for folder, _, names in os.walk(top, topdown=False):
        for name in names:
            _sync(os.path.join(folder, name))
        _sync(folder)


def _sync(path: str) -> None:
    """Returns when a file, or the list of a folder's children, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        message = f"not published: {error.strerror}"
        raise OSError(error.errno, message, path) from error
    finally:
        os.close(handle)
