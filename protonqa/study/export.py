"""Everything a study computed as files: one row a ray, scenario and method in Parquet and CSV, and the tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.durable import atomic_path, write_text_atomic
from protonqa.study.cell import NUMBERS
from protonqa.study.columns import RayFacts, ScenarioAnswers
from protonqa.study.summary import Summary

PARQUET, CSV = "cells.parquet", "cells.csv"
#: Columns of the cells in order.
COLUMNS: tuple[str, ...] = (
    "scenario",
    "group",
    "method",
    "ray",
    "anatomy",
    "site",
    "kind",
    "tissue",
    "true_r80_mm",
    "planned_r80_mm",
    "r80_mm",
    "error_mm",
    "low_mm",
    "high_mm",
    "sigma_mm",
    "floor_mm",
    "dose_mae",
    "dose_mre_percent",
    "dose_mre_without_falloff_percent",
    "answered",
    "scored",
    "reason",
)
_TEXTS = ("scenario", "group", "method", "anatomy", "site", "kind", "tissue", "reason")
_FLAGS = ("answered", "scored")


def write_cells(folder: Path, answers: Iterable[ScenarioAnswers], facts: RayFacts) -> dict[str, str]:
    """Write both tables of cells, scenario by scenario; returns file names and what they are.

    The same study gives the same bytes.

    Raises
    ------
    StoreError
        A file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, _arrow_type(pa, name)) for name in COLUMNS])
    with (
        atomic_path(folder / PARQUET, label="cells of the study") as binary,
        atomic_path(folder / CSV, label="cells of the study") as plain,
        pq.ParquetWriter(binary, schema, compression="zstd") as parquet,
        plain.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in answers:
            columns = _columns(one, facts)
            parquet.write_table(pa.table({name: columns[name] for name in COLUMNS}, schema=schema))
            writer.writerows(_lines(columns))
    text = "every ray under every scenario by every method"
    return {PARQUET: f"{text} (Parquet)", CSV: f"{text} (CSV)"}


def write_tables(folder: Path, summary: Summary) -> dict[str, str]:
    """Write the tables of the report as CSV; returns file names and what they are."""
    tables = {
        "rows.csv": ("the table of the study", summary.rows),
        "subsets.csv": ("the same by kind of ray and site", summary.subsets),
        "coverage.csv": ("coverage and width of the intervals by subgroup", summary.coverage),
        "floors.csv": ("standard deviations beside Cramer-Rao bounds", summary.floors),
        "comparisons.csv": ("the model against each other method, ray by ray", summary.comparisons),
        "tornado.csv": ("what one factor at a time does", summary.tornado),
    }
    written = {}
    for name, (about, rows) in tables.items():
        if rows:
            write_text_atomic(folder / name, _text(rows), label="table of the study")
            written[name] = about
    return written


def _columns(one: ScenarioAnswers, facts: RayFacts) -> dict[str, NDArray[Any]]:
    """Columns of one scenario, method after method."""
    n, m = one.rows.size, len(one.methods)

    def each(values: NDArray[Any]) -> NDArray[Any]:
        return np.tile(values, m)

    numbers = {name: one.numbers[name].ravel() for name in NUMBERS}
    true = each(facts.true_mm[one.rows])
    return {
        "scenario": np.full(n * m, one.scenario.name),
        "group": np.full(n * m, one.scenario.group),
        "method": np.repeat(np.array(one.methods), n),
        "ray": each(one.rows),
        "anatomy": each(facts.anatomy[one.rows]),
        "site": each(facts.site[one.rows]),
        "kind": each(facts.kind[one.rows]),
        "tissue": each(facts.group[one.rows]),
        "true_r80_mm": true,
        "planned_r80_mm": each(facts.planned_mm[one.rows]),
        **numbers,
        "error_mm": numbers["r80_mm"] - true,
        "floor_mm": each(one.floor_mm),
        "answered": one.answered.ravel(),
        "scored": each(one.scored),
        "reason": one.reason.ravel(),
    }


def _lines(columns: Mapping[str, NDArray[Any]]) -> Iterator[tuple[Any, ...]]:
    """Rows of the CSV; what is not known is empty, numbers read back exactly."""
    plain: list[list[Any]] = []
    for name in COLUMNS:
        values = columns[name]
        if values.dtype.kind == "f":
            plain.append(["" if v != v else repr(v) for v in values.tolist()])
        elif name in _FLAGS:
            plain.append([int(v) for v in values.tolist()])
        else:
            plain.append(values.tolist())
    return zip(*plain, strict=True)


def _arrow_type(pa: Any, name: str) -> Any:
    if name in _TEXTS:
        return pa.string()
    if name in _FLAGS:
        return pa.bool_()
    return pa.int64() if name == "ray" else pa.float64()


def _text(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return stream.getvalue()
