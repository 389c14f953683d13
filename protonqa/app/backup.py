"""Backup, restore, check and upgrade of the results store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protonqa.app.history import opened_store, switched_off
from protonqa.app.store_address import store_address
from protonqa.store import open_store
from protonqa.store.backups import backup_folder, backups_of, find_backup, restore_file, snapshot
from protonqa.store.checking import check_store
from protonqa.store.location import data_folder, file_of, is_file, store_url
from protonqa.store.reading import count_results
from protonqa.store.schema import SCHEMA_HEAD
from protonqa.store.transfer import transfer
from protonqa.store.values import StoreCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOutcome:
    """Where a copy lies and what it holds."""

    path: Path
    results: int

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        return {"backup": str(self.path), "results": self.results, "size_bytes": self.path.stat().st_size}


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOutcome:
    """What was brought back, and the name under which the old file is kept beside it."""

    backup: str
    results: int
    kept: str

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        return {"backup": self.backup, "results": self.results, "kept": self.kept or None}


def back_up(out: Path | None = None) -> BackupOutcome:
    """A whole, checked copy of the store as one SQLite file, while others may write.

    Parameters
    ----------
    out : Path or None
        Folder; the one beside the database where None, the data folder for a server.

    Raises
    ------
    InputError, StoreError
    """
    with opened_store() as store:
        if store.is_file:
            database = file_of(store.url)
            path = snapshot(database, out or backup_folder(database))
        else:
            path = _copied(store, out)
    return BackupOutcome(path=path, results=_results(path))


def _copied(store: Any, out: Path | None) -> Path:
    """A server's results in a file of their own; ``pg_dump`` is the way to copy a server as a whole."""
    from protonqa.store.backups import timed_name

    path = timed_name(out or data_folder() / "backups", "server", "by-hand")
    with open_store(path) as target:
        transfer(store, target)
    return path


def _results(path: Path) -> int:
    with open_store(path, create=False, migrate=False) as store:
        return count_results(store)


def restore(name: str) -> RestoreOutcome:
    """Put a backup in the place of the store; the old file is kept. On a server: into an empty database.

    Parameters
    ----------
    name : str
        ``newest``, the name of a backup in the usual place, or a path.

    Raises
    ------
    InputError
        There is no such backup, or storing is switched off.
    StoreError
        The backup is damaged, the store is in use, or the server's database is not empty; nothing was changed.
    """
    address = store_address()
    if address is None:
        raise switched_off()
    url = store_url(address)
    database = file_of(url) if is_file(url) else data_folder() / "server.sqlite"
    backup = find_backup(database, name)
    if not is_file(url):
        with open_store(backup, create=False, migrate=False) as source, open_store(address) as target:
            return RestoreOutcome(backup=backup.name, results=transfer(source, target), kept="")
    kept = restore_file(database, backup)
    with open_store(address) as store:
        results = count_results(store)
    return RestoreOutcome(backup=backup.name, results=results, kept="" if kept is None else kept.name)


def list_backups() -> list[Path]:
    """Backups in the usual place, newest first.

    Raises
    ------
    InputError
    """
    address = store_address()
    if address is None:
        raise switched_off()
    url = store_url(address)
    return backups_of(file_of(url) if is_file(url) else data_folder() / "server.sqlite")


def check() -> StoreCheck:
    """Every page, content and table of the store.

    Raises
    ------
    InputError, StoreError
    """
    with opened_store() as store:
        return check_store(store)


def upgrade() -> str:
    """Bring a database to the format of this version, or make its tables; returns the format.

    Raises
    ------
    InputError, StoreError
    """
    address = store_address()
    if address is None:
        raise switched_off()
    with open_store(address, migrate=True):
        return SCHEMA_HEAD
