"""Finding and loading what was stored."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, exists, func, literal, select

from protonqa.analyses.result_json import result_from_json
from protonqa.errors import InputError, StoreError
from protonqa.store import schema
from protonqa.store.connection import Store
from protonqa.store.values import (
    LABELS,
    Amendment,
    CommissioningRow,
    HistoryFilter,
    ResultRow,
    StoredFile,
    StoredFinding,
    StoredMeasurement,
    StoredResult,
)
from protonqa.values import AnalysisResult

_SHORTEST_UID = 6
_EVERYTHING = HistoryFilter()
# Databases limit how many values one statement may carry.
_VALUES_A_STATEMENT = 500
# One row holds far less than this; more is a damaged or forged size.
_MOST_BYTES = 2 << 30


def current_labels() -> dict[str, ColumnElement[str]]:
    """Each label as last amended, else as stored."""
    rows, later = schema.result, schema.amendment
    labels: dict[str, ColumnElement[str]] = {}
    for name in LABELS:
        last = (
            select(later.c.value)
            .where(later.c.result_id == rows.c.id, later.c.kind == "label", later.c.target == name)
            .order_by(later.c.id.desc())
            .limit(1)
            .correlate(rows)
            .scalar_subquery()
        )
        labels[name] = func.coalesce(last, rows.c[name])
    return labels


def is_excluded() -> ColumnElement[bool]:
    """True where the last word about a result's place in trends was to leave it out."""
    rows, later = schema.result, schema.amendment
    last = (
        select(later.c.kind)
        .where(later.c.result_id == rows.c.id, later.c.kind.in_(("exclude", "include")))
        .order_by(later.c.id.desc())
        .limit(1)
        .correlate(rows)
        .scalar_subquery()
    )
    return case((func.coalesce(last, "include") == "exclude", literal(True)), else_=literal(False))


def conditions(wanted: HistoryFilter) -> list[ColumnElement[bool]]:
    """The filter as SQL conditions on ``result``."""
    rows, labels = schema.result, current_labels()
    found: list[ColumnElement[bool]] = []
    columns: dict[str, ColumnElement[str]] = {name: rows.c[name] for name in ("analysis", "state", "program_version")}
    columns |= {name: labels[name] for name in ("machine", "site", "field")}
    for name, column in columns.items():
        text = " ".join(getattr(wanted, name).split())
        found += [func.lower(column) == text.lower()] if text else []
    if wanted.patients:
        found.append(func.lower(labels["patient"]).in_([one.lower() for one in wanted.patients]))
    if wanted.since is not None:
        found.append(rows.c.performed_utc >= wanted.since)
    if wanted.until is not None:
        found.append(rows.c.performed_utc < wanted.until)
    if wanted.excluded is not None:
        found.append(is_excluded() if wanted.excluded else ~is_excluded())
    return found


def history(store: Store, wanted: HistoryFilter = _EVERYTHING) -> tuple[ResultRow, ...]:
    """Stored results with the measurements of the whole, newest first.

    Raises
    ------
    StoreError
    """
    with store.reading() as reader:
        rows = reader.execute(_listing(wanted)).all()
        measured = _measurements(reader, [row.id for row in rows], whole=True)
    return tuple(_result_row(row, measured.get(row.id, ())) for row in rows)


def count_results(store: Store) -> int:
    """How many results are stored.

    Raises
    ------
    StoreError
    """
    with store.reading() as reader:
        return int(reader.execute(select(func.count()).select_from(schema.result)).scalar_one())


def find_result(store: Store, reference: str | int) -> int:
    """The number of a stored result, from its number or the first letters of its identifier.

    Raises
    ------
    InputError
        There is none, or there are several.
    StoreError
    """
    text = str(reference).strip().lower().removeprefix("#")
    is_number = text.isdecimal() and len(text) <= 12
    is_uid = len(text) >= _SHORTEST_UID and set(text) <= set("0123456789abcdef")
    if not (is_number or is_uid):
        raise InputError(
            "this is not the number or identifier of a result",
            got=repr(text[:40]),
            expected=f"a number, or {_SHORTEST_UID} or more hexadecimal digits",
        )
    rows = schema.result
    with store.reading() as reader:
        found = reader.execute(select(rows.c.id).where(rows.c.id == int(text))).scalars().all() if is_number else ()
        if is_uid and not found:
            # An identifier may begin with decimal digits alone.
            found = reader.execute(select(rows.c.id).where(rows.c.uid.startswith(text)).limit(2)).scalars().all()
    if len(found) != 1:
        raise InputError(
            "there is no such result" if not found else "several results begin like this",
            got=text[:40],
            remedy="see protonqa history" if not found else "give more digits",
        )
    return int(found[0])


def has_result(store: Store, uid: str) -> bool:
    """Whether a result is stored under this identifier.

    Raises
    ------
    StoreError
    """
    with store.reading() as reader:
        found = reader.execute(select(schema.result.c.id).where(schema.result.c.uid == uid))
        return found.first() is not None


def load_result(store: Store, number: int) -> AnalysisResult:
    """The whole result as it was stored, proved by its SHA-256.

    Raises
    ------
    InputError
        There is no such result.
    StoreError
        Its content is damaged.
    """
    return result_from_json(stored_json(store, number))


def stored_json(store: Store, number: int) -> str:
    """As `load_result`, the JSON text itself."""
    rows, body = schema.result, schema.content
    query = select(rows.c.sha256, body.c.encoding, body.c.size_bytes, body.c.body).join_from(rows, body, isouter=True)
    with store.reading() as reader:
        found = reader.execute(query.where(rows.c.id == number)).first()
    if found is None:
        raise InputError("there is no such result", got=str(number), remedy="see protonqa history")
    return unpacked(number, found)


def unpacked(number: int, row: Row[*tuple[Any, ...]]) -> str:
    """The JSON text of a row of result and content.

    Raises
    ------
    StoreError
        The content is absent or not what was stored.
    """
    problem = StoreError(
        f"the stored content of result {number} is damaged", remedy="bring back a backup with: protonqa history restore"
    )
    if row.body is None or row.encoding != "deflate" or not 0 <= row.size_bytes <= _MOST_BYTES:
        raise problem
    try:
        # Never more than was stored, whatever the bytes claim.
        text = zlib.decompressobj().decompress(row.body, row.size_bytes + 1)
    except zlib.error as error:
        raise problem from error
    if len(text) != row.size_bytes or hashlib.sha256(text).hexdigest() != row.sha256:
        raise problem
    return text.decode("ascii")


def stored_result(store: Store, number: int) -> StoredResult:
    """Everything the tables say of one result.

    Raises
    ------
    InputError
        There is no such result.
    StoreError
    """
    with store.reading() as reader:
        row = reader.execute(_selected().where(schema.result.c.id == number)).first()
        if row is None:
            raise InputError("there is no such result", got=str(number), remedy="see protonqa history")
        measured = _measurements(reader, [number], whole=False).get(number, ())
        findings = _of(reader, schema.finding, number, "part", "position")
        files = _of(reader, schema.file, number, "name")
        facts = _of(reader, schema.fact, number, "name")
        later = _of(reader, schema.amendment, number, "id")
    roles = {
        role: tuple(
            StoredFile(
                name=one.name,
                size_bytes=one.size_bytes,
                sha256=one.sha256,
                description=one.description,
                files=one.files,
            )
            for one in files
            if one.role == role
        )
        for role in ("artefact", "input")
    }
    return StoredResult(
        row=_result_row(row, tuple(one for one in measured if not one.part)),
        measurements=measured,
        findings=tuple(
            StoredFinding(part=one.part, severity=one.severity, code=one.code, text=one.text) for one in findings
        ),
        artefacts=roles["artefact"],
        inputs=roles["input"],
        versions={one.name: one.value for one in facts if one.kind == "version"},
        parameters={one.name: one.value for one in facts if one.kind == "parameter"},
        amendments=tuple(_amendment(one) for one in later),
    )


def commissionings(
    store: Store,
    *,
    analysis: str = "",
    analysis_version: str = "",
    program_version: str = "",
    tables_version: str = "",
    device_kind: str = "",
    device_label: str = "",
    computer: str = "",
    passed: bool | None = None,
    limit: int | None = None,
) -> tuple[CommissioningRow, ...]:
    """Stored acceptance tests, newest first; an empty text matches all.

    Raises
    ------
    StoreError
    """
    rows, checks = schema.commissioning, schema.commissioning_check
    count = select(func.count()).where(checks.c.commissioning_id == rows.c.id).correlate(rows)
    query = select(
        rows,
        count.scalar_subquery().label("checks"),
        count.where(checks.c.passed).scalar_subquery().label("checks_passed"),
    )
    given = {
        "analysis": analysis,
        "analysis_version": analysis_version,
        "program_version": program_version,
        "tables_version": tables_version,
        "device_kind": device_kind,
        "device_label": device_label,
        "computer": computer,
    }
    query = query.where(*(rows.c[name] == text for name, text in given.items() if text))
    if passed is not None:
        query = query.where(rows.c.passed == passed)
    query = query.order_by(rows.c.saved_utc.desc(), rows.c.id.desc()).limit(limit)
    with store.reading() as reader:
        found = reader.execute(query).all()
    names = [name for name in CommissioningRow.__dataclass_fields__ if name != "number"]
    return tuple(CommissioningRow(number=row.id, **{name: getattr(row, name) for name in names}) for row in found)


def commissioning_checks(store: Store, number: int) -> dict[str, Any]:
    """Checks and findings of a stored acceptance test, as ``commissioning_to_plain`` gave them.

    Raises
    ------
    InputError
        There is no such test.
    StoreError
        Its content is damaged.
    """
    rows = schema.commissioning
    with store.reading() as reader:
        found = reader.execute(select(rows.c.body, rows.c.sha256).where(rows.c.id == number)).first()
    if found is None:
        raise InputError("there is no such acceptance test", got=str(number))
    if hashlib.sha256(found.body.encode()).hexdigest() != found.sha256:
        raise StoreError(f"the stored content of acceptance test {number} is damaged")
    plain: dict[str, Any] = json.loads(found.body)
    return plain


def _selected() -> Select[Any]:
    rows = schema.result
    plain = [column for column in rows.c if column.name not in LABELS]
    labels = [expression.label(name) for name, expression in current_labels().items()]
    later = schema.amendment
    count = select(func.count()).where(later.c.result_id == rows.c.id).correlate(rows).scalar_subquery()
    return select(*plain, *labels, is_excluded().label("excluded"), count.label("amendments"))


def _listing(wanted: HistoryFilter) -> Select[Any]:
    rows = schema.result
    query = _selected().where(and_(literal(True), *conditions(wanted)))
    return query.order_by(rows.c.performed_utc.desc(), rows.c.id.desc()).limit(wanted.limit)


def _measurements(
    reader: Connection, numbers: Sequence[int], *, whole: bool
) -> dict[int, tuple[StoredMeasurement, ...]]:
    rows = schema.measurement
    found: dict[int, list[StoredMeasurement]] = {}
    for begin in range(0, len(numbers), _VALUES_A_STATEMENT):
        query = select(rows).where(rows.c.result_id.in_(numbers[begin : begin + _VALUES_A_STATEMENT]))
        query = query.where(rows.c.part == "") if whole else query
        for row in reader.execute(query.order_by(rows.c.result_id, rows.c.part, rows.c.position)):
            found.setdefault(row.result_id, []).append(measurement_of(row))
    return {number: tuple(many) for number, many in found.items()}


def measurement_of(row: Row[*tuple[Any, ...]]) -> StoredMeasurement:
    """A row of ``measurement``."""
    names = StoredMeasurement.__dataclass_fields__
    return StoredMeasurement(**{name: getattr(row, name) for name in names})


def _of(reader: Connection, table: Any, number: int, *order: str) -> Sequence[Row[*tuple[Any, ...]]]:
    query = select(table).where(table.c.result_id == number).order_by(*(table.c[name] for name in order))
    return reader.execute(query).all()


def _amendment(row: Row[*tuple[Any, ...]]) -> Amendment:
    return Amendment(**{name: getattr(row, name) for name in Amendment.__dataclass_fields__})


def _result_row(row: Row[*tuple[Any, ...]], measured: tuple[StoredMeasurement, ...]) -> ResultRow:
    names = [name for name in ResultRow.__dataclass_fields__ if name not in ("number", "measurements", "excluded")]
    return ResultRow(
        number=row.id,
        excluded=bool(row.excluded),
        measurements=measured,
        **{name: getattr(row, name) for name in names},
    )


def has_measurement(name: str) -> ColumnElement[bool]:
    """Results that measured `name`."""
    rows = schema.measurement
    return exists().where(rows.c.result_id == schema.result.c.id, rows.c.name == name)
