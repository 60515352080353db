"""Servers of exported models in processes of their own: the test double, and the real one."""

import json
import pathlib
import socket
import subprocess
import sys

from tf_sigma_vae.export import server_files

HOST = "127.0.0.1"
ROUTES = ("grpc", "rest")
_STOP_SECONDS = 30


class Server:
    """A running server; a context manager that stops it.

    Attributes:
      addresses: `{"grpc": "host:port", "rest": "http://host:port"}`.
      log: What it has said, a file.
    """

    def __init__(self, command, log, ports=None, cwd=None):
        self.log = pathlib.Path(log)
        with self.log.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if ports is None else file,
                stderr=file,
                cwd=cwd,
            )
        if ports is None:
            line = self._process.stdout.readline()
            if not line:
                self.stop()
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")
            ports = json.loads(line)
        self.addresses = {
            "grpc": f"{HOST}:{ports['grpc']}",
            "rest": f"http://{HOST}:{ports['rest']}",
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the process; a second time does nothing."""
        process = self._process
        process.stdin.close()
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def start_double(root, base, name, log, num_versions=1, max_rows=None) -> Server:
    """The test double; see `_server`. It prints its ports once it has looked for versions.

    Args:
      root: Of the clone.
      base: Folder of the versions.
      name: Of the model.
      log: File for what it says.
      num_versions: How many of the newest it serves.
      max_rows: Of a request.
    """
    command = [sys.executable, "-m", "tests.export._server", f"--base={base}", f"--name={name}"]
    command.append(f"--num_versions={num_versions}")
    if max_rows is not None:
        command.append(f"--max_rows={max_rows}")
    return Server(command, log, cwd=root)


def start_real(binary, base, name, log, num_versions=1) -> Server:
    """TensorFlow Serving, batching on, with the files that an export writes for it.

    Args:
      binary: Path of `tensorflow_model_server`.
      base: Folder of the versions, with `models.config` and `batching.config`.
      name: Of the model.
      log: File for what it says.
      num_versions: How many of the newest it serves.
    """
    base = pathlib.Path(base)
    models = (base / server_files.MODELS_FILE).read_text(encoding="utf-8")
    models = models.replace(f'base_path: "/models/{name}"', f'base_path: "{base}"')
    models = models.replace("num_versions: 1", f"num_versions: {num_versions}")
    if f'"{base}"' not in models or f"num_versions: {num_versions}" not in models:
        raise ValueError(f"{server_files.MODELS_FILE} is not what this expects:\n{models}")
    config = base / "tested.config"
    config.write_text(models, encoding="utf-8")
    ports = {"grpc": _free_port(), "rest": _free_port()}
    command = [
        binary,
        f"--port={ports['grpc']}",
        f"--rest_api_port={ports['rest']}",
        f"--model_config_file={config}",
        "--enable_batching=true",
        f"--batching_parameters_file={base / server_files.BATCHING_FILE}",
        "--file_system_poll_wait_seconds=1",
        # By default a version that fails is tried for five minutes, and the next one waits.
        "--max_num_load_retries=0",
    ]
    return Server(command, log, ports)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
