"""Runs scripts of the tests in processes of their own, where devices and strategies are set."""

import json
import os
import pathlib
import subprocess
import sys

SECONDS = 600
"""A bound for what hangs, far above what anything takes."""


def printed_by(module, *args):
    """What a module prints as JSON, in its last line, when it is run with these arguments."""
    return json.loads(run_module(module, *args).splitlines()[-1])


def run_module(module, *args, options=()):
    """What a module prints when it is run with these arguments, and options of Python."""
    finished = subprocess.run(
        [sys.executable, *options, "-m", module, *map(str, args)],
        cwd=pathlib.Path(__file__).parents[1],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout
