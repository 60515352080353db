"""A stand-in for sigma-vae-train, and an eye on the processes that a launcher leaves behind."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable

# Far above what any of these tests takes: a bound, not an expectation.
SECONDS = 40
# What a process that got SIGKILL may take to be gone; far below the 60 s that a stub rests.
_MOMENT = 20

# Files of a start are named <worker>-<start>.<what>; the pid is written last.
_STUB = r"""#!/usr/bin/env bash
index=0
[[ "${TF_CONFIG:-}" =~ \"index\":\ ([0-9]+) ]] && index="${BASH_REMATCH[1]}"
shopt -s nullglob
before=("$STUB_FOLDER/$index-"*.pid)
start="$index-$((${#before[@]} + 1))"
file="$STUB_FOLDER/$start"
printf '%s\n' "$@" >"$file.args"
printf '%s' "${TF_CONFIG:-}" >"$file.tf_config"
printf '%s' "${TF_NUM_INTRAOP_THREADS:-}" >"$file.threads"
trap 'echo TERM >>"$file.signals"; ON_TERM' TERM
trap 'echo INT >>"$file.signals"' INT
# A child of its own, which a stub that is told to stop leaves behind.
rest() { sleep 60 & wait "$!"; }
# Waits for the same start of workers 0 to $1 - 1.
meet() {
  for ((i = 0; i < $1; i++)); do
    until [ -e "$STUB_FOLDER/$i-${start#*-}.pid" ]; do sleep 0.02; done
  done
}
echo "stub $start"
echo "$$" >"$file.new" && mv "$file.new" "$file.pid"
"""


@dataclasses.dataclass
class Start:
    """One start of the stub, as it recorded it."""

    pid: int
    args: list[str]
    tf_config: dict | None
    threads: str
    signals: list[str]


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Stage:
    """A folder with commands that take the place of the real ones, and a script run with them."""

    def __init__(self, folder: pathlib.Path, body: str, on_term: str = "exit 42"):
        """Writes the stub.

        Args:
          folder: Where it is written and run.
          body: What it does, in bash, where `$start`, `$index`, `rest` and `meet` are defined.
          on_term: What it does when it gets SIGTERM.
        """
        self.folder = folder
        self.commands = folder / "bin"
        self.commands.mkdir()
        self.process: subprocess.Popen | None = None
        self.add_command("sigma-vae-train", _STUB.replace("ON_TERM", on_term) + body)

    def add_command(self, name: str, text: str) -> None:
        """Puts a command first in PATH."""
        path = self.commands / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def launch(self, script: pathlib.Path, *args: str, **variables: str) -> None:
        """Starts a script of launch/ in a session of its own; it is not waited for."""
        environment = os.environ | {
            "PATH": f"{self.commands}:{os.environ['PATH']}",
            "STUB_FOLDER": str(self.folder),
            **variables,
        }
        with open(self.folder / "output", "w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                [script, *args],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Whoever runs the tests in the background ignores some, and a shell cannot trap
                # what was ignored when it started.
                preexec_fn=_default_signals,
            )

    def run(self, script: pathlib.Path, *args: str, **variables: str) -> int:
        """Runs a script of launch/ to its end and returns its exit code."""
        self.launch(script, *args, **variables)
        return self.exit_code()

    def exit_code(self) -> int:
        """Waits for the end of the script."""
        return self.process.wait(timeout=SECONDS)

    def output(self) -> str:
        """What the script has printed so far."""
        return (self.folder / "output").read_text(encoding="utf-8")

    def starts(self, worker: int = 0) -> list[Start]:
        """The starts of a worker, in order."""
        found = []
        while (pid := self.folder / f"{worker}-{len(found) + 1}.pid").exists():
            texts = {s: self._text(pid, s) for s in ("args", "tf_config", "threads", "signals")}
            found.append(
                Start(
                    pid=int(pid.read_text(encoding="utf-8")),
                    args=texts["args"].splitlines(),
                    tf_config=json.loads(texts["tf_config"]) if texts["tf_config"] else None,
                    threads=texts["threads"],
                    signals=texts["signals"].split(),
                )
            )
        return found

    @staticmethod
    def _text(path: pathlib.Path, suffix: str) -> str:
        path = path.with_suffix(f".{suffix}")
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def wait_for_starts(self, *workers: int, count: int = 1) -> None:
        """Returns when each of the workers has been started `count` times."""
        self.wait_until(lambda: all(len(self.starts(worker)) >= count for worker in workers))

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Returns when the condition holds, which the running script must bring about."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"has not happened: {self.output()}"
            assert self.process.poll() is None, f"ended before: {self.output()}"
            time.sleep(0.02)

    def survivors(self) -> list[str]:
        """Processes of the script's session that still run a moment after its end."""
        deadline = time.monotonic() + _MOMENT
        while (running := self._session()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return running

    def _session(self) -> list[str]:
        listed = subprocess.run(
            ["ps", "-e", "-o", "sess=,pid=,stat=,args="], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split(maxsplit=3) for line in listed.splitlines()]
        session = str(self.process.pid)
        return [" ".join(row) for row in rows if row[0] == session and not row[2].startswith("Z")]

    def close(self) -> None:
        """Ends whatever a failed test left."""
        if self.process is None:
            return
        for line in self._session():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[1]), signal.SIGKILL)
        self.process.wait(timeout=SECONDS)
