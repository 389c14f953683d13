"""Dates and times as users write them."""

from __future__ import annotations

from datetime import datetime, timedelta

from protonqa.errors import InputError


def moment(text: str, *, end: bool = False) -> datetime:
    """A date or time with a time zone: that of this computer where none is written.

    Parameters
    ----------
    text : str
        ISO 8601, such as ``2026-11-20`` or ``2026-11-20T14:30``.
    end : bool
        A date without a time means the end of its day, not the beginning.

    Raises
    ------
    InputError
        Neither a date nor a time.
    """
    line = text.strip()
    try:
        found = datetime.fromisoformat(line)
    except ValueError as error:
        raise InputError(
            "this is not a date", got=repr(line[:30]), expected="a date or time such as 2026-11-20 or 2026-11-20T14:30"
        ) from error
    if end and len(line) <= len("2026-11-20"):
        found += timedelta(days=1)
    return found if found.tzinfo is not None else found.astimezone()


def shown(found: datetime) -> str:
    """A moment for people, in the time zone of this computer."""
    return f"{found.astimezone():%Y-%m-%d %H:%M}"
