"""Options that every command has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

_GROUP = Group("Common options", sort_key=100)


@Parameter(name="*", group=_GROUP)
@dataclass(frozen=True, kw_only=True)
class Common:
    """``--json``, ``--device``, ``--seed``, ``--config`` and ``--progress`` of every command."""

    json: Annotated[bool, Parameter(negative="", group=_GROUP)] = False
    """Print one JSON object on standard output and nothing else."""

    device: Annotated[Literal["cpu", "cuda", "auto"], Parameter(group=_GROUP)] = "auto"
    """Where to compute; the choice is recorded in the result."""

    seed: Annotated[int, Parameter(group=_GROUP)] = 0
    """Seed of all random numbers."""

    config: Annotated[Path | None, Parameter(group=_GROUP, show_default=False)] = None
    """Site file; by default that of PROTONQA_CONFIG, then the user's own."""

    progress: Annotated[bool | None, Parameter(group=_GROUP, show_default=False)] = None
    """Show progress on standard error; by default on a terminal, after two seconds."""


DEFAULT = Common()

#: For the parameters of a command: ``params: Annotated[SomeParams, FLAT]`` makes one option of each field. Where all
#: fields have defaults the argument needs one too: ``params: Annotated[SomeParams, FLAT] = SomeParams()``.
FLAT = Parameter(name="*")
