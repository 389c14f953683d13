"""A result taken apart into rows that can be searched; the whole of it stays in the JSON beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from protonqa.analyses.result_json import to_plain
from protonqa.store.values import StoredFile
from protonqa.values import AnalysisResult, Measurement

# Databases refuse these; the JSON keeps them.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def printable(value: object) -> str:
    """`value` as text that every database can hold."""
    return _UNSTORABLE.sub("\ufffd", str(value))


def each_part(result: AnalysisResult, place: str = "") -> Iterator[tuple[str, AnalysisResult]]:
    """The result under the empty place, its parts under "1", "2", ..., their parts under "1.1", ..."""
    yield place, result
    for number, part in enumerate(result.parts, start=1):
        yield from each_part(part, f"{place}.{number}" if place else str(number))


def field_name(part: AnalysisResult) -> str:
    """The field that a part is about: its beam where it names one, else its title."""
    beam = part.value("beam")
    return printable(f"beam {beam:g}" if beam is not None else part.title)


def measurement_rows(result: AnalysisResult, field: str = "") -> list[dict[str, Any]]:
    """All measurements of all parts; `field` is the field of the whole."""
    rows = []
    for place, part in each_part(result):
        about = field_name(part) if place else printable(field)
        for position, one in enumerate(part.measurements.values()):
            rows.append({"part": place, "position": position, "field": about, **_measurement(one)})
    return rows


def _measurement(one: Measurement) -> dict[str, Any]:
    numbers = {name: getattr(one, name) for name in ("value", "low", "high", "confidence")}
    return {
        "name": printable(one.name),
        "title": printable(one.title),
        "unit": printable(one.unit),
        **{name: None if number is None else float(number) for name, number in numbers.items()},
    }


def finding_rows(result: AnalysisResult) -> list[dict[str, Any]]:
    """All findings of all parts."""
    return [
        {
            "part": place,
            "position": position,
            "severity": one.severity.value,
            "code": printable(one.code),
            "text": printable(one.text),
        }
        for place, part in each_part(result)
        for position, one in enumerate(part.findings)
    ]


def file_rows(role: str, files: Iterable[StoredFile]) -> list[dict[str, Any]]:
    """Artefacts or inputs, each name once."""
    rows = {
        printable(one.name): {
            "role": role,
            "name": printable(one.name),
            "description": printable(one.description),
            "files": one.files,
            "size_bytes": one.size_bytes,
            "sha256": one.sha256,
        }
        for one in files
    }
    return list(rows.values())


def fact_rows(result: AnalysisResult) -> list[dict[str, Any]]:
    """Versions of what computed, and parameters as JSON."""
    versions, parameters = (result.provenance.get(name) for name in ("versions", "parameters"))
    texts = {("version", printable(name)): printable(value) for name, value in _items(versions)}
    texts |= {
        ("parameter", printable(name)): json.dumps(to_plain(value, f"parameter {name}"), allow_nan=False)
        for name, value in _items(parameters)
    }
    return [{"kind": kind, "name": name, "value": text} for (kind, name), text in texts.items()]


def _items(value: object) -> list[tuple[str, Any]]:
    return [(str(name), one) for name, one in value.items()] if isinstance(value, Mapping) else []
