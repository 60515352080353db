"""The folder of a run: its files, and what may be found in them.

workdir/config.json  metrics.jsonl  checkpoints/  model.keras  evaluation.json  samples/
        tensorboard/
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from tf_sigma_vae.config import Config


class WorkdirError(RuntimeError):
    """A workdir that cannot be used; the message says why and what to do."""


def write_atomically(path: str, text: str) -> None:
    """Writes a text file, UTF-8, as `atomic_file` does."""
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


@contextlib.contextmanager
def atomic_file(path: str) -> Iterator[BinaryIO]:
    """A file to write bytes to; it takes the place of `path` as in `atomic_path`."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        yield file


@contextlib.contextmanager
def atomic_path(path: str) -> Iterator[str]:
    """A path to write a file to, so that a kill leaves either the old or the new content.

    It ends as `path` does, for writers that choose a format by it.

    Raises:
      OSError: If the disk is full or not writable; the old content is intact then.
    """
    folder, ending = os.path.dirname(os.path.abspath(path)), os.path.splitext(path)[1]
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".tmp-", suffix=ending)
    os.close(handle)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        # A temporary file is its owner's alone; this one is for whoever can read the folder.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class Workdir:
    """Paths of a run and its configuration.

    Attributes:
      path: The folder.
      config_file: Resolved configuration and data_dir (JSON).
      metrics_file: Metrics over steps, a JSON object a line.
      checkpoints: Folder of the training checkpoints.
      model_file: The trained, calibrated model.
      evaluation_file: Result of `sigma-vae-evaluate`.
      samples: Folder of the pictures.
      tensorboard: Folder of the event files.
    """

    config_file: str
    metrics_file: str
    checkpoints: str
    model_file: str
    evaluation_file: str
    samples: str
    tensorboard: str

    def __init__(self, path: str) -> None:
        """Names the files; touches nothing."""
        self.path = os.fspath(path)
        names = {
            "config_file": "config.json",
            "metrics_file": "metrics.jsonl",
            "checkpoints": "checkpoints",
            "model_file": "model.keras",
            "evaluation_file": "evaluation.json",
            "samples": "samples",
            "tensorboard": "tensorboard",
        }
        for attribute, name in names.items():
            setattr(self, attribute, os.path.join(self.path, name))

    def read_config(self) -> tuple[Config, str | None]:
        """The configuration of the run and the data_dir it was given.

        Raises:
          FileNotFoundError: If this is not the folder of a run.
          WorkdirError: If its config.json is corrupt.
        """
        if not os.path.isfile(self.config_file):
            raise FileNotFoundError(
                f"{self.path!r} is not the workdir of a run: it holds no config.json"
            )
        try:
            with open(self.config_file, encoding="utf-8") as file:
                stored = json.load(file)
            return Config.from_dict(stored["config"]), stored["data_dir"]
        except (ValueError, TypeError, KeyError) as error:
            raise WorkdirError(f"{self.config_file!r} is corrupt: {error}") from error

    def prepare(self, config: Config, data_dir: str | None) -> None:
        """Makes the folder for a run, or checks that it holds the same run, to be resumed.

        Raises:
          WorkdirError: If the folder is not writable, or holds a run with another configuration;
            nothing in it is touched then.
        """
        # Training on is the same run, unless the learning rate depends on its length.
        self.require_same(config, any_length=config.learning_rate_schedule == "constant")
        try:
            os.makedirs(self.checkpoints, exist_ok=True)
            content = {"config": config.to_dict(), "data_dir": data_dir}
            write_atomically(self.config_file, json.dumps(content, indent=2) + "\n")
        except OSError as error:
            raise WorkdirError(f"cannot write to the workdir {self.path!r}: {error}") from error

    def require_same(self, config: Config, any_length: bool) -> None:
        """Checks that the folder holds a run with this configuration, or none; writes nothing.

        Args:
          config: The configuration.
          any_length: Whether the length of the training may differ.

        Raises:
          WorkdirError: If it holds another, or its config.json is corrupt.
        """
        if not os.path.exists(self.config_file):
            return
        old, new = self.read_config()[0].to_dict(), config.to_dict()
        changed = [name for name in new if old[name] != new[name]]
        if any_length:
            changed = [name for name in changed if name not in ("num_epochs", "num_train_steps")]
        if changed:
            changes = "; ".join(f"{n}: {old[n]!r} there, {new[n]!r} now" for n in changed)
            raise WorkdirError(
                f"the workdir {self.path!r} holds a run with another configuration ({changes}). "
                "Take another --workdir, or remove the old one."
            )
