"""The commands, in the order of the help page: name, where its function lives, one line of help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command; ``function`` is ``module:function`` and is imported when the command is called.

    ``own_help`` is for commands whose options depend on their first argument: they parse the rest themselves.
    """

    name: str
    function: str
    help: str
    own_help: bool = False


COMMANDS = (
    Command("run", "protonqa.cli.run:run", "Run an analysis on files.", own_help=True),
    Command("analyses", "protonqa.cli.analyses:analyses", "List the analyses, their inputs and parameters."),
    Command("commission", "protonqa.cli.commission:commission", "Acceptance tests with known truth."),
    Command("doctor", "protonqa.cli.doctor:doctor", "What this computer has, and whether it computes correctly."),
)
