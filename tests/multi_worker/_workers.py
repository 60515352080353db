"""Workers of a cluster, each a process of its own on this machine."""

import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG_FILE = pathlib.Path(__file__).with_name("_config.py")
TRAIN = ("-m", "tf_sigma_vae.cli.train")
EVALUATE = ("-m", "tf_sigma_vae.cli.evaluate")

SECONDS = 120
"""Far above what anything here takes: a bound, not an expectation."""

_OTHER_CLUSTERS = ("SLURM_", "JOB_", "TPU_")


@dataclasses.dataclass(frozen=True)
class End:
    """How a process ended.

    Attributes:
      code: Its exit code; minus the number of the signal that killed it.
      output: What it printed.
    """

    code: int
    output: str


def training(workdir, *flags: str, harm: str | None = None, step: int = 0) -> list[str]:
    """Arguments of Python that train `_config.CONFIG` in a worker, harmed at a step if wished."""
    start = TRAIN
    if harm is not None:
        start = ("-m", "tests.multi_worker._train", json.dumps({"kind": harm, "step": step}))
    return [
        *start,
        f"--config={CONFIG_FILE}",
        f"--workdir={workdir}",
        "--strategy=multi_worker",
        f"--cluster_timeout={SECONDS}",
        *flags,
    ]


class Workers:
    """The processes of one cluster; `close` leaves none of them.

    Attributes:
      addresses: `host:port` of every worker, free when the cluster was made.
    """

    def __init__(self, num_workers: int):
        """Chooses the ports."""
        self.addresses = _free_addresses(num_workers)
        self._running: dict[int, subprocess.Popen] = {}
        self._all: list[subprocess.Popen] = []
        self._outputs: dict[int, _Output] = {}

    def start(self, index: int, arguments: Sequence[str]) -> None:
        """Starts a worker (again); it is not waited for.

        Args:
          index: Which.
          arguments: Of Python.
        """
        assert index not in self._running, f"worker {index} runs already"
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self._environment(index),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._running[index] = process
        self._outputs[index] = _Output(process.stdout)
        self._all.append(process)

    def start_all(self, arguments: Sequence[str]) -> None:
        """Starts all workers with the same arguments."""
        for index in range(len(self.addresses)):
            self.start(index, arguments)

    def run(self, arguments: Sequence[str]) -> list[End]:
        """Starts all workers with the same arguments and waits for their ends."""
        self.start_all(arguments)
        return [self.end(index) for index in range(len(self.addresses))]

    def pid(self, index: int) -> int:
        """The process of a worker."""
        return self._running[index].pid

    def kill(self, index: int) -> End:
        """SIGKILL to a worker that runs."""
        os.killpg(self.pid(index), signal.SIGKILL)
        return self.end(index)

    def end(self, index: int) -> End:
        """Waits for the end of a worker."""
        try:
            code = self._running[index].wait(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"worker {index} hangs: {self.outputs()}") from None
        del self._running[index]
        return End(code, self._outputs[index].whole())

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Returns when the condition holds, which the workers that run must bring about."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"has not happened: {self.outputs()}"
            ended = [i for i, worker in self._running.items() if worker.poll() is not None]
            assert not ended, f"worker {ended} ended before: {self.outputs()}"
            time.sleep(0.02)

    def outputs(self) -> str:
        """What all workers have printed since their last start, for messages."""
        found = [f"worker {index}:\n{self._outputs[index].text}" for index in sorted(self._outputs)]
        return "\n" + "\n".join(found)

    def close(self) -> None:
        """Ends whatever a failed test left."""
        for worker in self._all:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait(timeout=SECONDS)
        for output in self._outputs.values():
            output.whole()

    def _environment(self, index: int) -> dict[str, str]:
        cluster = {"worker": self.addresses}
        own = {
            "TF_CONFIG": json.dumps(
                {"cluster": cluster, "task": {"type": "worker", "index": index}}
            ),
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "CUDA_VISIBLE_DEVICES": "-1",
            # Workers here share the cores of one machine.
            "TF_NUM_INTRAOP_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        others = {k: v for k, v in os.environ.items() if not k.startswith(_OTHER_CLUSTERS)}
        return others | own


class _Output:
    """What a process prints, read as it comes so that the process never waits.

    A pipe and not a file: a worker may be one that can write to no file.
    """

    def __init__(self, pipe):
        self._pipe, self._lines = pipe, []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        return b"".join(self._lines).decode(errors="replace")

    def whole(self) -> str:
        """All of it, when the process has ended."""
        self._thread.join(timeout=SECONDS)
        return self.text

    def _read(self) -> None:
        with self._pipe:
            self._lines.extend(self._pipe)


def _free_addresses(num_workers: int) -> list[str]:
    # All are held until all are known, or one could be given twice.
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(num_workers)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in held]
    for server in held:
        server.close()
    return addresses
