"""What became of a cell: its result, or why there is none."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from protonqa.errors import ProtonQAError

#: Codes of failures that no ProtonQAError stands for.
INTERNAL = "INTERNAL"
WORKER = "WORKER"
DEADLINE = "DEADLINE"
MEMORY = "MEMORY"
#: Failures of the machine and not of the cell: another run may well succeed.
TRANSIENT = frozenset({WORKER, DEADLINE, MEMORY, "STORE", "DEVICE", "CANCELLED"})

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


class CellState(StrEnum):
    """A cell that is neither is missing."""

    DONE = "done"
    FAILED = "failed"


class Retry(StrEnum):
    """Which failed cells a resumed run computes again."""

    NONE = "none"
    #: Those whose worker died, hung or found memory or disk full.
    TRANSIENT = "transient"
    ALL = "all"

    def wants(self, code: str) -> bool:
        """True when a cell that failed with `code` is to be computed again."""
        return self is Retry.ALL or (self is Retry.TRANSIENT and code in TRANSIENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFile:
    """A file of a cell's folder: name with forward slashes, size and SHA-256."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutcome:
    """Result or failure of one cell.

    Parameters
    ----------
    position : int
        Row in the table, from 0.
    is_json : bool
        Whether `content` is canonical JSON or the bytes that the function returned.
    code, message : str
        Of a failure: the code of the error and one line.
    files : tuple of CellFile
        What the cell left in its folder.
    seconds, attempts
        How long it took and how often it was tried; no part of the result, and of no comparison.
    """

    position: int
    cell_id: str
    state: CellState
    content: bytes = b""
    is_json: bool = True
    code: str = ""
    message: str = ""
    files: tuple[CellFile, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    attempts: int = field(default=1, compare=False)

    @property
    def done(self) -> bool:
        """True when there is a result."""
        return self.state is CellState.DONE

    def value(self) -> Any:
        """What the function returned: the JSON value or the bytes; None for a failed cell."""
        if not self.done:
            return None
        return json.loads(self.content) if self.is_json else self.content

    def identity(self) -> dict[str, Any]:
        """All that two runs of the same job must agree on, as JSON, without the content."""
        return {
            "position": self.position,
            "id": self.cell_id,
            "state": self.state.value,
            "json": self.is_json,
            "code": self.code,
            "message": self.message,
            "files": [[one.name, one.size_bytes, one.sha256] for one in self.files],
        }


def failed(position: int, cell_id: str, code: str, message: str, seconds: float = 0.0) -> CellOutcome:
    """A failed cell; the message is cut to one line."""
    line = " ".join(message.split())[:500]
    return CellOutcome(
        position=position, cell_id=cell_id, state=CellState.FAILED, code=code, message=line, seconds=seconds
    )


def failed_by(position: int, cell_id: str, error: BaseException, seconds: float) -> CellOutcome:
    """A cell that failed with an exception."""
    code, message = failure_of(error)
    return failed(position, cell_id, code, message, seconds)


def failure_of(error: BaseException) -> tuple[str, str]:
    """Code and line of an exception.

    Messages of foreign exceptions often quote paths or names out of a file, so they are left out: the kind of the
    exception and the place it came from stand instead.
    """
    if isinstance(error, ProtonQAError):
        return error.code, error.line()
    place = _place(error)
    if _is_memory(error):
        return MEMORY, f"the cell needs more memory than it may have{place}, use fewer workers or a smaller cell"
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return "STORE", f"no space is left on the disk{place}, free space and run again"
    return INTERNAL, f"unexpected {type(error).__name__}{place}"


def _is_memory(error: BaseException) -> bool:
    # torch says it with a RuntimeError; this room does not know torch.
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY_WORDS)


def _place(error: BaseException) -> str:
    """Source file, below the Python path so that no home folder appears, and line of the innermost frame."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    path = Path(frames[-1].filename)
    roots = [root for root in sys.path if root and path.is_relative_to(root)]
    short = path.relative_to(max(roots, key=len)) if roots else Path(path.name)
    return f" at {str(short).replace(os.sep, '/')}:{frames[-1].lineno}"
