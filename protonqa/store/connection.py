"""Connections: how SQLite and PostgreSQL are spoken to, the same for every use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from protonqa.errors import StoreError
from protonqa.store.faults import translated
from protonqa.store.location import file_of, is_file, spoken

#: How long a writer waits for another one.
PATIENCE_S = 20.0
_CONNECT_S = 10
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
        event.listen(engine, "begin", _begin_sqlite)
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


def _begin_sqlite(connection: Connection) -> None:
    # A writer waits at its beginning, where nothing can be lost, never in its middle.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
