"""Options of the commands that store what they compute, and what they say about it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from protonqa.app.recording import Recorder

_GROUP = Group("Results store", sort_key=90)


@Parameter(name="*", group=_GROUP)
@dataclass(frozen=True, kw_only=True)
class Storing:
    """``--store`` and ``--label``."""

    store: Annotated[bool | None, Parameter(group=_GROUP, show_default=False)] = None
    """Store the result; by default yes, unless PROTONQA_STORE is off."""

    label: Annotated[tuple[str, ...], Parameter(group=_GROUP, negative="", show_default=False)] = ()
    """What the result is about, as machine=, site=, field=, patient= (a pseudonym) or performed= (a date)."""

    def recorder(self) -> Recorder:
        """The store of this run.

        Raises
        ------
        InputError
            A label that does not exist.
        """
        from protonqa.app.recording import open_recorder

        return open_recorder(wanted=self.store, labels=self.label)


STORING = Storing()


def with_record(text: str, record: Recorder) -> str:
    """The answer with the line of the store; what went wrong there is told on standard error, in one line."""
    for problem in dict.fromkeys(record.problems):
        sys.stderr.write(f"warning[STORE]: {' '.join(problem.split())}\n")
    line = record.text()
    return f"{text}\n  {line}" if line else text
