"""The values of one measurement from the store, in order of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from protonqa.store import schema
from protonqa.store.connection import Store
from protonqa.store.reading import conditions, current_labels, is_excluded
from protonqa.store.values import HistoryFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """One value and where it comes from; `value` is None where the result measured nothing."""

    number: int
    performed_utc: datetime
    value: float | None
    low: float | None
    high: float | None
    unit: str
    title: str
    machine: str
    site: str
    field: str
    excluded: bool
    program: str
    device: str


def trend_points(store: Store, measurement: str, wanted: HistoryFilter) -> tuple[TrendPoint, ...]:
    """Every value of `measurement` in the results that `wanted` selects, oldest first.

    A result with several fields gives one point a field; its own value, the first field's again, is left out. Results
    that were excluded are among the points, marked.

    Raises
    ------
    StoreError
    """
    rows, values = schema.result, schema.measurement
    labels = current_labels()
    plain = [rows.c[name] for name in ("performed_utc", "program_version", "analysis_version", "tables_version")]
    query = (
        select(
            rows.c.id,
            *plain,
            rows.c.device_kind,
            rows.c.device_label,
            *(labels[name].label(name) for name in ("machine", "site", "field")),
            is_excluded().label("excluded"),
            values.c.part,
            values.c.field.label("part_field"),
            values.c.title.label("measured"),
            values.c.unit,
            values.c.value,
            values.c.low,
            values.c.high,
        )
        .join_from(rows, values)
        .where(values.c.name == measurement, *conditions(wanted))
        .order_by(rows.c.performed_utc, rows.c.id, values.c.part)
    )
    with store.reading() as reader:
        found = reader.execute(query).all()
    groups: dict[int, list[Row[*tuple[Any, ...]]]] = {}
    for row in found:
        groups.setdefault(row.id, []).append(row)
    return tuple(
        _point(row, several=len(kept) > 1) for many in groups.values() for kept in [_kept(many)] for row in kept
    )


def _kept(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Row[*tuple[Any, ...]]]:
    """The parts where there are several, else the whole."""
    parts = [row for row in rows if row.part]
    return parts if len(parts) > 1 else list(rows)[:1]


def _point(row: Row[*tuple[Any, ...]], *, several: bool) -> TrendPoint:
    return TrendPoint(
        number=row.id,
        performed_utc=row.performed_utc,
        value=row.value,
        low=row.low,
        high=row.high,
        unit=row.unit,
        title=row.measured,
        machine=row.machine,
        site=row.site,
        field=row.part_field if several else row.field or row.part_field,
        excluded=bool(row.excluded),
        program=f"protonqa {row.program_version}, analysis {row.analysis_version}, tables {row.tables_version}",
        device=f"{row.device_kind}: {row.device_label}",
    )


def grouped(points: Iterable[TrendPoint], by: Sequence[str]) -> dict[tuple[str, ...], tuple[TrendPoint, ...]]:
    """The points by the labels named in `by`, in the order of their first point; all together where it is empty."""
    groups: dict[tuple[str, ...], list[TrendPoint]] = {}
    for point in points:
        groups.setdefault(tuple(str(getattr(point, name)) for name in by), []).append(point)
    return {key: tuple(many) for key, many in groups.items()}
