"""The page of an acceptance test: a Markdown file with every check, the tables, and the figures as PNG beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from protonqa.analyses.interface import Check, Commissioning
from protonqa.files.atomic import write_bytes_atomic, write_text_atomic
from protonqa.report.figures import figure_png
from protonqa.report.text import clean
from protonqa.report.wording import number
from protonqa.values import Table

PAGE = "commissioning.md"
_WIDTH_MM, _HEIGHT_MM, _DPI = 160.0, 80.0, 144
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?")


def write_commissioning_page(
    outcome: Commissioning, folder: Path, *, title: str, facts: Mapping[str, str]
) -> tuple[str, ...]:
    """Write ``commissioning.md`` and its figures into `folder`; returns the names of the files.

    Parameters
    ----------
    outcome : Commissioning
    folder : Path
    title : str
        Name of the analysis, for people.
    facts : mapping of str to str
        When, where and with what the test was run, under names for people.

    Raises
    ------
    StoreError
        A file cannot be written.
    """
    names = [_figure_file(figure.name, place) for place, figure in enumerate(outcome.figures)]
    for name, figure in zip(names, outcome.figures, strict=True):
        drawn = figure_png(figure, width_mm=_WIDTH_MM, height_mm=_HEIGHT_MM, dpi=_DPI)
        write_bytes_atomic(folder / name, drawn)
    write_text_atomic(folder / PAGE, _page(outcome, names, title, facts))
    return (PAGE, *names)


def _figure_file(name: str, place: int) -> str:
    """A plugin names its figures: what is no plain name gets a number instead."""
    return f"{name}.png" if _NAME.fullmatch(name) else f"figure-{place + 1}.png"


def _page(outcome: Commissioning, names: Sequence[str], title: str, facts: Mapping[str, str]) -> str:
    good = sum(bool(check.passed) for check in outcome.checks)
    verdict = "PASS" if outcome.passed else "FAIL"
    lines = [f"# Acceptance test: {_text(title)}", "", f"**{verdict}**: {good} of {len(outcome.checks)} checks passed."]
    lines += ["", *(f"- {_text(name)}: {_text(value)}" for name, value in facts.items())]
    lines += [f"- {finding.severity.value}: {_text(finding.text)}" for finding in outcome.findings]
    lines += ["", "## Checks", "", *checks_table(outcome.checks)]
    for table in outcome.tables:
        lines += ["", f"## {_text(table.title)}", "", *values_table(table)]
    if outcome.figures:
        lines += ["", "## Figures"]
    for name, figure in zip(names, outcome.figures, strict=True):
        lines += ["", f"{_text(figure.title)}:", "", f"![{_text(figure.title)}]({name})"]
    return "\n".join(lines) + "\n"


def checks_table(checks: Sequence[Check]) -> list[str]:
    """Checks as lines of a Markdown table; those that failed stand first."""
    ordered = sorted(checks, key=lambda check: bool(check.passed))
    rows = [
        (
            "ok" if check.passed else "**FAIL**",
            _text(check.title or check.name),
            "no value" if check.value is None else f"{number(_rounded(check.value))} {_text(check.unit)}".strip(),
            f"{_limit(check)} {_text(check.unit)}".strip(),
        )
        for check in ordered
    ]
    return _table(("", "check", "value", "limit"), rows)


def values_table(table: Table) -> list[str]:
    """A table of values as lines of a Markdown table."""
    head = [_text(column.replace("_", " ")) for column in table.columns]
    return _table(head, [[_text(number(_rounded(cell))) for cell in row] for row in table.rows])


def _limit(check: Check) -> str:
    limit = number(float(check.limit))
    if check.comparison == "abs<=":
        return f"±{limit}"
    signs = {"<=": "≤", ">=": "≥", "==": "=", "<": "<", ">": ">"}
    return f"{signs[check.comparison]} {limit}"


def _rounded(value: object) -> object:
    """Four significant digits, three decimals at most: what lies below is noise in a table."""
    if not isinstance(value, float):
        return value
    return round(float(f"{value:.4g}"), 3)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(head), f"|{'---|' * len(head)}", *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: object) -> str:
    """One line in which nothing is markup."""
    line = clean(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*\[\]|])", r"\\\1", line)
