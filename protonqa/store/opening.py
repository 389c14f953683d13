"""Opening a results database: made when absent, checked when there, brought up to date after a backup."""

from __future__ import annotations

import os
import secrets
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from protonqa import __version__
from protonqa.durable import store_error, sync_file, sync_folder
from protonqa.errors import StoreError
from protonqa.jobs.local_disk import refuse_network_folder
from protonqa.store.backups import backup_folder, newest_backup, snapshot
from protonqa.store.connection import PATIENCE_S, Store, connect
from protonqa.store.faults import damaged, translated
from protonqa.store.location import file_of, is_file, store_url
from protonqa.store.migrate import EMPTY, is_older, revision_of, upgrade
from protonqa.store.schema import APPLICATION_ID, SCHEMA_HEAD, metadata, store_fact

_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID_AT = 68
#: Key of the lock under which one client at a time makes or changes tables on a server.
_SERVER_LOCK = 0x50515253


def open_store(
    address: str | os.PathLike[str], *, patience_s: float = PATIENCE_S, create: bool = True, migrate: bool | None = None
) -> Store:
    """Open a results database.

    Parameters
    ----------
    address : path or URL
        An SQLite file, or ``postgresql://USER@HOST/DATABASE``.
    patience_s : float
        How long to wait for another program before giving up.
    create : bool
        Make it when it is absent.
    migrate : bool or None
        Bring an older database up to date. None: a file yes, after a backup; a server no, because other computers
        may still run the older program.

    Raises
    ------
    InputError
        The address cannot be understood.
    StoreError
        Absent, damaged, newer than this program, something else, locked, on a network share, or not reachable.
    """
    url = store_url(address)
    if not is_file(url):
        store = connect(url, patience_s=patience_s)
        try:
            _bring_up_server(store, create=create, migrate=bool(migrate))
        except BaseException:
            store.close()
            raise
        return store
    path = file_of(url)
    if not path.exists():
        if not create:
            raise StoreError(
                "there is no results database yet", remedy="it is made by the first result of verify, run or commission"
            )
        _create_file(path, patience_s)
    check_header(path)
    refuse_network_folder(path.parent, label="results database")
    store = connect(url, patience_s=patience_s)
    try:
        _bring_up_file(store, path, migrate=migrate is None or migrate)
    except BaseException:
        store.close()
        raise
    return store


def check_header(path: Path) -> None:
    """Is it a results database at all? Read before SQLite touches the file.

    Raises
    ------
    StoreError
        Damaged, or something else.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(100)
    except OSError as error:
        raise store_error("results database", "open", error) from error
    if len(head) < 100 or not head.startswith(_MAGIC):
        got = "an empty file" if not head else "a file that does not begin as a database does"
        raise damaged(got, remedy=way_back(path))
    if int.from_bytes(head[_APPLICATION_ID_AT : _APPLICATION_ID_AT + 4], "big") != APPLICATION_ID:
        raise StoreError(
            "the file in the place of the results database is something else",
            got="a database of another program",
            remedy="name another file in PROTONQA_STORE; nothing was changed",
        )


def way_back(path: Path) -> str:
    """What to do about a damaged file: which backup there is, or how to begin anew without losing it."""
    newest = newest_backup(path)
    if newest is None:
        return "there is no backup; move it away to begin a new one, and keep it"
    return f"bring back the newest backup, {newest.name}, with: protonqa history restore newest"


def quick_check(connection: Connection) -> str:
    """Empty, or what contradicts itself in the pages of an SQLite file.

    The stored contents, by far the most of the bytes, are left out: each has its own SHA-256 and is checked when it
    is loaded, and by the full check.
    """
    for name in (one for one in metadata.tables if one != "content"):
        found = connection.execute(text(f"PRAGMA quick_check('{name}')")).scalars().first()
        if found != "ok":
            return f"table {name} contradicts itself"
    return ""


def _create_file(path: Path, patience_s: float) -> None:
    """Make the file whole beside its place, then put it there; of several that try at once the first wins."""
    step = "make the folder"
    temporary = path.with_name(f".{secrets.token_hex(6)}.tmp.sqlite")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        refuse_network_folder(path.parent, label="results database")
        step = "make the file"
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        _make_tables(temporary, patience_s)
        step = "put the file in its place"
        sync_file(temporary)
        _place(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise store_error("results database", step, error) from error
    finally:
        for left in temporary.parent.glob(f"{temporary.name}*"):
            left.unlink(missing_ok=True)


def _place(temporary: Path, path: Path) -> None:
    try:
        # Unlike a rename it fails where another process was faster.
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links.
        if not path.exists():
            temporary.rename(path)


def _make_tables(path: Path, patience_s: float) -> None:
    with translated("make"):
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise StoreError("the results database cannot use a write-ahead log here", remedy="use a local folder")
        finally:
            connection.close()
    with connect(store_url(path), patience_s=patience_s) as store, store.writing("make") as writer:
        upgrade(writer)
        _describe(writer)


def _describe(writer: Connection) -> None:
    """What this database is, once."""
    facts = {
        "uid": secrets.token_hex(16),
        "made_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_by": f"protonqa {__version__}",
    }
    writer.execute(store_fact.insert(), [{"name": name, "value": value} for name, value in facts.items()])


def _bring_up_file(store: Store, path: Path, *, migrate: bool) -> None:
    try:
        with store.reading("open") as reader:
            revision = revision_of(reader)
            problem = "" if revision == EMPTY else quick_check(reader)
    except StoreError as error:
        if "damaged" in error.got:
            raise damaged(error.got, remedy=way_back(path)) from error
        raise
    if problem or revision == EMPTY:
        raise damaged(problem or "the tables are not there", remedy=way_back(path))
    if not is_older(revision):
        return
    if not migrate:
        raise _older(revision)
    with store.writing("bring up to date") as writer:
        # Another process may have been faster.
        if is_older(revision := revision_of(writer)):
            snapshot(path, backup_folder(path), f"before-{SCHEMA_HEAD}")
            upgrade(writer)


def _bring_up_server(store: Store, *, create: bool, migrate: bool) -> None:
    with store.reading("open") as reader:
        revision = revision_of(reader)
        strangers = revision == EMPTY and bool(inspect(reader).get_table_names())
    if not is_older(revision):
        return
    if strangers:
        raise StoreError(
            "the database on the server holds something else", remedy="have an empty database made for protonqa"
        )
    if revision == EMPTY and not create:
        raise StoreError("there is no results database yet", remedy="it is made by the first result that is stored")
    if revision != EMPTY and not migrate:
        raise _older(revision)
    with store.writing("bring up to date") as writer:
        writer.execute(text(f"SELECT pg_advisory_xact_lock({_SERVER_LOCK})"))
        revision = revision_of(writer)
        if is_older(revision):
            upgrade(writer)
            if revision == EMPTY:
                _describe(writer)


def _older(revision: str) -> StoreError:
    return StoreError(
        "the results database has the format of an older protonqa",
        got=revision,
        expected=SCHEMA_HEAD,
        remedy="make a backup (pg_dump on a server), update protonqa on all computers that share it, "
        "then run: protonqa history upgrade",
    )
