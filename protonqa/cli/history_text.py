"""Stored results as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from protonqa.app.history import HistoryList
from protonqa.app.moments import shown
from protonqa.store.comparison import Change, Comparison, MeasurementPair
from protonqa.store.values import CommissioningRow, ResultRow, StoredMeasurement, StoredResult

_MOST_MEASURED = 3


def list_text(found: HistoryList) -> str:
    """A line per result."""
    if not found.rows:
        return "no stored result"
    rows: list[tuple[str, ...]] = [("no.", "performed", "analysis", "state", "machine", "site", "field", "patient", "")]
    rows += [_row(row) for row in found.rows]
    lines = columns(rows)
    return "\n".join([*lines, *(["there are more; use --limit"] if found.more else [])])


def _row(row: ResultRow) -> tuple[str, ...]:
    measured = "  ".join(_measured(one) for one in row.measurements[:_MOST_MEASURED])
    notes = [measured] if measured else []
    notes += ["excluded"] if row.excluded else []
    notes += [f"{row.amendments} amendments"] if row.amendments else []
    labels = (row.machine, row.site, row.field, row.patient)
    number = str(row.number)
    return (
        number,
        shown(row.performed_utc),
        row.analysis,
        row.state,
        *(one or "-" for one in labels),
        "; ".join(notes),
    )


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells under each other."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def stored_text(found: StoredResult) -> str:
    """Everything known of a result."""
    row = found.row
    lines = [f"result {row.number}  {row.uid}", f"{row.title or row.analysis}: {row.state}" + _in_brackets(row.reason)]
    facts = {
        "performed": shown(row.performed_utc),
        "stored": f"{shown(row.saved_utc)} by {row.saved_by} on {row.computer}",
        "versions": f"analysis {row.analysis_version}, protonqa {row.program_version}, tables {row.tables_version}",
        "device": f"{row.device_kind}: {row.device_label}, seed {row.seed}",
        **{name: getattr(row, name) for name in ("machine", "site", "field", "patient")},
        "excluded from trends": "yes" if row.excluded else "",
    }
    lines += [f"  {name}: {value}" for name, value in facts.items() if value]
    for one in found.measurements:
        part = f"part {one.part}, " if one.part else ""
        lines.append(f"  {part}{one.title or one.name}: {_number(one)}")
    lines += [f"  {one.severity}: {one.text}" for one in found.findings]
    lines += [f"  input {one.name}: {one.size_bytes} bytes, SHA-256 {one.sha256[:16]}" for one in found.inputs]
    lines += [f"  file {one.name}: {one.size_bytes} bytes, SHA-256 {one.sha256[:16]}" for one in found.artefacts]
    for later in found.amendments:
        what = f"{later.kind} {later.target} = {later.value}" if later.kind == "label" else later.kind
        lines.append(f"  amended {shown(later.made_utc)} by {later.made_by}: {what}: {later.text}")
    return "\n".join(lines)


def comparison_text(found: Comparison) -> str:
    """Two results side by side."""
    first, second = found.first.row, found.second.row
    lines = [
        f"result {first.number} ({shown(first.performed_utc)}) and {second.number} ({shown(second.performed_utc)})"
    ]
    lines.append("  they are the same" if found.same else "  they differ")
    rows: list[tuple[str, ...]] = [("measurement", str(first.number), str(second.number), "difference", "")]
    rows += [_pair(one) for one in found.measurements]
    lines += [f"  {line}" for line in columns(rows)]
    inputs = {True: "the same inputs", False: "other inputs", None: "inputs of which not all are known"}
    lines.append(f"  {inputs[found.same_inputs]}")
    lines += _changes("", found.facts)
    lines += _changes("parameter ", found.parameters)
    lines += _changes("version of ", found.versions)
    lines += [f"  no longer found: {text}" for text in found.findings_gone]
    lines += [f"  newly found: {text}" for text in found.findings_new]
    return "\n".join(lines)


def commissioning_text(rows: Iterable[CommissioningRow]) -> str:
    """A line per acceptance test."""
    lines: list[tuple[str, ...]] = [
        ("no.", "stored", "analysis", "outcome", "checks", "protonqa", "device", "computer")
    ]
    lines += [
        (
            str(row.number),
            shown(row.saved_utc),
            f"{row.analysis} {row.analysis_version}",
            ("PASS" if row.passed else "FAIL") + (" (quick)" if row.quick else ""),
            f"{row.checks_passed}/{row.checks}",
            row.program_version,
            f"{row.device_kind}: {row.device_label}",
            row.computer,
        )
        for row in rows
    ]
    return "\n".join(columns(lines)) if len(lines) > 1 else "no stored acceptance test"


def _changes(what: str, changes: Iterable[Change]) -> list[str]:
    return [f"  {what}{one.name.replace('_', ' ')}: {one.first or '-'} -> {one.second or '-'}" for one in changes]


def _pair(pair: MeasurementPair) -> tuple[str, ...]:
    part = f"{pair.part}: " if pair.part else ""
    numbers = ["-" if one is None else _number(one) for one in (pair.first, pair.second)]
    difference = "-" if pair.difference is None else f"{pair.difference:+.4g}"
    apart = "intervals do not meet" if pair.intervals_overlap is False else ""
    return (f"{part}{pair.title}", *numbers, difference, pair.note or apart)


def _measured(one: StoredMeasurement) -> str:
    return f"{one.title or one.name} {_number(one)}"


def _number(one: StoredMeasurement) -> str:
    if one.value is None:
        return "no value"
    unit = "" if one.unit in ("", "1") else f" {one.unit}"
    interval = "" if one.low is None or one.high is None else f" ({one.low:.4g} to {one.high:.4g})"
    return f"{one.value:.4g}{unit}{interval}"


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""
