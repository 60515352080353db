"""Measures which mistakes the tests notice, by breaking the package in one place at a time.

    benchmarks/mutations.py --suite=fast --output=/tmp/mutants.json
    benchmarks/mutations.py --only=fid_without_cross_term,kl_plus_log_ratio --stage1_only

Every entry of `mutations.toml` is a mistake that a person could make. The tracked files of a
checkout are copied to a temporary folder; there a mistake is made, tests run until the first one
fails, and the mistake is undone. Stage 1 runs the tests that mirror the file, then those of its
folder; stage 2 runs all others, if stage 1 noticed nothing. At the end the tests that noticed
something run once more on the code as it is: a test that fails there too is excluded, and the
mutants that it had noticed are tried again. A crash, an import that fails and a hang count as
noticed; a run that breaks for a reason of its own ends the program.

With --output, results are kept in that file, and mutants found there are not run again.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import _mutants  # noqa: E402

MARKERS = {"fast": "not slow", "slow": "slow", "all": "slow or not slow"}
# Exit codes of pytest; any other but that of a crash is an error of this program. NO_TESTS says
# that all tests of a file were left out, as those of a file of slow tests are.
PASSED, FAILED, INTERRUPTED, USAGE, NO_TESTS = 0, 1, 2, 4, 5
CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL)
BROKEN_CONFTEST = "while loading conftest"
# A line of the summary: the name of a test, of which brackets may hold anything, and its error.
_FAILED = re.compile(r"^(?:FAILED|ERROR) ([^\[\n]+?(?:\[.*?\])?)(?: - .*)?$", flags=re.MULTILINE)
HANG, CRASH, BROKEN_IMPORT = "(hang)", "(crash)", "(import)"


@dataclasses.dataclass
class Result:
    """What became of a mutant."""

    noticed_by: str | None
    """The test that failed; None if all passed."""
    stage: int
    """Last stage that ran, 1 or 2."""
    seconds: float
    digest: str
    """Hash of the entry; a changed entry is run again."""


class HarnessError(RuntimeError):
    """Pytest stopped for a reason that says nothing of a mutant."""


class Copy:
    """A copy of a checkout, in which one mutant at a time is tried.

    Args:
      root: Checkout whose tracked files are copied.
      folder: Folder to create the copy in.
      args: Command line.
      left_out: Tests to leave out: they fail on unbroken code.
    """

    def __init__(
        self, root: pathlib.Path, folder: pathlib.Path, args: argparse.Namespace, left_out: set[str]
    ):
        self.root, self.scratch = folder / "checkout", folder / "scratch"
        self._args, self._left_out, self._has_run = args, left_out, False
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=True, text=True
        )
        for name in filter(None, listed.stdout.split("\0")):
            # A tracked file may have been deleted in the working tree.
            if (root / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, self.root / name)
        # First on the path: tests start processes of their own, and the package may be installed
        # from another checkout.
        path = [str(self.root), *filter(None, [os.environ.get("PYTHONPATH")])]
        # Wide, so that pytest does not shorten the names of tests.
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "COLUMNS": "2000"}
        self._require_own_package()

    def _require_own_package(self) -> None:
        code = f"import {_mutants.PACKAGE}; print({_mutants.PACKAGE}.__file__)"
        command = [sys.executable, "-c", code]
        found = subprocess.run(
            command, cwd=self.root, env=self._environment, capture_output=True, text=True
        )
        if found.returncode != 0:
            raise HarnessError(f"the package cannot be imported:\n{found.stderr[-4000:]}")
        file = pathlib.Path(found.stdout.splitlines()[-1]).resolve()
        if not file.is_relative_to(self.root.resolve()):
            raise HarnessError(f"tests would import {file}, which is not of {self.root}")

    def try_mutant(self, mutant: _mutants.Mutant) -> Result:
        """Runs the tests on a mutant, stage by stage, until one fails.

        Raises:
          HarnessError: If there is no test to run, or pytest stops for a reason of its own.
        """
        stages = [
            (1, _mutants.mirrored_tests(mutant, self.root)),
            (1, _mutants.folder_tests(mutant, self.root)),
        ]
        stages += [] if self._args.stage1_only else [(2, ["tests"])]
        start, self._has_run = time.monotonic(), False
        with self._applied(mutant):
            noticed, stage = self._search(mutant, stages)
        # Of slow tests a folder may have none.
        if noticed is None and not self._has_run and self._args.suite != "slow":
            raise HarnessError(f"there is no test to run for {mutant.name} ({mutant.path})")
        return Result(noticed, stage, round(time.monotonic() - start, 1), digest(mutant))

    def _search(
        self, mutant: _mutants.Mutant, stages: list[tuple[int, list[str]]]
    ) -> tuple[str | None, int]:
        """Returns the test that notices the mutant, or None, and the last stage that was run."""
        done: list[str] = []
        for stage, targets in stages:
            failed = self._failed(targets, ["-x", *(f"--ignore={name}" for name in done)])
            if failed:
                return failed[0], stage
            done += targets
        return None, stages[-1][0]

    @contextlib.contextmanager
    def _applied(self, mutant: _mutants.Mutant) -> Iterator[None]:
        """Makes the mistake, and undoes it at the end."""
        file, original = self.root / mutant.path, self.scratch / "original"
        self.scratch.mkdir(exist_ok=True)
        shutil.copy2(file, original)
        text = mutant.applied(file.read_text(encoding="utf-8"))
        try:
            file.write_text(text, encoding="utf-8")
            _forget_compiled(file)
            yield
        finally:
            shutil.copy2(original, file)
            _forget_compiled(file)

    def fail_anyway(self, tests: list[str]) -> set[str]:
        """Returns those of some tests that fail without a mutant.

        Raises:
          HarnessError: If they cannot be run.
        """
        failed = self._failed(tests, [])
        if set(failed) & {HANG, CRASH, BROKEN_IMPORT}:
            raise HarnessError(f"the tests do not run without a mutant: {failed[0]}")
        # A file that could not be imported stands for its tests.
        failed += [name.split("::")[0] for name in failed]
        return set(tests) & set(failed)

    def _failed(self, targets: list[str], options: list[str]) -> list[str]:
        """Returns what fails of some tests, files or folders, by the names of tests.

        Raises:
          HarnessError: If pytest stops for a reason of its own.
        """
        if not targets:
            return []
        command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=no", "--color=no", *options]
        command += ["-p", "no:cacheprovider", f"--basetemp={self.scratch / 'pytest'}"]
        command += ["-m", MARKERS[self._args.suite]]
        command += [f"--deselect={name}" for name in sorted(self._left_out)]
        try:
            code, text = self._call([*command, *targets])
        except subprocess.TimeoutExpired:
            return [HANG]
        if code in CRASHES:
            return [CRASH]
        if code in (PASSED, NO_TESTS):
            self._has_run |= code == PASSED
            return []
        failed = _FAILED.findall(text)
        if code in (FAILED, INTERRUPTED) and failed:
            return failed
        if code == USAGE and BROKEN_CONFTEST in text:
            return [BROKEN_IMPORT]
        raise HarnessError(f"pytest stopped with {code} on {' '.join(targets)}:\n{text[-4000:]}")

    def _call(self, command: list[str]) -> tuple[int, str]:
        """Runs a command in the copy; ends it and its children when it takes too long."""
        self.scratch.mkdir(exist_ok=True)
        with subprocess.Popen(
            command,
            cwd=self.root,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as started:
            try:
                text, _ = started.communicate(timeout=self._args.timeout)
            except BaseException:
                os.killpg(started.pid, signal.SIGKILL)
                raise
        return started.returncode, text


def _forget_compiled(file: pathlib.Path) -> None:
    """Deletes what Python compiled of a file: it tells versions by size and whole seconds."""
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


def digest(mutant: _mutants.Mutant) -> str:
    """Returns a hash of what a mutant does."""
    return hashlib.sha256(repr((mutant.path, mutant.old, mutant.new)).encode()).hexdigest()[:16]


class Record:
    """Results by the names of mutants, kept in a file if there is one.

    Args:
      path: JSON file, or None.
      about: What the results depend on; a file of other results is refused.
      fresh: Whether to start anew.
    """

    def __init__(self, path: pathlib.Path | None, about: dict[str, str], fresh: bool):
        self._path, self._about = path, about
        self._lock = threading.Lock()
        self.results: dict[str, Result] = {}
        self.sound: set[str] = set()
        """Tests that noticed a mutant and were seen to pass without one."""
        self.left_out: set[str] = set()
        """Tests that fail without a mutant too."""
        if path is not None and path.exists() and not fresh:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["about"] != about:
                raise SystemExit(
                    f"{path} is of {content['about']} and not of {about}: take another --output, "
                    "or start anew by --fresh"
                )
            self.results = {name: Result(**found) for name, found in content["mutants"].items()}
            self.sound, self.left_out = set(content["sound"]), set(content["left_out"])

    def is_known(self, mutant: _mutants.Mutant, stage1_only: bool) -> bool:
        """Returns whether nothing is left to be run for a mutant."""
        found = self.results.get(mutant.name)
        if found is None or found.digest != digest(mutant):
            return False
        return found.noticed_by is not None or stage1_only or found.stage == 2

    def unconfirmed(self) -> list[str]:
        """Returns the tests that noticed something and were not run without a mutant yet."""
        found = {one.noticed_by for one in self.results.values() if one.noticed_by is not None}
        return sorted(found - self.sound - {HANG, CRASH, BROKEN_IMPORT})

    def confirm(self, tests: list[str], failing: set[str]) -> None:
        """Notes which tests fail without a mutant, and forgets what they noticed."""
        self.sound |= set(tests) - failing
        self.left_out |= failing
        for name in [n for n, found in self.results.items() if found.noticed_by in failing]:
            del self.results[name]
        self._write()

    def add(self, mutant: _mutants.Mutant, result: Result) -> None:
        """Adds a result."""
        with self._lock:
            self.results[mutant.name] = result
            self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        content = {
            "about": self._about,
            "sound": sorted(self.sound),
            "left_out": sorted(self.left_out),
            "mutants": {name: dataclasses.asdict(one) for name, one in self.results.items()},
        }
        partial = self._path.with_name(f"{self._path.name}.partial")
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        partial.replace(self._path)


def line(mutant: _mutants.Mutant, result: Result) -> str:
    """Returns what is printed of a mutant."""
    by = f"noticed by {result.noticed_by}" if result.noticed_by else "NOT NOTICED"
    return f"{mutant.name:44} {result.seconds:>7.0f} s  {by}"


def table(mutants: list[_mutants.Mutant], results: dict[str, Result]) -> str:
    """Returns the share that was noticed, by folder and by kind, and what was not."""
    mutants = [mutant for mutant in mutants if mutant.name in results]
    lines = []
    for title, key in (("folder", "folder"), ("kind", "kind")):
        groups: dict[str, list[bool]] = {}
        for mutant in mutants:
            is_noticed = results[mutant.name].noticed_by is not None
            groups.setdefault(getattr(mutant, key), []).append(is_noticed)
        lines += [f"{title:28} {'noticed':>8}"]
        for name, noticed in sorted(groups.items()):
            lines.append(f"{name:28} {f'{sum(noticed)}/{len(noticed)}':>8}")
        lines.append("")
    unnoticed = [m for m in mutants if results[m.name].noticed_by is None]
    lines.append(f"noticed: {len(mutants) - len(unnoticed)} of {len(mutants)}")
    if unnoticed:
        lines += ["", "not noticed:"]
        lines += [f"  {m.name} ({m.path}): {m.why}" for m in unnoticed]
    return "\n".join(lines)


def run(mutants: list[_mutants.Mutant], args: argparse.Namespace, record: Record) -> None:
    """Tries the mutants of which nothing is known yet, several at once.

    Raises:
      TableError: If an entry does not fit the code.
      HarnessError: If the tests cannot be run.
    """
    for mutant in mutants:
        mutant.applied((args.root / mutant.path).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for index in range(args.jobs):
            copies.put(Copy(args.root, pathlib.Path(temporary, str(index)), args, record.left_out))

        def try_one(mutant: _mutants.Mutant) -> None:
            copy = copies.get()
            try:
                result = copy.try_mutant(mutant)
            finally:
                copies.put(copy)
            record.add(mutant, result)
            print(line(mutant, result), flush=True)

        while True:
            left = [m for m in mutants if not record.is_known(m, args.stage1_only)]
            if not left and not record.unconfirmed():
                return
            with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
                tried = [pool.submit(try_one, mutant) for mutant in left]
                try:
                    for one in concurrent.futures.as_completed(tried):
                        one.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
            _confirm(copies, record)


def _confirm(copies: "queue.SimpleQueue[Copy]", record: Record) -> None:
    """Runs the tests that noticed something on the code as it is."""
    tests = record.unconfirmed()
    if not tests:
        return
    print(f"running {len(tests)} tests that noticed something without a mutant", flush=True)
    copy = copies.get()
    failing = copy.fail_anyway(tests)
    copies.put(copy)
    for test in sorted(failing):
        print(f"no catch, for it fails without a mutant: {test}", flush=True)
    record.confirm(tests, failing)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", choices=MARKERS, default="fast", help="tests that are run")
    parser.add_argument("--only", metavar="NAME,...", help="these mutants; all if unset")
    parser.add_argument(
        "--root",
        type=pathlib.Path,
        default=ROOT,
        metavar="DIR",
        help="checkout whose code and tests are tried, this one by default",
    )
    parser.add_argument("--jobs", type=int, default=1, help="mutants at once, a copy each")
    parser.add_argument("--stage1_only", action="store_true", help="leave out stage 2")
    parser.add_argument(
        "--timeout", type=float, default=3600.0, help="seconds after which tests count as hung"
    )
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="JSON of the results")
    parser.add_argument("--fresh", action="store_true", help="measure again what FILE holds")
    args = parser.parse_args(argv)
    for name in ("jobs", "timeout"):
        if getattr(args, name) <= 0:
            parser.error(f"--{name} must be positive, got {getattr(args, name)}")
    if not (args.root / _mutants.PACKAGE).is_dir():
        parser.error(f"--root={args.root} is no checkout: it has no {_mutants.PACKAGE}/")
    args.root = args.root.resolve()
    known = {mutant.name: mutant for mutant in _mutants.read()}
    names = list(known) if args.only is None else [n for n in args.only.split(",") if n]
    for name in names:
        if name not in known:
            parser.error(f"unknown mutant {name!r}; known: {', '.join(known)}")
    args.mutants = [known[name] for name in names]
    return args


def main() -> None:
    """Tries the mutants and prints the table."""
    args = parse_args()
    about = {"root": str(args.root), "suite": args.suite}
    record = Record(args.output, about, args.fresh)
    try:
        run(args.mutants, args, record)
    except (_mutants.TableError, HarnessError) as error:
        sys.exit(f"error: {error}")
    print(f"\n{table(args.mutants, record.results)}")


if __name__ == "__main__":
    main()
