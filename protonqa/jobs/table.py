"""The table of a job: which cells there are, drawn before anything is computed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import protonqa
from protonqa.errors import InputError
from protonqa.jobs.canonical import canonical_json, sha256_text

_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Names that Windows keeps for devices, with or without an extension.
_DEVICE_NAME = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One piece of work, fully described: the same cell gives the same result, alone or among thousands.

    Parameters
    ----------
    cell_id : str
        Name of the cell in its table and of its folder: letters, digits, ``. _ -``. It appears in files and tables,
        so it must not name a patient.
    parameters_json : str
        Canonical JSON of the parameters; use `cell` to make a Cell from a dict.
    """

    cell_id: str
    parameters_json: str

    def __post_init__(self) -> None:
        plain = _PLAIN_ID.fullmatch(self.cell_id) and not self.cell_id.endswith(".")
        if not plain or _DEVICE_NAME.fullmatch(self.cell_id):
            raise InputError(
                "the name of a cell is not plain",
                got=repr(self.cell_id[:40]),
                expected="up to 100 letters, digits, dots, - and _, and no device name",
            )

    @property
    def parameters(self) -> dict[str, Any]:
        """A new dict of the parameters."""
        return dict(json.loads(self.parameters_json))

    @property
    def content_hash(self) -> str:
        """SHA-256 over name and parameters."""
        return sha256_text(canonical_json({"id": self.cell_id, "parameters": self.parameters_json}))


def cell(cell_id: str, parameters: Mapping[str, Any]) -> Cell:
    """A cell from its name and its parameters.

    Raises
    ------
    InputError
        A name that is not plain, or parameters that are not JSON.
    """
    return Cell(cell_id=cell_id, parameters_json=canonical_json(dict(parameters), what="parameters of a cell"))


def cell_seed(seed: int, cell_id: str) -> int:
    """A seed for one cell from the seed of its study and its name alone: order and neighbours don't matter.

    Returns
    -------
    int
        0 to 2^63 - 1.
    """
    digest = hashlib.sha256(canonical_json([seed, cell_id]).encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A table of cells and the function that computes one.

    Parameters
    ----------
    name : str
        What the job is, for people and messages: "training set", "study".
    function : str
        ``package.module:function``; called as ``function(parameters, context)`` with a dict and a
        `protonqa.jobs.cell.CellContext`, in whatever process has time.
    cells : tuple of Cell
        Names differ also when case is ignored, because some file systems ignore it.
    version : str
        All that the results depend on besides the parameters: program version (the default), hash of a model. A
        journal of another version is never continued.

    Raises
    ------
    InputError
        No cells, a name twice, or a function that is not of this form.
    """

    name: str
    function: str
    cells: tuple[Cell, ...]
    version: str = field(default_factory=lambda: protonqa.__version__)

    def __post_init__(self) -> None:
        if not _FUNCTION.fullmatch(self.function):
            raise InputError(
                "the function of a job cannot be found by its name",
                got=repr(self.function[:80]),
                expected="package.module:function",
            )
        if not self.cells:
            raise InputError(f"the {self.name} has no cells", expected="at least one")
        seen: set[str] = set()
        for position, one in enumerate(self.cells):
            key = one.cell_id.casefold()
            if key in seen:
                raise InputError(
                    "two cells have the same name",
                    got=f"cell {position + 1} repeats a name",
                    expected="names that differ, also when case is ignored",
                )
            seen.add(key)

    @property
    def table_hash(self) -> str:
        """SHA-256 over function, version and every cell in order."""
        rows = [one.content_hash for one in self.cells]
        return sha256_text(canonical_json([self.function, self.version, rows]))
