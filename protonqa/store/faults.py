"""Database errors as one clear line: what happened, what is safe, what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from protonqa.errors import StoreError

#: SQLSTATE that our own triggers raise in PostgreSQL.
REFUSED_STATE = "PQ001"
REFUSED = "results are never changed"
_UNCHANGED = "nothing was stored"
RESTORE = "bring back a backup with: protonqa history restore newest"
_LOCKED = ("it is locked by another program", f"close the other program or try again later; {_UNCHANGED}")
_DAMAGED = ("the file is damaged", f"it was left as it is; {RESTORE}")
_SQLITE = {
    sqlite3.SQLITE_FULL: ("the disk or quota is full", f"free space on the disk and try again; {_UNCHANGED}"),
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: ("it is read-only", "ask for write access or choose another database"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "check that its folder exists and may be written to"),
    sqlite3.SQLITE_PERM: ("access is denied", "ask for access or choose another database"),
    sqlite3.SQLITE_IOERR: ("the disk reports an error", f"check the disk; {_UNCHANGED}"),
    sqlite3.SQLITE_NOMEM: ("there is not enough memory", f"close other programs and try again; {_UNCHANGED}"),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}
#: By the first letters of SQLSTATE (PostgreSQL documentation, appendix A); the longest that fits counts.
_POSTGRES = {
    "08": ("the server cannot be reached", "check the network and that the server runs"),
    "28": ("the server refuses the user", "check user and password"),
    "42501": ("the user lacks a right", "have SELECT and INSERT granted on the tables of protonqa"),
    "53100": ("the disk of the server is full", f"have space freed and try again; {_UNCHANGED}"),
    "53": ("the server is out of resources", f"try again later; {_UNCHANGED}"),
    "55P03": _LOCKED,
    "57": ("the server stopped the work", f"try again later; {_UNCHANGED}"),
    "40": ("the server undid the work for another client", f"try again; {_UNCHANGED}"),
    "25006": ("the server is read-only", "use the main server"),
    "58": ("the disk of the server reports an error", "tell who looks after the server"),
    "XX001": ("the data on the server are damaged", "tell who looks after the server; restore its dump"),
}


def damaged(got: str, *, remedy: str = RESTORE) -> StoreError:
    """The error of a database whose content contradicts itself; it is never overwritten."""
    return StoreError("the results database is damaged", got=got, remedy=f"it was left as it is; {remedy}")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Errors of the database inside the block become a StoreError; the transaction they broke has left nothing."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _translation(doing, error) from error


def _translation(doing: str, error: Exception) -> StoreError:
    # The text of a database error may quote a row, so only its kind is told.
    original = error.orig if isinstance(error, DBAPIError) else error
    what = f"could not {doing} the results database"
    if _is_refusal(original):
        return StoreError(REFUSED, got="an attempt to change or delete a stored row", remedy="add an amendment instead")
    if isinstance(error, PoolTimeout):
        return StoreError(what, got="all connections are in use", remedy="try again")
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", 0) & 0xFF
        if isinstance(original, sqlite3.OperationalError) and not code:
            # Not SQLite but Python met it: bytes that are no text where a text was stored.
            code = sqlite3.SQLITE_CORRUPT
        got, remedy = _SQLITE.get(code, (type(original).__name__, "check the database with: protonqa history check"))
        return StoreError(what, got=got, remedy=remedy)
    state = getattr(original, "sqlstate", None)
    if state is None:
        # A connection that never came about, or broke, has no SQLSTATE.
        got, remedy = _POSTGRES["08"] if isinstance(error, DBAPIError) else (type(error).__name__, "")
        if "FATAL" in str(original):
            got, remedy = "the server refuses the connection", "check the names of database and user, and the password"
        return StoreError(what, got=got, remedy=remedy)
    for length in (5, 2):
        if state[:length] in _POSTGRES:
            got, remedy = _POSTGRES[state[:length]]
            return StoreError(what, got=got, remedy=remedy)
    return StoreError(what, got=f"SQLSTATE {state}", remedy="check the server")


def _is_refusal(original: object) -> bool:
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", 0)
        return code == sqlite3.SQLITE_CONSTRAINT_TRIGGER and REFUSED in str(original)
    return getattr(original, "sqlstate", None) == REFUSED_STATE
