"""How every command starts: its flags, and a --help that shows them however it is called."""

import functools
import sys
from collections.abc import Callable

from absl import app, flags


def run(
    main: Callable[[], None],
    doc: str,
    define_flags: Callable[[], None],
    argv: list[str] | None = None,
) -> None:
    """Defines the flags, parses the command line and runs a command.

    absl shows in --help the flags and the docstring of the script that was started, which for an
    installed command is a stub: here it is told whose they are.

    Args:
      main: Does what the parsed flags say. A command takes nothing but flags.
      doc: What --help says.
      define_flags: Defines the flags of the command.
      argv: The command line; that of the process if None.
    """
    others = set(flags.FLAGS)
    define_flags()
    for name in set(flags.FLAGS) - others:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    sys.modules["__main__"].__doc__ = doc
    app.run(functools.partial(_without_arguments, main), argv=argv)


def _without_arguments(main: Callable[[], None], argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    main()
