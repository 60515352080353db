"""Runs a command within the test's process, with flags of its own."""

import logging
import sys

from absl import app, flags

from tf_sigma_vae.cli import train

TINY = (
    "--dataset=synthetic",
    "--config.dataset_options.num_train=20",
    "--config.dataset_options.num_test=4",
    "--config.dataset_options.image_size=4",
    "--config.network=dense",
    "--config.network_options={'hidden_sizes': [8]}",
    "--config.latent_size=2",
    "--config.global_batch_size=8",
    "--config.tensorboard=False",
)
"""A run of two steps an epoch."""


class Command:
    """Calls the entry point of `sigma-vae-train`, or another, as the console script does.

    Attributes:
      error: What the last call that failed said: on stderr, or to `sys.exit`.
      output: What the last call printed.
    """

    def __init__(self, monkeypatch, capsys, module=train):
        self._monkeypatch, self._capsys, self._module = monkeypatch, capsys, module
        self.error = self.output = ""

    def __call__(self, *arguments):
        """Returns the exit status: 0, the code, or 1 where `sys.exit` was given a message."""
        app.define_help_flags()
        before, handlers = set(flags.FLAGS), list(logging.root.handlers)
        self._monkeypatch.setattr(sys, "argv", [self._module.PROGRAM, *arguments])
        self._capsys.readouterr()
        status = None
        try:
            self._module.run()
        except SystemExit as stop:
            status = stop.code
        finally:
            for name in set(flags.FLAGS) - before:
                delattr(flags.FLAGS, name)
            flags.FLAGS.unparse_flags()
            logging.root.handlers[:] = handlers
        self.output, self.error = self._capsys.readouterr()
        if isinstance(status, str):
            self.error += status
            return 1
        return status or 0
