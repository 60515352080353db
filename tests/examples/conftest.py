"""Runs the examples as a user does, in this process."""

import contextlib
import io
import runpy
import sys

import pytest


@pytest.fixture(scope="module")
def run_example(request):
    """Returns a function that runs an example with flags.

    It returns the names that the script leaves behind, and what it printed as `printed`.
    """
    folder = request.config.rootpath / "examples"

    def run(name, *flags):
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
            patch.setattr(sys, "argv", [name, *flags])
            left = runpy.run_path(str(folder / name), run_name="__main__")
        return {**left, "printed": output.getvalue()}

    return run
