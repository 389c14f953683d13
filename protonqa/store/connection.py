"""Connections: how SQLite and PostgreSQL are spoken to, the same for every use."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from protonqa.errors import StoreError
from protonqa.store.faults import translated
from protonqa.store.location import file_of, is_file, spoken

#: How long a writer waits for another one.
PATIENCE_S = 20.0
_CONNECT_S = 10
#: Longest pause between two attempts of a writer: for one that has just come, and for one that has waited this long.
_PAUSE_S, _SHORT_PAUSE_S, _LONG_WAIT_S = 0.02, 0.003, 1.0
_WRITES = "protonqa_writes"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Store:
    """An open results database; made by `protonqa.store.opening.open_store`, closed by ``with`` or `close`.

    Safe to use from several threads; another process opens its own.
    """

    engine: Engine
    url: URL

    @property
    def is_file(self) -> bool:
        """True for SQLite."""
        return is_file(self.url)

    @property
    def spoken(self) -> str:
        """The database for people, without folder, user and password."""
        return spoken(self.url)

    @contextmanager
    def reading(self, doing: str = "read") -> Iterator[Connection]:
        """One consistent look.

        Raises
        ------
        StoreError
        """
        with translated(doing), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, doing: str = "write to") -> Iterator[Connection]:
        """All that is written in the block, or nothing of it.

        Raises
        ------
        StoreError
        """
        with translated(doing), self.engine.connect() as connection:
            writer = connection.execution_options(**{_WRITES: True})
            with writer.begin():
                yield writer

    def close(self) -> None:
        """Give all connections back; the next use makes new ones."""
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(url: URL, *, patience_s: float = PATIENCE_S) -> Store:
    """A store on `url`; nothing is looked at yet.

    Raises
    ------
    StoreError
        The driver of the server is not installed.
    """
    if is_file(url):
        # mode=rw: a file that has gone is an error, not a new empty database.
        address = url.set(database=f"file:{_quoted(file_of(url).as_posix())}", query={"mode": "rw", "uri": "true"})
        engine = create_engine(
            address, connect_args={"timeout": patience_s}, pool_timeout=patience_s, hide_parameters=True
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", partial(_begin_sqlite, patience_s))
        return Store(engine=engine, url=url)
    options = f"-c lock_timeout={int(1000 * patience_s)} -c client_encoding=UTF8"
    arguments = {"connect_timeout": _CONNECT_S, "options": options, "application_name": "protonqa"}
    try:
        engine = create_engine(
            url, connect_args=arguments, pool_pre_ping=True, pool_timeout=patience_s, hide_parameters=True
        )
    except ImportError as error:
        raise StoreError(
            "PostgreSQL cannot be used",
            got="its driver psycopg is not installed",
            remedy="pip install 'protonqa[postgres]'",
        ) from error
    return Store(engine=engine, url=url)


def _quoted(path: str) -> str:
    """A path inside an SQLite URI."""
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return quoted if quoted.startswith("/") else f"/{quoted}"


def _prepare_sqlite(connection: Any, _: object) -> None:
    # The module must not begin transactions by itself: reads and writes begin differently.
    connection.isolation_level = None
    for pragma in (
        "foreign_keys = ON",
        # A committed result is there after a power cut too.
        "synchronous = FULL",
        "recursive_triggers = ON",
        # Functions in a schema that somebody else wrote are not run.
        "trusted_schema = OFF",
        "cell_size_check = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(patience_s: float, connection: Connection) -> None:
    # A writer waits at its beginning, where nothing can be lost, never in its middle.
    if connection.get_execution_options().get(_WRITES, False):
        _begin_writing(connection.connection.driver_connection, patience_s)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_writing(driver: Any, patience_s: float) -> None:
    """Take the lock of writers.

    SQLite's own wait looks every tenth of a second and then finds the lock in the hands of a writer that never
    paused: with eight busy writers one of them starved beyond its patience. Here whoever has waited longer looks more
    often.
    """
    began_s = time.monotonic()
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            waited_s = time.monotonic() - began_s
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or waited_s >= patience_s:
                    raise
            time.sleep(random.uniform(0.0, _PAUSE_S if waited_s < _LONG_WAIT_S else _SHORT_PAUSE_S))
    finally:
        driver.execute(f"PRAGMA busy_timeout = {int(1000 * patience_s)}")
