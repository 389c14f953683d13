"""The report of acceptance tests as PDF and HTML: measured against limit for every analysis, and where it was run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from protonqa import __version__
from protonqa.analyses.commissioning import check_to_plain
from protonqa.analyses.interface import Check, Commissioning
from protonqa.files.atomic import write_bytes_atomic, write_text_atomic
from protonqa.report.document import (
    Block,
    Facts,
    FigureBlock,
    Findings,
    GridTable,
    Heading,
    KeyNumber,
    KeyNumbers,
    ReportDocument,
    Signature,
    Verdict,
)
from protonqa.report.html import html_text
from protonqa.report.pdf import pdf_bytes
from protonqa.report.text import clean
from protonqa.report.wording import number
from protonqa.values import BarFigure, ImageFigure, State, Table

PDF_NAME, HTML_NAME = "commissioning.pdf", "commissioning.html"
ROLES = ("Performed by", "Released for use by (medical physics expert)")
_SIGNS = {"<=": "≤", ">=": "≥", "==": "=", "<": "<", ">": ">", "abs<=": "±"}
_MEANING = {
    State.PASS: "Every check lies within its limit, for these versions on this device.",
    State.FAIL: "A check lies beyond its limit, or a test gave no result. Not to be used before the cause is known.",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TestedAnalysis:
    """An analysis and the outcome of its acceptance test."""

    name: str
    title: str
    version: str
    origin: str
    outcome: Commissioning


def write_commissioning_report(
    tested: tuple[TestedAnalysis, ...], folder: Path, *, facts: Mapping[str, str], created: datetime
) -> tuple[str, str]:
    """Write ``commissioning.pdf`` and ``commissioning.html``; returns their names.

    Raises
    ------
    StoreError
        A file cannot be written.
    """
    document = commissioning_document(tested, facts=facts, created=created)
    write_bytes_atomic(folder / PDF_NAME, pdf_bytes(document))
    write_text_atomic(folder / HTML_NAME, html_text(document))
    return PDF_NAME, HTML_NAME


def commissioning_document(
    tested: tuple[TestedAnalysis, ...], *, facts: Mapping[str, str], created: datetime
) -> ReportDocument:
    """The report of a run of acceptance tests.

    Parameters
    ----------
    tested : tuple of TestedAnalysis
    facts : mapping of str to str
        Computer, device, versions, seed, extent, date, under names for people.
    created : datetime
        With a time zone.
    """
    passed = bool(tested) and all(one.outcome.passed for one in tested)
    checks = [check for one in tested for check in one.outcome.checks]
    good = sum(bool(check.passed) for check in checks)
    state = State.PASS if passed else State.FAIL
    blocks: list[Block] = [
        Verdict(state=state, sentence=f"{good} of {len(checks)} checks passed.", meaning=_MEANING[state]),
        KeyNumbers(numbers=tuple(_key_number(one) for one in tested[:4])),
        Facts(title="What was tested, and where", rows=tuple(_rows(tested, facts)), columns=1, label_mm=40.0),
    ]
    for one in tested:
        blocks += _section(one, new_page=len(tested) > 1)
    blocks.append(Signature(roles=ROLES))
    content = [{"name": one.name, "checks": [check_to_plain(check) for check in one.outcome.checks]} for one in tested]
    return ReportDocument(
        title="Commissioning" if len(tested) != 1 else clean(f"Commissioning: {tested[0].title}", limit=60),
        report_id=hashlib.sha256(json.dumps([dict(facts), content]).encode()).hexdigest()[:16],
        created=created,
        created_text=f"{created:%Y-%m-%d %H:%M %Z}".strip(),
        program=f"protonqa {__version__}",
        blocks=tuple(blocks),
    )


def _key_number(one: TestedAnalysis) -> KeyNumber:
    good = sum(bool(check.passed) for check in one.outcome.checks)
    note = "passed" if one.outcome.passed else "not passed"
    return KeyNumber(label=clean(one.title, limit=40), value=f"{good} / {len(one.outcome.checks)}", note=note)


def _rows(tested: tuple[TestedAnalysis, ...], facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for one in tested:
        verdict = "PASS" if one.outcome.passed else "FAIL"
        yield clean(one.title, limit=40), clean(f"{verdict}, version {one.version} of {one.origin}", limit=160)
    for name, value in facts.items():
        yield clean(name.capitalize(), limit=40), clean(value, limit=300)


def _section(one: TestedAnalysis, *, new_page: bool) -> list[Block]:
    outcome = one.outcome
    blocks: list[Block] = [Heading(text=clean(one.title, limit=60), new_page=new_page)]
    if outcome.findings:
        blocks.append(Findings(findings=outcome.findings))
    # What failed is read first.
    ordered = sorted(outcome.checks, key=lambda check: bool(check.passed))
    blocks.append(
        GridTable(
            title="Checks",
            columns=("", "Check", "Measured", "Limit"),
            rows=tuple(_check_row(check) for check in ordered),
            numeric=frozenset({2, 3}),
        )
    )
    blocks += [_table(table) for table in outcome.tables]
    for figure in outcome.figures:
        size = "wide" if isinstance(figure, BarFigure) else "map" if isinstance(figure, ImageFigure) else "tall"
        blocks.append(FigureBlock(figure=figure, caption=clean(figure.title or figure.name, limit=160), size=size))
    return blocks


def _check_row(check: Check) -> tuple[str, str, str, str]:
    value = "no value" if check.value is None else f"{number(float(f'{check.value:.4g}'))} {check.unit}".strip()
    sign = _SIGNS[check.comparison]
    limit = f"{sign}{'' if sign == '±' else ' '}{number(float(check.limit))} {check.unit}".strip()
    name = check.title or check.name
    return ("ok" if check.passed else "FAIL", clean(name, limit=200), clean(value, limit=60), clean(limit, limit=60))


def _table(table: Table) -> GridTable:
    numeric = frozenset(
        index
        for index in range(len(table.columns))
        if table.rows and all(row[index] is None or isinstance(row[index], (int, float)) for row in table.rows)
    )
    return GridTable(
        title=clean(table.title or table.name, limit=120),
        columns=tuple(clean(column.replace("_", " "), limit=60) for column in table.columns),
        rows=tuple(tuple(clean(_cell(cell), limit=160) for cell in row) for row in table.rows),
        numeric=numeric,
    )


def _cell(cell: object) -> str:
    return number(float(f"{cell:.4g}")) if isinstance(cell, float) else number(cell)
