"""The content of a report, once: PDF and HTML are two ways to print the same blocks.

Built from an AnalysisResult and the subject alone; nothing is computed here but the text of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from protonqa.values import Figure, Finding, State

INTENDED_USE = "Quality assurance research, not for treatment decisions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The box on page one: one word, what it rests on, what it means."""

    state: State
    sentence: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyNumber:
    """A number worth seeing first."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyNumbers:
    """A row of at most four."""

    numbers: tuple[KeyNumber, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Label and value rows in `columns` columns, the labels `label_mm` wide."""

    title: str
    rows: tuple[tuple[str, str], ...]
    columns: int = 2
    label_mm: float = 27.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All findings, gravest first."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FigureBlock:
    """A figure with its caption and a note under it; ``size`` is a key of ``protonqa.report.style.FIGURE_MM``."""

    figure: Figure
    caption: str
    size: str
    note: str = ""
    action_level: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GridTable:
    """Columns and rows of finished text; the columns in ``numeric`` are set flush right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two blocks side by side: a map and its numbers, two small tables."""

    left: Block
    right: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """Begins a section; ``new_page`` begins a page too."""

    text: str
    new_page: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Where people sign."""

    roles: tuple[str, ...]


Block = Verdict | KeyNumbers | Facts | Findings | FigureBlock | GridTable | Pair | Heading | Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDocument:
    """Everything a report says, in order."""

    title: str
    report_id: str
    created: datetime
    created_text: str
    program: str
    blocks: tuple[Block, ...]
    intended_use: str = INTENDED_USE
