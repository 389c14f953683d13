"""The command ``protonqa``: each command is one schema of parameters and one call of ``protonqa.app``.

A new command is a line in ``protonqa.cli.commands.COMMANDS`` and a module with one function; see
``protonqa.cli.task`` for what the function gets (progress, device, output, exit code). This module stays light:
commands are imported when they are called, so that ``protonqa --help`` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    argv : sequence of str or None
        Arguments without the program's name; None takes those of the process.
    """
    from protonqa.cli.frame import run_command_line

    return run_command_line(argv)
