"""Copying a whole database into another, empty one: a server into a file as its backup, a file onto a server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from protonqa.errors import StoreError
from protonqa.store import schema
from protonqa.store.connection import Store

_ROWS_A_STEP = 200


def transfer(source: Store, target: Store) -> int:
    """Copy every row of `source`, numbers and identifiers included, into `target` in one transaction.

    Returns
    -------
    int
        Results copied.

    Raises
    ------
    StoreError
        The target holds results already, or one of the two fails; nothing was copied.
    """
    with source.reading("copy from") as reader, target.writing("copy into") as writer:
        if not source.is_file:
            # One moment for all tables, whatever others store meanwhile.
            reader.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        if _count(writer, schema.result) or _count(writer, schema.commissioning):
            raise StoreError(
                "the results database to copy into is not empty", remedy="have an empty one made, nothing was copied"
            )
        for table in schema.metadata.sorted_tables:
            _copy(reader, writer, table)
        if not target.is_file:
            _count_on(writer)
        return _count(writer, schema.result)


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _copy(reader: Connection, writer: Connection, table: Table) -> None:
    key = list(table.primary_key.columns)
    found = reader.execution_options(yield_per=_ROWS_A_STEP).execute(select(table).order_by(*key)).mappings()
    for many in found.partitions():
        rows = [dict(row) for row in many]
        if table is schema.store_fact:
            rows = _history_of_copies(rows)
        writer.execute(insert(table), rows) if rows else None


def _history_of_copies(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The target keeps its own identity and remembers whose copy it is."""
    return [{"name": f"copied_{row['name']}"[:200], "value": row["value"]} for row in rows]


def _count_on(writer: Connection) -> None:
    """The server numbers on after the highest number that was copied."""
    for table in (schema.result, schema.amendment, schema.commissioning):
        writer.execute(
            text(
                f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "  # noqa: S608
                f"GREATEST(1, (SELECT COALESCE(MAX(id), 1) FROM {table.name})), "
                f"(SELECT COUNT(*) FROM {table.name}) > 0)"
            )
        )
