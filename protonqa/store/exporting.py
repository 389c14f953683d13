"""Tables of the store as CSV and Parquet, for other programs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from protonqa import __version__
from protonqa.durable import atomic_path
from protonqa.errors import InputError, StoreError
from protonqa.store import schema
from protonqa.store.connection import Store
from protonqa.store.reading import conditions, current_labels, is_excluded
from protonqa.store.schema import SCHEMA_HEAD, UtcDateTime
from protonqa.store.values import LABELS, HistoryFilter

#: Table -> what a row of it is.
EXPORTS: Mapping[str, str] = MappingProxyType(
    {
        "measurements": "a row per measurement, with the facts and labels of its result",
        "results": "a row per result",
        "findings": "a row per finding",
        "files": "a row per artefact or input, with size and SHA-256",
        "facts": "a row per version and parameter",
        "amendments": "a row per amendment",
        "commissioning": "a row per check of an acceptance test",
    }
)
_EVERYTHING = HistoryFilter()
# A cell that begins like this is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def export(store: Store, path: Path, table: str = "measurements", wanted: HistoryFilter = _EVERYTHING) -> int:
    """Write a table as CSV or Parquet, by the ending of `path`.

    Texts of a CSV that a spreadsheet would run as a formula get an apostrophe before them; Parquet keeps them as they
    are. Numbers are written in full. Times are UTC.

    Parameters
    ----------
    store : Store
    path : Path
        Ends in ``.csv`` or ``.parquet``; replaced when the new file is whole.
    table : str
        A key of `EXPORTS`.
    wanted : HistoryFilter
        Which results (all tables but ``commissioning``).

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    InputError
        Unknown table or ending.
    StoreError
        The database cannot be read or the file not written.
    """
    if table not in EXPORTS:
        raise InputError("unknown table to export", got=repr(table)[:40], expected=", ".join(EXPORTS))
    writer = {".csv": _write_csv, ".parquet": _write_parquet}.get(path.suffix.lower())
    if writer is None:
        raise InputError("unknown kind of export", got=repr(path.suffix), expected=".csv or .parquet")
    query = _query(table, wanted)
    with store.reading("export from") as reader:
        rows = [tuple(row) for row in reader.execute(query)]
    names = [column.name for column in query.selected_columns]
    kinds = [column.type for column in query.selected_columns]
    writer(path, names, kinds, rows, table)
    return len(rows)


def _query(table: str, wanted: HistoryFilter) -> Select[Any]:
    if table == "commissioning":
        return _commissioning_query()
    rows = schema.result
    labels = [expression.label(name) for name, expression in current_labels().items()]
    if table in ("results", "measurements"):
        plain = [column for column in rows.c if column.name not in (*LABELS, "id")]
        head = [rows.c.id.label("result"), *plain, *labels, is_excluded().label("excluded")]
    else:
        head = [rows.c.id.label("result"), rows.c.uid]
    if table == "results":
        return select(*head).where(*conditions(wanted)).order_by(rows.c.id)
    inner = {
        "measurements": schema.measurement,
        "findings": schema.finding,
        "files": schema.file,
        "facts": schema.fact,
        "amendments": schema.amendment,
    }[table]
    taken = {column.name for column in head}
    own: list[ColumnElement[Any]] = [
        column.label(f"{inner.name}_{column.name}") if column.name in taken else column
        for column in inner.c
        if column.name not in ("result_id", "id")
    ]
    order = [rows.c.id, *(one for one in inner.primary_key.columns if one.name != "result_id")]
    return select(*head, *own).join_from(rows, inner).where(*conditions(wanted)).order_by(*order)


def _commissioning_query() -> Select[Any]:
    tests, checks = schema.commissioning, schema.commissioning_check
    plain = [column for column in tests.c if column.name not in ("id", "body", "passed")]
    own = [column for column in checks.c if column.name != "commissioning_id"]
    head = [tests.c.id.label("commissioning"), *plain, tests.c.passed.label("all_passed")]
    return select(*head, *own).join_from(tests, checks).order_by(tests.c.id, checks.c.position)


def _write_csv(path: Path, names: list[str], _: list[Any], rows: list[tuple[Any, ...]], table: str) -> None:
    with (
        atomic_path(path, label=f"export of {table}") as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(names)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, int):
        return str(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _write_parquet(path: Path, names: list[str], kinds: list[Any], rows: list[tuple[Any, ...]], table: str) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = list(zip(*rows, strict=True)) if rows else [() for _ in names]
    fields = [pyarrow.field(name, _arrow_type(kind)) for name, kind in zip(names, kinds, strict=True)]
    about = {"protonqa": __version__, "table": table, "schema": SCHEMA_HEAD}
    shape = pyarrow.schema(fields, metadata=about)
    arrays = [pyarrow.array(list(column), type=field.type) for column, field in zip(columns, fields, strict=True)]
    try:
        with atomic_path(path, label=f"export of {table}") as temporary:
            pyarrow.parquet.write_table(pyarrow.table(arrays, schema=shape), temporary)
    except pyarrow.ArrowException as error:
        raise StoreError("the Parquet file could not be written", got=type(error).__name__) from error


def _arrow_type(kind: Any) -> Any:
    import pyarrow
    from sqlalchemy import Boolean, Double, Integer

    if isinstance(kind, UtcDateTime):
        return pyarrow.timestamp("us", tz="UTC")
    for sql, arrow in ((Boolean, pyarrow.bool_()), (Integer, pyarrow.int64()), (Double, pyarrow.float64())):
        if isinstance(kind, sql):
            return arrow
    return pyarrow.string()
