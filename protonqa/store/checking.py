"""A full look at a database: every page, every content against its SHA-256, every table against the JSON."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select, text

from protonqa.analyses.result_json import result_from_json
from protonqa.errors import StoreError
from protonqa.store import schema
from protonqa.store.connection import Store
from protonqa.store.migrate import revision_of
from protonqa.store.reading import unpacked
from protonqa.store.rows import finding_rows, measurement_rows
from protonqa.store.values import StoreCheck

_MOST_PROBLEMS = 20
_NUMBERS = ("value", "low", "high", "confidence")


def check_store(store: Store) -> StoreCheck:
    """Check everything; what is wrong is told, nothing is mended.

    Raises
    ------
    StoreError
        The database cannot be read at all.
    """
    problems: list[str] = []
    with store.reading("check") as reader:
        counts = [
            int(reader.execute(select(func.count()).select_from(table)).scalar_one())
            for table in (schema.result, schema.amendment, schema.commissioning)
        ]
        revision = revision_of(reader)
        if store.is_file:
            problems += _pages(reader)
        numbers = reader.execute(select(schema.result.c.id).order_by(schema.result.c.id)).scalars().all()
        for number in numbers:
            problems += _result(reader, int(number))
            if len(problems) >= _MOST_PROBLEMS:
                problems.append("the search ended here")
                break
    return StoreCheck(
        results=counts[0],
        amendments=counts[1],
        commissionings=counts[2],
        schema=revision,
        problems=tuple(problems),
    )


def _pages(reader: Connection) -> list[str]:
    found = reader.execute(text("PRAGMA integrity_check(3)")).scalars().all()
    problems = [] if found == ["ok"] else [f"pages contradict each other ({len(found)} places or more)"]
    if reader.execute(text("PRAGMA foreign_key_check")).first() is not None:
        problems.append("there are rows without their result")
    return problems


def _result(reader: Connection, number: int) -> list[str]:
    rows, body = schema.result, schema.content
    query = select(rows.c.sha256, rows.c.state, rows.c.field, body.c.encoding, body.c.size_bytes, body.c.body)
    row = reader.execute(query.join_from(rows, body, isouter=True).where(rows.c.id == number)).one()
    try:
        result = result_from_json(unpacked(number, row))
    except StoreError as error:
        return [error.what]
    problems = []
    if row.state != result.state.value:
        problems.append(f"result {number} has another state than its content")
    if _stored(reader, schema.measurement, number) != _sorted(measurement_rows(result, row.field)):
        problems.append(f"result {number} has other measurements than its content")
    if _stored(reader, schema.finding, number) != _sorted(finding_rows(result)):
        problems.append(f"result {number} has other findings than its content")
    return problems


def _stored(reader: Connection, table: Any, number: int) -> list[tuple[Any, ...]]:
    found = reader.execute(select(table).where(table.c.result_id == number)).mappings().all()
    return _sorted([{name: row[name] for name in row if name != "result_id"} for row in found])


def _sorted(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    # SQLite keeps -0.0 as 0.0: equal, but sorted elsewhere.
    unsigned = (
        {name: 0.0 if value == 0.0 and isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    )
    return sorted((tuple(sorted(row.items(), key=lambda item: item[0])) for row in unsigned), key=repr)
