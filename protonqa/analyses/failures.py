"""Tracebacks fit to leave the hospital: where it broke, never whose data it broke on."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from protonqa.errors import ProtonQAError

#: Set to 1 on a development computer to keep the messages of foreign exceptions.
FULL_VARIABLE = "PROTONQA_FULL_TRACEBACK"


def failure_text(error: BaseException) -> str:
    """Frames and types of `error` and its causes.

    Messages of foreign exceptions often quote paths, names or values of a file, so only those of protonqa's own
    errors are kept. Paths of source files are cut to the part below the Python path.
    """
    lines: list[str] = []
    chain = _causes(error)
    for number, one in enumerate(chain):
        if number:
            lines.append("raised while handling, or caused by:")
        lines.append(f"{type(one).__module__}.{type(one).__qualname__}{_message(one)}")
        for frame in traceback.extract_tb(one.__traceback__):
            lines.append(f"  {_short(frame.filename)}:{frame.lineno} in {frame.name}")
            if frame.line and _is_installed_code(frame.filename):
                lines.append(f"    {frame.line}")
    return "\n".join(lines) + "\n"


def failure_line(error: BaseException) -> str:
    """One line for people: a ProtonQAError's own line, else the kind of exception and where it was raised."""
    if isinstance(error, ProtonQAError):
        return error.line()
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {_short(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return f"unexpected {type(error).__name__}{place}"


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return chain


def _message(error: BaseException) -> str:
    if isinstance(error, ProtonQAError):
        return f": {error.line()}"
    if os.environ.get(FULL_VARIABLE) == "1":
        return f": {error}"
    return " (message left out: it may name a patient)" if str(error) else ""


def _is_installed_code(filename: str) -> bool:
    """True for protonqa and installed libraries; a user's own script may hold a patient's path in its source."""
    package = Path(__file__).resolve().parents[1]
    path = Path(filename)
    return path.is_relative_to(package) or "site-packages" in path.parts


def _short(filename: str) -> str:
    """The path below the longest folder of the Python path, so that no home folder appears."""
    path = Path(filename)
    roots = sorted((root for root in sys.path if root), key=len, reverse=True)
    for root in roots:
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.name
