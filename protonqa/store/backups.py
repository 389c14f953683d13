"""Backups: whole, checked copies made while others write, and the way back from them."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from protonqa.durable import replace, store_error, sync_file, sync_folder
from protonqa.errors import InputError, StoreError
from protonqa.store.faults import translated
from protonqa.store.schema import APPLICATION_ID

BACKUPS = "backups"
NEWEST = "newest"
#: Automatic backups that are kept; those made by hand are never removed.
AUTOMATIC_KEPT = 8
AUTOMATIC_EVERY = timedelta(days=7)
_PAGES_A_STEP = 512
_STAMP = re.compile(r"-(\d{8}T\d{6})Z(?:-\d+)?\.sqlite$")


def backup_folder(database: Path) -> Path:
    """Where the backups of a database file lie unless another place is named."""
    return database.parent / BACKUPS


def backups_of(database: Path) -> list[Path]:
    """The backups in the usual place, newest first."""
    named = backup_folder(database).glob(f"{database.stem}-*.sqlite")
    found = [path for path in named if _STAMP.search(path.name)]
    return sorted(found, key=lambda path: (_stamp(path), path.name), reverse=True)


def newest_backup(database: Path) -> Path | None:
    """The newest backup, or None."""
    return next(iter(backups_of(database)), None)


def snapshot(database: Path, folder: Path, kind: str = "by-hand") -> Path:
    """Copy a database file into `folder` while others may write, check the copy, and give it its name last.

    Parameters
    ----------
    database, folder : Path
    kind : str
        Part of the name: ``by-hand``, ``automatic`` or why it was made.

    Returns
    -------
    Path
        The copy: one file that holds everything, without a write-ahead log.

    Raises
    ------
    StoreError
        The disk is full, the database is damaged, ...; no half backup remains.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error("backup", "make the folder", error) from error
    final = timed_name(folder, database.stem, kind)
    copy_whole(database, final)
    return final


def timed_name(folder: Path, stem: str, kind: str) -> Path:
    """A free name in `folder` that says what it is and when it was made."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"{stem}-{kind}-{stamp}.sqlite"
    for number in itertools.count(2):
        if not path.exists():
            break
        path = folder / f"{stem}-{kind}-{stamp}-{number}.sqlite"
    return path


def copy_whole(source: Path, final: Path) -> None:
    """Copy an SQLite file by its own backup function, prove that the copy is whole, then put it at `final`.

    Raises
    ------
    StoreError
    """
    temporary = final.with_name(f".{secrets.token_hex(6)}.tmp.sqlite")
    step = "copy"
    try:
        _refuse_when_too_small(final.parent, source)
        # For the owner alone, as the database itself.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with translated("back up"), closing(_read_only(source)) as old, closing(sqlite3.connect(temporary)) as new:
            old.backup(new, pages=_PAGES_A_STEP)
            # A backup is one file; the log comes back when it is restored.
            new.execute("PRAGMA journal_mode = DELETE")
        check_whole(temporary, "the copy")
        step = "put the copy in its place"
        sync_file(temporary)
        replace(temporary, final)
        sync_folder(final.parent)
    except OSError as error:
        raise store_error("backup", step, error) from error
    finally:
        for left in final.parent.glob(f"{temporary.name}*"):
            left.unlink(missing_ok=True)


def _refuse_when_too_small(folder: Path, source: Path) -> None:
    needed, free = source.stat().st_size, shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            "there is no room for a copy of the results database",
            got=f"{free / 1e6:.0f} MB free",
            expected=f"{needed / 1e6:.0f} MB",
            remedy="free space or name another folder",
        )


def check_whole(path: Path, what: str) -> None:
    """Every page, index and reference of an SQLite file of ours.

    Raises
    ------
    StoreError
        Names the first contradiction.
    """
    with translated("check"), closing(_read_only(path)) as connection:
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreError(f"{what} is not a results database of protonqa")
        verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreError(f"{what} is damaged", got="pages that contradict each other")
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise StoreError(f"{what} is damaged", got="rows without their result")


def backup_if_due(database: Path) -> Path | None:
    """An automatic backup when the newest one is a week old; the oldest automatic ones beyond eight go.

    Raises
    ------
    StoreError
    """
    newest = newest_backup(database)
    if newest is not None and datetime.now(UTC) - _stamp(newest) < AUTOMATIC_EVERY:
        return None
    made = snapshot(database, backup_folder(database), "automatic")
    automatic = [path for path in backups_of(database) if "-automatic-" in path.name]
    for old in automatic[AUTOMATIC_KEPT:]:
        old.unlink(missing_ok=True)
    return made


def find_backup(database: Path, name: str) -> Path:
    """The backup that a user means: ``newest``, a name in the usual place, or a path.

    Raises
    ------
    InputError
        There is none.
    """
    known = backups_of(database)
    if name == NEWEST:
        if known:
            return known[0]
    else:
        for path in (backup_folder(database) / Path(name).name, Path(name)):
            if path.is_file() and path.absolute() != database.absolute():
                return path
    names = ", ".join(path.name for path in known[:3]) or "no backup in the usual place"
    raise InputError("there is no such backup", expected=names, remedy="name the file of a backup")


def restore_file(database: Path, backup: Path) -> Path | None:
    """Put a checked copy of `backup` in the place of `database`; the old file is kept under another name.

    Returns
    -------
    Path or None
        Where the old file is kept; None where there was none.

    Raises
    ------
    StoreError
        The backup is damaged or not ours, or another program has the database open; nothing was changed.
    """
    check_whole(backup, "the backup")
    fresh = database.with_name(f".{secrets.token_hex(6)}.restored.sqlite")
    step = "copy the backup"
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        copy_whole(backup, fresh)
        with translated("restore"), closing(sqlite3.connect(fresh)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        _refuse_when_in_use(database)
        step = "keep the old file"
        kept = _keep(database)
        step = "put the backup in its place"
        replace(fresh, database)
        sync_folder(database.parent)
    except OSError as error:
        raise store_error("results database", step, error) from error
    finally:
        for left in database.parent.glob(f"{fresh.name}*"):
            left.unlink(missing_ok=True)
    return kept


def _refuse_when_in_use(database: Path) -> None:
    """A program that has the file open would go on writing into the one that was put aside."""
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=2.0)) as connection:
            connection.isolation_level = None
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError(
                "the results database is in use", remedy="close all windows and runs of protonqa, then restore"
            ) from error
    except sqlite3.DatabaseError:
        # Too damaged to be open anywhere.
        return


def _keep(database: Path) -> Path | None:
    """A second name for the old file, so that a killed restore leaves one database in its place, never none."""
    if not database.exists():
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = database.with_name(f"{database.stem}-replaced-{stamp}-{secrets.token_hex(2)}.sqlite")
    # An old log would be played into the new file; beside the kept one it keeps that as whole as it was.
    for suffix in ("-wal", "-shm"):
        part = database.with_name(database.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    try:
        os.link(database, kept)
    except OSError:
        shutil.copy2(database, kept)
        sync_file(kept)
    return kept


def _read_only(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreError("there is no such database file", remedy="name an existing file")
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=20.0)


def _stamp(path: Path) -> datetime:
    found = _STAMP.search(path.name)
    text = found[1] if found else "19700101T000000"
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
