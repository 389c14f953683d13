"""The SQLite file under a journal: opening it safely, and its errors in one clear line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from protonqa.errors import StoreError

JOURNAL = "job.sqlite"
SCHEMA_VERSION = 1
#: "PQJB": tells our files from other SQLite files.
APPLICATION_ID = 0x50514A42
_BUSY_PATIENCE_S = 10.0

_SCHEMA = (
    "CREATE TABLE job (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE cell (
        position INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        parameters TEXT NOT NULL,
        hash TEXT NOT NULL)""",
    """CREATE TABLE outcome (
        position INTEGER PRIMARY KEY REFERENCES cell (position),
        state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
        content BLOB NOT NULL,
        is_json INTEGER NOT NULL,
        content_sha256 TEXT NOT NULL,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        files TEXT NOT NULL,
        seconds REAL NOT NULL,
        attempts INTEGER NOT NULL,
        committed_utc TEXT NOT NULL)""",
)
_FULL = "free space on the disk and run again; finished cells are kept"
_DAMAGED = "restore it from a backup, or move the folder of the job away and run again"
_REMEDY = {
    sqlite3.SQLITE_FULL: ("the disk or quota is full", _FULL),
    sqlite3.SQLITE_BUSY: ("it is locked by another program", "close the other program and run again"),
    sqlite3.SQLITE_LOCKED: ("it is locked by another program", "close the other program and run again"),
    sqlite3.SQLITE_READONLY: ("it is read-only", "choose a folder you may write to"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "choose a folder you may write to"),
    sqlite3.SQLITE_PERM: ("access is denied", "choose a folder you may write to"),
    sqlite3.SQLITE_IOERR: ("the disk reports an error", "check the disk and run again; finished cells are kept"),
    sqlite3.SQLITE_NOMEM: ("there is not enough memory", "close other programs and run again"),
    sqlite3.SQLITE_CORRUPT: ("the file is damaged", _DAMAGED),
    sqlite3.SQLITE_NOTADB: ("the file is damaged or is something else", _DAMAGED),
}


def damaged(got: str) -> StoreError:
    """The error of a journal whose content contradicts itself."""
    return StoreError("the journal of the job is damaged", got=got, remedy=_DAMAGED)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """SQLite's errors inside the block become a StoreError; the transaction they broke has left nothing."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        got, remedy = _REMEDY.get(code, (type(error).__name__, "check the folder of the job and run again"))
        raise StoreError(f"could not {doing} the journal of the job", got=got, remedy=remedy) from error


def open_for_writing(folder: Path) -> sqlite3.Connection:
    """Connect to the journal of a job, made when absent; whole, of this version, and with the write-ahead log on.

    Raises
    ------
    StoreError
    """
    with translated("open"):
        connection = sqlite3.connect(folder / JOURNAL, timeout=_BUSY_PATIENCE_S, isolation_level=None)
    try:
        with translated("open"):
            new = _is_new(connection)
            if not new:
                # Before anything is changed: the file may be somebody else's.
                _check(connection)
            connection.execute("PRAGMA foreign_keys = ON")
            # Also after a power cut a committed cell is there.
            connection.execute("PRAGMA synchronous = FULL")
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise StoreError("the journal cannot use a write-ahead log here", remedy="choose a local folder")
            if new:
                _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(folder: Path) -> sqlite3.Connection:
    """Connect to an existing journal without writing to it, also while a run goes on.

    Raises
    ------
    StoreError
        There is none, it is damaged, or of another version.
    """
    path = folder / JOURNAL
    if not path.is_file():
        raise StoreError("there is no journal of a job in the folder", remedy="choose the folder a job was run in")
    log = path.with_name(path.name + "-wal")
    with translated("read"):
        connection = sqlite3.connect(_uri(path, "mode=ro"), uri=True, timeout=_BUSY_PATIENCE_S, isolation_level=None)
    try:
        try:
            _check(connection)
        except sqlite3.OperationalError:
            # On a read-only disk SQLite cannot make its lock file; without a log nobody is writing.
            if log.exists():
                raise
            connection.close()
            connection = sqlite3.connect(_uri(path, "immutable=1"), uri=True, isolation_level=None)
            _check(connection)
    except sqlite3.Error as error:
        connection.close()
        with translated("read"):
            raise error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, doing: str) -> Iterator[None]:
    """All that is written in the block, or nothing of it.

    Raises
    ------
    StoreError
        What SQLite reports, in one line.
    """
    with translated(doing):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            # A full disk has already rolled back by itself.
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def _uri(path: Path, options: str) -> str:
    return f"{path.resolve().as_uri()}?{options}"


def _is_new(connection: sqlite3.Connection) -> bool:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return tables == 0 and _pragma(connection, "user_version") == 0


def _create(connection: sqlite3.Connection) -> None:
    with transaction(connection, "create"):
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _check(connection: sqlite3.Connection) -> None:
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise StoreError("the file in the place of the journal is something else", remedy="choose another folder")
    version = _pragma(connection, "user_version")
    if version != SCHEMA_VERSION:
        raise StoreError(
            "the journal of the job has another format",
            got=str(version),
            expected=str(SCHEMA_VERSION),
            remedy="use the program version that made it, or choose another folder",
        )
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise damaged("pages that contradict each other")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
