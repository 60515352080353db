"""Versions are published whole or not at all, whoever is killed and whoever else publishes."""

import errno
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.export import _exporters
from tf_sigma_vae.export.publish import (
    MAX_VERSION,
    VersionExistsError,
    check_target,
    prune,
    publish,
    versions,
)

MODULE = sys.modules["tf_sigma_vae.export.publish"]
# Far above what any of these processes takes: a bound, not an expectation.
SECONDS = 30
DAYS_AGO = time.time() - 2 * 24 * 3600


def exporters(*args, **kwargs) -> subprocess.Popen:
    command = [sys.executable, "-I", "-S", _exporters.__file__, MODULE.__file__, *map(str, args)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, **kwargs)


def lines_of(*args) -> list[str]:
    process = exporters(*args)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    return output.splitlines()


def content(folder) -> dict[str, str]:
    files = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in files}


def other_names(base) -> set[str]:
    return {name for name in os.listdir(base) if not name.isdecimal()}


@pytest.fixture
def base(tmp_path):
    return tmp_path / "base"


def test_first_version_is_1_then_each_is_the_next(base):
    assert publish(base, _exporters.write) == str(base / "1")
    assert publish(base, _exporters.write) == str(base / "2")
    assert publish(base, _exporters.write, version=7) == str(base / "7")
    assert publish(base, _exporters.write) == str(base / "8")
    assert all(content(base / str(v)) == _exporters.CONTENT for v in (1, 2, 7, 8))
    assert other_names(base) == {".lock"}


def test_versions_are_the_children_that_a_server_takes_for_integers(base):
    for name in ("12", "007", "+4", "-3", " 5", "v2", "1e3", ".tmp-9", "1_0", "٣", "2.0", ""):
        (base / name).mkdir(parents=True, exist_ok=True)
    (base / "40").write_text("a file", encoding="utf-8")
    (base / str(MAX_VERSION + 1)).mkdir()
    assert versions(base) == [-3, 4, 5, 7, 12, 40]
    assert publish(base, _exporters.write) == str(base / "41")


@pytest.mark.parametrize("version", [0, -1, MAX_VERSION + 1, 1.0, "3", True])
def test_version_that_is_no_positive_int64_is_refused_before_work(base, version):
    with pytest.raises(ValueError, match=re.escape(repr(version))):
        publish(base, pytest.fail, version=version)
    assert not base.exists()


@pytest.mark.parametrize("taken", ["5", "005"])
@pytest.mark.parametrize("kind", ["file", "empty folder", "version"])
def test_version_that_is_there_is_never_replaced(base, kind, taken):
    base.mkdir()
    if kind == "file":
        (base / taken).write_text("kept", encoding="utf-8")
    else:
        (base / taken).mkdir()
        (base / taken / "kept").mkdir() if kind == "version" else None
    before = sorted(base.rglob("*"))
    with pytest.raises(VersionExistsError, match="take a version above 5"):
        publish(base, pytest.fail, version=5)
    assert sorted(base.rglob("*")) == before


def test_versions_only_grow(base):
    publish(base, _exporters.write, version=5)
    with pytest.raises(ValueError, match="version 4 is below 5"):
        check_target(base, 4)
    publish(base, _exporters.write, version=MAX_VERSION)
    with pytest.raises(ValueError, match="there is none above it"):
        publish(base, pytest.fail)


def test_check_leaves_nothing_behind(base):
    check_target(base / "deep" / "down", 3)
    assert not base.exists()


def test_target_that_is_no_folder_is_refused_before_work(base):
    base.write_text("a file", encoding="utf-8")
    for target in (base, base / "models"):
        with pytest.raises(NotADirectoryError, match="cannot write to the export_dir"):
            publish(target, pytest.fail)


def test_read_only_disk_is_noticed_before_work(base, monkeypatch):
    def refuse(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(MODULE.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match="cannot write to the export_dir .*Read-only") as caught:
        publish(base, pytest.fail)
    assert caught.value.errno == errno.EROFS


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left")])
def test_failed_write_leaves_nothing(base, error):
    def fail(folder):
        _exporters.write(folder)
        raise error

    with pytest.raises((KeyboardInterrupt, OSError)):
        publish(base, fail)
    assert os.listdir(base) == [".lock"]


def test_disk_that_is_full_when_synced_leaves_nothing(base, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="not published: No space left.*export") as caught:
        publish(base, _exporters.write)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(base) == [".lock"]


def test_nothing_written_is_not_published(base):
    with pytest.raises(ValueError, match="nothing was written"):
        publish(base, lambda folder: None)
    assert os.listdir(base) == [".lock"]


def test_every_file_and_folder_is_synced_before_the_rename_and_the_parent_after(base, monkeypatch):
    steps = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda h: (steps.append(os.fstat(h).st_ino), fsync(h)))
    monkeypatch.setattr(os, "rename", lambda a, b: (steps.append("rename"), rename(a, b)))
    path = pathlib.Path(publish(base, _exporters.write))
    at = steps.index("rename")
    assert set(steps[:at]) == {p.stat().st_ino for p in [path, *path.rglob("*")]}
    assert steps[at + 1 :] == [base.stat().st_ino]


def test_lock_is_held_from_the_look_to_the_rename(base, monkeypatch):
    def try_to_lock(*_):
        with open(base / ".lock", "w", encoding="utf-8") as other:
            MODULE.fcntl.flock(other, MODULE.fcntl.LOCK_EX | MODULE.fcntl.LOCK_NB)

    monkeypatch.setattr(os, "rename", try_to_lock)
    with pytest.raises(BlockingIOError):
        publish(base, _exporters.write)


def test_version_can_be_read_by_whom_the_umask_allows(base):
    path = publish(base, _exporters.write)
    (base / "made by mkdir").mkdir()
    assert os.stat(path).st_mode == os.stat(base / "made by mkdir").st_mode


def test_exporter_killed_at_any_point_leaves_whole_versions_and_the_next_one_cleans(tmp_path):
    codes = [int(line) for line in lines_of("killed", tmp_path)]
    assert codes == [-signal.SIGKILL] * (len(codes) - 1) + [0]
    seen = set()
    for k in range(1, len(codes) + 1):
        base = tmp_path / str(k)
        held = versions(base)
        assert held in ([1], [1, 2], [2])
        assert all(content(base / str(v)) == _exporters.CONTENT for v in held)
        seen |= {re.split(r"-|$", name)[0] for name in other_names(base)} | {tuple(held)}
        assert publish(base, _exporters.write) == str(base / str(held[-1] + 1))
        assert other_names(base) == {".lock"}
    # Killed before, within and after each of the steps.
    assert seen == {".lock", ".tmp", ".trash", (1,), (1, 2), (2,)}


@pytest.mark.parametrize(("count", "rounds"), [(2, 5), (8, 2)])
def test_exporters_at_once_publish_all_under_different_versions(base, count, rounds):
    results = [json.loads(line) for line in lines_of("together", base, count, rounds)]
    assert versions(base) == list(range(1, count * rounds + 1))
    assert {r["path"] for r in results} == {str(base / str(v)) for v in versions(base)}
    for result in results:
        assert content(result["path"]) == _exporters.CONTENT | {"author": result["author"]}
    assert other_names(base) == {".lock"}


def test_of_exporters_of_the_same_version_one_publishes_it(base):
    results = [json.loads(line) for line in lines_of("together", base, 8, 1, 7)]
    (winner,) = [r for r in results if "path" in r]
    assert content(base / "7")["author"] == winner["author"]
    errors = [r["error"] for r in results if "error" in r]
    assert len(errors) == 7
    assert all("exists and is not overwritten: take a version above 7" in e for e in errors)
    assert os.listdir(base / "7") and other_names(base) == {".lock"}


@pytest.mark.parametrize("killed", [True, False])
def test_workspace_of_a_running_exporter_is_left_and_that_of_a_dead_one_removed(base, killed):
    with exporters("waiting", base) as process:
        assert process.stdout.readline() == "written\n"
        (workspace,) = base.glob(".tmp-*")
        publish(base, _exporters.write)
        assert content(workspace / "export") == _exporters.CONTENT
        if killed:
            process.kill()
        output, _ = process.communicate("go\n", timeout=SECONDS)
    assert output == ("" if killed else f"{base / '2'}\n")
    assert workspace.exists() == killed
    publish(base, _exporters.write)
    assert other_names(base) == {".lock"}


def test_leftovers_of_another_machine_are_removed_after_a_day(base):
    publish(base, _exporters.write)
    young = {".tmp-else-where-12-0123abcd", ".tmp-config_1"}
    old = {".tmp-else-where-13-0123abcd", ".tmp-config_2"}
    for name in young | old:
        path = base / name
        path.mkdir() if "where" in name else path.write_text("", encoding="utf-8")
        if name in old:
            os.utime(path, (DAYS_AGO, DAYS_AGO))
    publish(base, _exporters.write)
    assert other_names(base) == {".lock"} | young


def test_what_others_have_put_there_is_left_however_it_is_called(base):
    publish(base, _exporters.write)
    theirs = (".tmp-mine", ".trash-mine", ".trash-0123abcd-2", ".tmp-a-b-c")
    for name in (*theirs, ".trash-0123abcd"):
        (base / name).mkdir()
        os.utime(base / name, (DAYS_AGO, DAYS_AGO))
    publish(base, _exporters.write)
    assert other_names(base) == {".lock", *theirs}


def test_empty_name_of_the_folder_is_refused(base):
    with pytest.raises(ValueError, match="export_dir is empty"):
        publish("", _exporters.write)


def test_stopped_holder_of_the_lock_is_named_instead_of_waited_for(base, monkeypatch):
    publish(base, _exporters.write)
    monkeypatch.setattr(MODULE, "_LOCK_SECONDS", 0)
    with open(base / ".lock", "w", encoding="utf-8") as held:
        MODULE.fcntl.flock(held, MODULE.fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match=r"another exporter has held '.*\.lock'"):
            publish(base, _exporters.write)
    assert publish(base, _exporters.write) == str(base / "2")


def test_disk_without_locks_is_refused(base, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(MODULE.fcntl, "flock", refuse)
    with pytest.raises(OSError, match=r"take an export_dir whose disk has locks.*\.lock"):
        publish(base, pytest.fail)


@pytest.mark.parametrize("version", [None, 1])
def test_rename_replaces_nothing_where_another_machine_does_not_see_the_lock(
    base, monkeypatch, version
):
    rename = os.rename

    def rename_too_late(source, target):
        if not pathlib.Path(target).exists() and target.endswith("1"):
            pathlib.Path(target).mkdir()
            _exporters.write(target, {"author": "the other machine"})
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_too_late)
    if version is None:
        assert publish(base, _exporters.write) == str(base / "2")
    else:
        with pytest.raises(VersionExistsError, match="published by another"):
            publish(base, _exporters.write, version=version)
    assert content(base / "1")["author"] == "the other machine"


def test_prune_keeps_the_newest_exports(base):
    for _ in range(4):
        publish(base, _exporters.write)
    assert prune(base, keep=2) == [1, 2]
    assert versions(base) == [3, 4]
    assert prune(base, keep=2) == []
    assert other_names(base) == {".lock"}
    with pytest.raises(ValueError, match="keep is 0"):
        prune(base, keep=0)


def test_prune_neither_counts_nor_removes_what_is_no_export(base):
    publish(base, _exporters.write)
    publish(base, _exporters.write)
    (base / "9").mkdir()
    (base / "8").write_text("a file", encoding="utf-8")
    (base / "2019").mkdir()
    (base / "2019" / "photo.jpg").write_text("mine", encoding="utf-8")
    assert prune(base, keep=1) == [1]
    assert versions(base) == [2, 8, 9, 2019]
    assert (base / "2019" / "photo.jpg").read_text("utf-8") == "mine"


def test_of_a_link_to_an_export_the_link_is_removed(base, tmp_path):
    publish(tmp_path / "elsewhere", _exporters.write)
    publish(base, _exporters.write)
    (base / "2").symlink_to(tmp_path / "elsewhere" / "1")
    publish(base, _exporters.write)
    assert prune(base, keep=1) == [1, 2]
    assert versions(base) == [3] and other_names(base) == {".lock"}
    assert content(tmp_path / "elsewhere" / "1") == _exporters.CONTENT


def test_version_is_hidden_before_it_is_deleted_and_its_readers_go_on(base, monkeypatch):
    publish(base, _exporters.write)
    publish(base, _exporters.write)
    rmtree, at_deletion = MODULE.shutil.rmtree, []

    def look_and_delete(path):
        at_deletion.append((versions(base), content(path)))
        rmtree(path)

    monkeypatch.setattr(MODULE.shutil, "rmtree", look_and_delete)
    with open(base / "1" / "variables" / "data", encoding="utf-8") as reader:
        assert prune(base, keep=1) == [1]
        assert reader.read() == _exporters.CONTENT["variables/data"]
    assert at_deletion == [([2], _exporters.CONTENT)]
