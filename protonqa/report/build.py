"""From an AnalysisResult to the blocks of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from protonqa import __version__
from protonqa.analyses.result_json import result_id
from protonqa.report.document import (
    Block,
    Facts,
    FigureBlock,
    Findings,
    GridTable,
    Heading,
    KeyNumber,
    KeyNumbers,
    Pair,
    ReportDocument,
    Signature,
    Verdict,
)
from protonqa.report.layouts import LAYOUTS
from protonqa.report.page_one import fits_page_one
from protonqa.report.scrub import each_text, scrubbed
from protonqa.report.subject import ReportSubject
from protonqa.report.text import NBSP, clean
from protonqa.report.wording import (
    MEANING,
    confidence_text,
    interval,
    is_signed,
    number,
    sentence,
    verdict_sentence,
    with_unit,
)
from protonqa.values import (
    AnalysisResult,
    BarFigure,
    Finding,
    ImageFigure,
    LineFigure,
    Measurement,
    Severity,
    State,
    Table,
)

PLANNING_MARGIN = "3.5 % + 1 mm"
ROLES = ("Performed by", "Reviewed by (medical physicist)")
_WEIGHT = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
#: Provenance that has a place of its own in the report.
_PLACED = frozenset({"parameters", "parameter_info", "versions", "device", "seed", "tables", "started_utc", "error"})
_NOT_MEASURED = frozenset({"action_level", "planning_margin", "beam"})
_PLACED_TOO = frozenset({"analysis", "analysis_version", "origin"})


def build_document(
    result: AnalysisResult,
    subject: ReportSubject | None = None,
    *,
    created: datetime,
    anonymous: bool = False,
    remarks: tuple[tuple[str, str], ...] = (),
) -> ReportDocument:
    """The report of a result.

    Parameters
    ----------
    result : AnalysisResult
        In any of the four states, with or without figures, of one field or several.
    subject : ReportSubject or None
        Whom it is about.
    created : datetime
        With a time zone; printed on every page (an anonymous report shows the year only).
    anonymous : bool
        Withholds identity, plan and beam names and dates, wherever they occur in the result's texts.
    remarks : tuple of (label, text)
        What a person adds; before the signatures, in a box of its own.
    """
    about = subject or ReportSubject()
    findings = _findings(result)
    blocks: list[Block] = [
        Verdict(state=result.state, sentence=verdict_sentence(result), meaning=MEANING[result.state]),
        *_key_numbers(result),
        Facts(title="Patient and plan", rows=tuple(_subject_rows(about, anonymous)), columns=2),
        Findings(findings=findings),
    ]
    layout = LAYOUTS.get(result.analysis)
    if layout is not None and result.state in (State.PASS, State.FAIL):
        blocks = list(layout(result, findings))
    elif len(result.parts) > 1:
        blocks += [_field_table(result), *_own_blocks(result)]
        for index, part in enumerate(result.parts):
            blocks += _section(part, _field_title(part, index), _action_level(result, part), compact=True)
    else:
        blocks += _own_blocks(result) if result.parts else []
        only = result.parts[0] if result.parts else result
        # The map and the numbers stand on page one where they fit; else a compact section begins page two.
        section = _section(only, "Evidence", _action_level(result, only), compact=False)
        if not fits_page_one([*blocks, *section]):
            section = _section(only, "Evidence", _action_level(result, only), compact=True)
        blocks += section
    blocks += _traceability(result, anonymous, new_page=any(isinstance(one, FigureBlock) for one in blocks[-1:]))
    if remarks:
        rows = tuple((clean(label, limit=40), clean(text, limit=600)) for label, text in remarks)
        blocks.append(Facts(title="Remarks", rows=rows, columns=1))
    blocks.append(Signature(roles=ROLES))
    document = ReportDocument(
        title=clean(result.title or result.analysis, limit=60),
        report_id=result_id(result),
        created=created,
        created_text=f"{created:%Y}" if anonymous else f"{created:%Y-%m-%d %H:%M %Z}".strip(),
        program=f"protonqa {__version__}",
        blocks=tuple(blocks),
    )
    # Last, over every text of every block: nothing reaches a writer that was not made printable.
    document = each_text(document, lambda text: clean(text, limit=600))
    return scrubbed(document, about.secrets()) if anonymous else document


def _subject_rows(subject: ReportSubject, anonymous: bool) -> Iterator[tuple[str, str]]:
    for label, value in (*subject.identity_rows(anonymous=anonymous), *subject.plan_facts, *subject.image_facts):
        yield clean(label, limit=40), clean(value, limit=160)


def _is_range_result(result: AnalysisResult) -> bool:
    return result.analysis == "range-verification" or "mean_shift" in result.measurements


def _action_level(result: AnalysisResult, section: AnalysisResult | None = None) -> float | None:
    """The action level in mm: a measurement of the result, else its parameter."""
    for one in (section, result):
        if one is None:
            continue
        if (value := one.value("action_level")) is not None:
            return value
        value = _mapping(one.provenance.get("parameters")).get("tolerance_mm")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return None


def _key_numbers(result: AnalysisResult) -> list[Block]:
    if not _is_range_result(result):
        numbers = [
            KeyNumber(label=_title(one), value=with_unit(one), note=_interval_note(one))
            for one in list(result.measurements.values())[:4]
        ]
        return [KeyNumbers(numbers=tuple(numbers))] if numbers else []
    shift = result.measurements.get("mean_shift")
    level = _action_level(result)
    margin = result.measurements.get("planning_margin")
    rays, beyond = result.measurements.get("rays_used"), result.measurements.get("fraction_beyond_tolerance")
    numbers = [
        KeyNumber(
            label="Mean range shift",
            value="–" if shift is None else with_unit(shift, decimals=1),
            note="no value" if shift is None else _interval_note(shift),
        ),
        KeyNumber(
            label="Action level",
            value="–" if level is None else f"±{number(level, decimals=1)} mm",
            note="for the mean and 90 % of rays",
        ),
        KeyNumber(
            label="Planning margin",
            value=PLANNING_MARGIN,
            note="" if margin is None or margin.value is None else f"= {with_unit(margin, decimals=1)} here",
        ),
        KeyNumber(
            label="Rays used",
            value="–" if rays is None else number(rays.value, decimals=0),
            note="" if beyond is None or beyond.value is None else f"{_share(beyond)} beyond the action level",
        ),
    ]
    return [KeyNumbers(numbers=tuple(numbers))]


def _interval_note(one: Measurement) -> str:
    if one.low is None or one.high is None:
        return ""
    return f"{confidence_text(one)}interval {interval(one, decimals=1)}"


def _share(one: Measurement) -> str:
    return _value_text(one, unit=True)


def _findings(result: AnalysisResult) -> tuple[Finding, ...]:
    """All findings once, the gravest first; those of one field only name it."""
    found = list(result.findings)
    known = {(one.code, one.text) for one in found}
    for index, part in enumerate(result.parts):
        for one in part.findings:
            if (one.code, one.text) not in known:
                prefix = f"{_field_title(part, index)}: " if len(result.parts) > 1 else ""
                found.append(replace(one, text=f"{prefix}{one.text}"))
    found.sort(key=lambda one: _WEIGHT.get(one.severity, 0))
    return tuple(replace(one, code=clean(one.code, limit=40), text=sentence(one.text, limit=600)) for one in found)


def _field_title(part: AnalysisResult, index: int) -> str:
    beam = part.value("beam")
    if beam is not None:
        return f"Beam {number(beam, decimals=0)}"
    return clean(part.title or f"Field {index + 1}", limit=60)


_FIELD_COLUMNS = (
    ("mean_shift", "Mean shift"),
    ("shift_sd", "SD"),
    ("method_bias", "Method bias"),
    ("a50_shift", "A50 shift"),
    ("rays_used", "Rays"),
    ("fraction_beyond_tolerance", "Beyond %"),
)


def _field_table(result: AnalysisResult) -> Block:
    rows = []
    for index, part in enumerate(result.parts):
        cells = [_field_title(part, index), part.state.value]
        for name, _ in _FIELD_COLUMNS:
            one = part.measurements.get(name)
            cells.append("–" if one is None else _value_text(one))
            if name == "mean_shift":
                cells.append("–" if one is None else interval(one))
        rows.append(tuple(cells))
    columns = ["Field", "State"]
    for name, title in _FIELD_COLUMNS:
        columns += [title, "Interval"] if name == "mean_shift" else [title]
    return GridTable(
        title="Fields",
        columns=tuple(columns),
        rows=tuple(rows),
        numeric=frozenset(range(2, len(columns))),
        note="Shifts in mm, positive is deeper than planned.",
    )


def _own_blocks(result: AnalysisResult) -> list[Block]:
    """Figures and tables of the whole plan, where a part does not show them already."""
    inside = {one.name for part in result.parts for one in (*part.figures, *part.tables)}
    figures = tuple(one for one in result.figures if one.name not in inside)
    tables = tuple(one for one in result.tables if one.name not in inside)
    if not (figures or tables):
        return []
    bare = replace(result, figures=figures, tables=tables, measurements={}, parts=())
    return _section(bare, "Whole plan", _action_level(result), compact=True)


def _section(section: AnalysisResult, title: str, action_level: float | None, *, compact: bool) -> list[Block]:
    """Map beside the measurements, then curves, then tables; a compact section fits one page."""
    maps = [_map(one, action_level) for one in section.figures if isinstance(one, ImageFigure)]
    curves = [_curve(one, compact) for one in section.figures if not isinstance(one, ImageFigure)]
    numbers = _measurement_table(section)
    blocks: list[Block] = []
    if len(maps) == 1 and numbers is not None:
        blocks.append(Pair(left=maps[0], right=numbers))
    else:
        blocks += [Pair(left=a, right=b) for a, b in zip(maps[::2], maps[1::2], strict=False)]
        blocks += [replace(maps[-1], size="wide")] if len(maps) % 2 else []
        blocks += [numbers] if numbers is not None else []
    if curves and not compact:
        blocks.append(Heading(text="Depth profiles", new_page=True))
    blocks += curves
    blocks += [_data_table(one) for one in section.tables]
    if section.state in (State.NOT_EVALUABLE, State.ERROR) and title != "Evidence":
        reason = clean(section.reason, limit=600)
        blocks.insert(0, Facts(title="", rows=(("State", section.state.value), ("Reason", reason)), columns=1))
    return [Heading(text=title, new_page=compact and bool(section.figures)), *blocks] if blocks else []


def _map(figure: ImageFigure, action_level: float | None) -> FigureBlock:
    note = "Grey: no value."
    if figure.diverging and figure.unit == "mm" and action_level is not None:
        note = f"Grey: not evaluated. Lines on the colour bar: action level ±{number(action_level, decimals=1)} mm."
    caption = clean(figure.title or figure.name, limit=160)
    return FigureBlock(figure=figure, caption=caption, size="map", note=note, action_level=action_level)


def _curve(figure: LineFigure | BarFigure, compact: bool) -> FigureBlock:
    caption = clean(figure.title or figure.name, limit=160)
    return FigureBlock(figure=figure, caption=caption, size="curve" if compact else "tall")


def _measurement_table(section: AnalysisResult) -> GridTable | None:
    if not section.measurements:
        return None
    levels = {confidence_text(one) for one in section.measurements.values() if one.low is not None}
    level = levels.pop() if len(levels) == 1 else ""
    # Limits and the beam's number stand in the head of the report; here is what was measured.
    shown = [one for one in section.measurements.values() if one.name not in _NOT_MEASURED]
    rows = tuple((_title(one), _value_text(one, unit=True), interval(one)) for one in shown)
    return GridTable(
        title="Measurements",
        columns=("Quantity", "Value", f"{level}interval".capitalize()),
        rows=rows,
        numeric=frozenset({1, 2}),
        note="Positive shift: deeper than planned." if _is_range_result(section) else "",
    )


def _title(one: Measurement) -> str:
    return clean(one.title or one.name.replace("_", " "), limit=80)


def _is_share(one: Measurement) -> bool:
    return one.name.startswith("fraction") and one.unit in ("", "1")


def _value_text(one: Measurement, *, unit: bool = False) -> str:
    if _is_share(one):
        return number(None if one.value is None else 100 * one.value, "%") + (f"{NBSP}%" if unit else "")
    return with_unit(one) if unit else number(one.value, one.unit, signed=is_signed(one))


def _data_table(table: Table) -> GridTable:
    numeric = frozenset(
        index
        for index in range(len(table.columns))
        if table.rows and all(row[index] is None or isinstance(row[index], (int, float)) for row in table.rows)
    )
    return GridTable(
        title=clean(table.title or table.name, limit=120),
        columns=tuple(clean(column, limit=60) for column in table.columns),
        rows=tuple(tuple(clean(_cell(cell), limit=160) for cell in row) for row in table.rows),
        numeric=numeric,
    )


def _cell(cell: object) -> str:
    return number(cell, decimals=2) if isinstance(cell, float) and 0.01 <= abs(cell) < 1e4 else number(cell)


def _traceability(result: AnalysisResult, anonymous: bool, *, new_page: bool) -> list[Block]:
    """Parameters, versions, device, seed, tables and timings: what a repeat needs."""
    known = result.provenance
    blocks: list[Block] = [Heading(text="Traceability", new_page=new_page)]
    parameters = _parameter_table(known)
    timings = _timing_table(result)
    if parameters is not None:
        blocks.append(parameters)
    facts = tuple((clean(label, limit=40), clean(value, limit=200)) for label, value in _run_facts(result, anonymous))
    blocks.append(Facts(title="How it was computed", rows=facts, columns=2))
    if timings is not None:
        blocks.append(timings)
    return blocks


def _parameter_table(known: Mapping[str, Any]) -> Facts | None:
    values = _mapping(known.get("parameters"))
    info = _mapping(known.get("parameter_info"))
    rows = []
    for name in values:
        about = _mapping(info.get(name))
        unit = "" if values[name] is None else clean(about.get("unit", ""), limit=20)
        title = clean(about.get("title") or _words(name), limit=60)
        rows.append((title, f"{_plain_text(values[name])}{NBSP}{unit}".strip()))
    return Facts(title="Parameters", rows=tuple(rows), columns=2, label_mm=44.0) if rows else None


def _words(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _run_facts(result: AnalysisResult, anonymous: bool) -> Iterator[tuple[str, str]]:
    known = result.provenance
    yield "Analysis", f"{result.analysis} {result.version}"
    if origin := known.get("origin"):
        yield "Origin", str(origin)
    device = known.get("device")
    if isinstance(device, Mapping):
        note = f" ({device['note']})" if device.get("note") else ""
        yield "Device", f"{device.get('kind', '')}: {device.get('label', '')}{note}"
    elif device:
        yield "Device", str(device)
    if "seed" in known:
        yield "Seed", str(known["seed"])
    if "tables" in known:
        yield "Data tables", str(known["tables"])
    versions = _mapping(known.get("versions"))
    if versions:
        yield "Versions", ", ".join(f"{name} {versions[name]}" for name in versions)
    if "started_utc" in known and not anonymous:
        yield "Started", f"{str(known['started_utc']).replace('T', ' ').removesuffix('+00:00')} UTC"
    for name in known:
        if name not in _PLACED | _PLACED_TOO:
            yield _words(name), _plain_text(known[name])


def _timing_table(result: AnalysisResult) -> Facts | None:
    rows = tuple(
        (clean(_words(name), limit=40), f"{number(float(value), decimals=1)} s")
        for name, value in result.timings_s.items()
    )
    return Facts(title="Time used", rows=rows, columns=3, label_mm=32.0) if rows else None


def _plain_text(value: object) -> str:
    if isinstance(value, Mapping):
        return clean(", ".join(f"{key} {_plain_text(value[key])}" for key in value), limit=200)
    if isinstance(value, (list, tuple)):
        return clean(", ".join(_plain_text(one) for one in value), limit=200)
    return clean(number(value), limit=200) or "–"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
