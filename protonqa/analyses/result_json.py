"""AnalysisResult to JSON and back: finite numbers only, stable order, no code in the file.

Arrays become lists of numbers; a NaN in an image, which means 'no value here', becomes null. A NaN anywhere else is
an error: a reader must never meet a number that is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError, StoreError
from protonqa.values import (
    AnalysisResult,
    Bar,
    BarFigure,
    Figure,
    Finding,
    ImageFigure,
    LineFigure,
    Mark,
    Measurement,
    Series,
    Severity,
    State,
    Table,
)

SCHEMA = "protonqa.result/1"
_BAR = ("label", "low", "high", "low_label", "high_label")
# Keys of the structure itself, which no flat number may replace.
_OWN_KEYS = frozenset(
    [
        "schema",
        "analysis",
        "title",
        "version",
        "state",
        "reason",
        "measurements",
        "findings",
        "tables",
        "figures",
        "artefacts",
        "provenance",
        "timings_s",
        "parts",
    ]
)


def result_to_json(result: AnalysisResult, *, indent: int | None = 1) -> str:
    """The whole result, figures included, as JSON text.

    Raises
    ------
    InputError
        A number is NaN or infinite, or a value has no JSON form.
    """
    # ASCII only: text from a file may hold a lone surrogate, which UTF-8 cannot carry.
    return json.dumps(result_to_plain(result), allow_nan=False, indent=indent) + "\n"


def result_from_json(text: str) -> AnalysisResult:
    """The result that `result_to_json` wrote.

    Raises
    ------
    StoreError
        Not JSON, another schema, or a damaged structure.
    """
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError("a stored result is not readable JSON", got=type(error).__name__) from error
    return result_from_plain(plain)


def result_from_plain(plain: Mapping[str, Any]) -> AnalysisResult:
    """As `result_from_json`, from the parsed object."""
    schema = plain.get("schema") if isinstance(plain, Mapping) else None
    if schema != SCHEMA:
        raise StoreError("a stored result has another schema", got=repr(schema)[:60], expected=SCHEMA)
    try:
        return _result(plain)
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise StoreError("a stored result is damaged", got=f"{type(error).__name__}: {error}"[:200]) from error


def result_id(result: AnalysisResult) -> str:
    """Short fingerprint of the whole result: 16 hexadecimal digits of the SHA-256 of its JSON."""
    return hashlib.sha256(result_to_json(result, indent=None).encode()).hexdigest()[:16]


def result_to_plain(result: AnalysisResult) -> dict[str, Any]:
    """The result as JSON types only; keys in a fixed order."""
    return {
        "schema": SCHEMA,
        "analysis": result.analysis,
        "title": result.title,
        "version": result.version,
        "state": result.state.value,
        "reason": result.reason,
        **_flat(result),
        "measurements": {name: _measurement_plain(one) for name, one in result.measurements.items()},
        "findings": [finding_to_plain(finding) for finding in result.findings],
        "tables": [table_to_plain(table) for table in result.tables],
        "figures": [figure_to_plain(figure) for figure in result.figures],
        "artefacts": {name: str(result.artefacts[name]) for name in sorted(result.artefacts)},
        "provenance": to_plain(result.provenance, "provenance"),
        "timings_s": to_plain(result.timings_s, "timings_s"),
        "parts": [result_to_plain(part) for part in result.parts],
    }


def _flat(result: AnalysisResult) -> dict[str, Any]:
    """Every measurement once more as one plain number under ``name_unit``, for readers that want no structure."""
    flat: dict[str, Any] = {}
    for name in sorted(result.measurements):
        one = result.measurements[name]
        key = name if one.unit in ("", "1") else f"{name}_{one.unit}"
        flat[key] = to_plain(one.value, name)
        if name == "mean_shift":
            flat["interval_mm"] = None if one.low is None or one.high is None else [float(one.low), float(one.high)]
    return {key: value for key, value in flat.items() if key not in _OWN_KEYS}


def finding_to_plain(finding: Finding) -> dict[str, str]:
    """A finding as JSON types."""
    return {"severity": finding.severity.value, "code": finding.code, "text": finding.text}


def finding_from_plain(plain: Mapping[str, str]) -> Finding:
    """The finding that `finding_to_plain` wrote."""
    return Finding(severity=Severity(plain["severity"]), code=plain["code"], text=plain["text"])


def to_plain(value: Any, where: str) -> Any:
    """`value` as JSON types with sorted keys; numpy scalars and arrays, enumerations and dates are converted.

    Raises
    ------
    InputError
        NaN, infinity, or a value without a JSON form; the message names `where`.
    """
    if isinstance(value, Enum):
        return to_plain(value.value, where)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, np.generic):
        return to_plain(value.item(), where)
    if isinstance(value, float):
        return _number(value, where)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): to_plain(value[key], f"{where}.{key}") for key in sorted(value, key=str)}
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist(), where)
    if isinstance(value, (list, tuple)):
        return [to_plain(one, where) for one in value]
    raise InputError(f"{where} holds a value without a JSON form", got=type(value).__name__)


def _number(value: float, where: str) -> float:
    if not np.isfinite(value):
        raise InputError(f"{where} holds a number that is not finite", got=str(value), remedy="use None for no value")
    return value


def _measurement_plain(one: Measurement) -> dict[str, Any]:
    plain = {"title": one.title, "value": one.value, "unit": one.unit}
    plain |= {"low": one.low, "high": one.high, "confidence": one.confidence}
    return to_plain_ordered(plain, f"measurement {one.name}")


def to_plain_ordered(plain: Mapping[str, Any], where: str) -> dict[str, Any]:
    """As `to_plain` for one level of keys, in the order given."""
    return {key: to_plain(value, where) for key, value in plain.items()}


def table_to_plain(table: Table) -> dict[str, Any]:
    """A table as JSON types.

    Raises
    ------
    InputError
        A cell is NaN or infinite.
    """
    rows = [[to_plain(cell, f"table {table.name}") for cell in row] for row in table.rows]
    return {"name": table.name, "title": table.title, "columns": list(table.columns), "rows": rows}


def figure_to_plain(figure: Figure) -> dict[str, Any]:
    """A figure as JSON types.

    Raises
    ------
    InputError
        A number is infinite, or NaN outside an image.
    """
    where = f"figure {figure.name}"
    head = {"name": figure.name, "title": figure.title, "x_label": figure.x_label, "y_label": figure.y_label}
    if isinstance(figure, ImageFigure):
        image = np.asarray(figure.image, dtype=np.float64)
        if np.isinf(image).any():
            raise InputError(f"{where} holds infinite values")
        # NaN is the documented gap of a map; JSON has no NaN, so a gap is null.
        rows = [[None if np.isnan(cell) else cell for cell in row] for row in image.tolist()]
        return {
            "kind": "image",
            **head,
            "unit": figure.unit,
            "extent_mm": to_plain(tuple(figure.extent_mm), where),
            "diverging": figure.diverging,
            "limit": to_plain(figure.limit, where),
            "image": rows,
        }
    if isinstance(figure, BarFigure):
        bars = [to_plain_ordered({key: getattr(one, key) for key in _BAR}, where) for one in figure.bars]
        return {"kind": "bars", **head, "base": to_plain(figure.base, where), "bars": bars}
    return {
        "kind": "lines",
        **head,
        "y2_label": figure.y2_label,
        "series": [_series_plain(series, where) for series in figure.series],
        "marks": [
            to_plain_ordered({"label": mark.label, "x": mark.x, "low": mark.low, "high": mark.high}, where)
            for mark in figure.marks
        ],
    }


def _series_plain(series: Series, where: str) -> dict[str, Any]:
    return {
        "label": series.label,
        "style": series.style,
        "axis": series.axis,
        **{key: _array_plain(getattr(series, key), where) for key in ("x", "y", "low", "high")},
    }


def _array_plain(array: NDArray[np.float64] | None, where: str) -> list[float] | None:
    if array is None:
        return None
    values = np.asarray(array, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"{where} holds numbers that are not finite", remedy="leave the points out")
    return cast("list[float]", values.tolist())


def _result(plain: Mapping[str, Any]) -> AnalysisResult:
    return AnalysisResult(
        analysis=plain["analysis"],
        title=plain["title"],
        version=plain["version"],
        state=State(plain["state"]),
        reason=plain["reason"],
        measurements={name: Measurement(name=name, **one) for name, one in plain["measurements"].items()},
        findings=tuple(finding_from_plain(one) for one in plain["findings"]),
        tables=tuple(table_from_plain(one) for one in plain["tables"]),
        figures=tuple(figure_from_plain(one) for one in plain["figures"]),
        artefacts=dict(plain["artefacts"]),
        provenance=dict(plain["provenance"]),
        timings_s=dict(plain["timings_s"]),
        parts=tuple(_result(part) for part in plain["parts"]),
    )


def table_from_plain(plain: Mapping[str, Any]) -> Table:
    """The table that `table_to_plain` wrote."""
    return Table(
        name=plain["name"],
        title=plain["title"],
        columns=tuple(plain["columns"]),
        rows=tuple(tuple(row) for row in plain["rows"]),
    )


def figure_from_plain(plain: Mapping[str, Any]) -> Figure:
    """The figure that `figure_to_plain` wrote."""
    head = {key: plain[key] for key in ("name", "title", "x_label", "y_label")}
    if plain["kind"] == "image":
        return ImageFigure(
            **head,
            unit=plain["unit"],
            extent_mm=tuple(plain["extent_mm"]),
            diverging=plain["diverging"],
            limit=plain["limit"],
            image=np.array([[np.nan if cell is None else cell for cell in row] for row in plain["image"]], dtype=float),
        )
    if plain["kind"] == "bars":
        return BarFigure(**head, base=plain["base"], bars=tuple(Bar(**one) for one in plain["bars"]))
    if plain["kind"] != "lines":
        raise StoreError("a stored figure is of an unknown kind", got=repr(plain["kind"])[:40])
    return LineFigure(
        **head,
        y2_label=plain["y2_label"],
        series=tuple(_series(one) for one in plain["series"]),
        marks=tuple(Mark(**one) for one in plain["marks"]),
    )


def _series(plain: Mapping[str, Any]) -> Series:
    arrays = {
        key: None if plain[key] is None else np.array(plain[key], dtype=np.float64) for key in ("x", "y", "low", "high")
    }
    return Series(label=plain["label"], style=plain["style"], axis=plain["axis"], **cast("dict[str, Any]", arrays))
