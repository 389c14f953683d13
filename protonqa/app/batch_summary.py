"""The summary of a batch: a row a case in the order of the table, whatever the order the cases came in."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protonqa.analyses.registry import LoadedAnalysis
from protonqa.analyses.result_json import result_to_json
from protonqa.analyses.run_folder import RESULT
from protonqa.app.batch_table import newest
from protonqa.app.results import EXIT_DONE, EXIT_FAIL, EXIT_INTERNAL, EXIT_NOT_EVALUABLE, EXIT_USAGE
from protonqa.files.atomic import write_manifest, write_text_atomic
from protonqa.jobs.journal import read_outcomes
from protonqa.jobs.outcome import CellOutcome
from protonqa.jobs.table import Cell
from protonqa.values import AnalysisResult, State

CASES = "cases"
SUMMARY_CSV, SUMMARY_HTML, PLACES_CSV, TIMES_CSV = "summary.csv", "summary.html", "cases.csv", "times.csv"
#: State of a case that was not reached before the batch was stopped.
NOT_RUN = "NOT RUN"
#: From the gravest to the best.
_ORDER = (State.ERROR.value, State.FAIL.value, State.NOT_EVALUABLE.value, NOT_RUN, State.PASS.value)
_CODES = {State.FAIL.value: EXIT_FAIL, State.NOT_EVALUABLE.value: EXIT_NOT_EVALUABLE, State.PASS.value: EXIT_DONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """What the summary says of one case.

    Parameters
    ----------
    case : str
        As the user calls it; in an anonymous batch the name of its folder.
    folder : str
        Below ``cases``.
    state, reason, code : str
    by_input : bool
        Whether the files of the case are to blame for an ERROR.
    measurements : tuple of (name, unit, value, low, high)
    findings : tuple of (severity, code)
    found : str
        Which files were found.
    seed : int or None
    """

    case: str
    folder: str
    state: str
    reason: str = ""
    code: str = ""
    by_input: bool = False
    measurements: tuple[tuple[str, str, float | None, float | None, float | None], ...] = ()
    findings: tuple[tuple[str, str], ...] = ()
    found: str = ""
    seed: int | None = None

    @property
    def exit_code(self) -> int:
        """As the command would end that analysed this case alone."""
        if self.state == State.ERROR.value:
            return EXIT_USAGE if self.by_input else EXIT_INTERNAL
        return _CODES.get(self.state, EXIT_INTERNAL)

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "case": self.case,
            "folder": f"{CASES}/{self.folder}",
            "state": self.state,
            "reason": self.reason,
            "code": self.code,
            "seed": self.seed,
            "found": self.found,
            "measurements": {
                name: {"value": value, "unit": unit, "low": low, "high": high}
                for name, unit, value, low, high in self.measurements
            },
            "findings": [{"severity": severity, "code": code} for severity, code in self.findings],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """All rows, and what they come to."""

    analysis: str
    rows: tuple[CaseRow, ...] = field(default=())

    @property
    def counts(self) -> dict[str, int]:
        """Cases by state, from the gravest to the best."""
        found = Counter(row.state for row in self.rows)
        return {state: found[state] for state in _ORDER if found[state]}

    @property
    def state(self) -> str:
        """The worst state there is: ERROR, FAIL, NOT EVALUABLE, NOT RUN, PASS."""
        return next(iter(self.counts), NOT_RUN)

    @property
    def exit_code(self) -> int:
        """That of the worst case: 4 where the program failed, 2 where files did, 1 FAIL, 3 NOT EVALUABLE, 0 PASS."""
        codes = {row.exit_code for row in self.rows}
        order = (EXIT_INTERNAL, EXIT_USAGE, EXIT_FAIL, EXIT_NOT_EVALUABLE, EXIT_DONE)
        return next((code for code in order if code in codes), EXIT_INTERNAL)

    def columns(self) -> tuple[tuple[str, str], ...]:
        """(name, unit) of every measurement, in the order of first appearance in the table."""
        return tuple(dict.fromkeys((one[0], one[1]) for row in self.rows for one in row.measurements))


def summary_of(analysis: str, folder: Path, cells: tuple[Cell, ...], *, anonymous: bool = False) -> BatchSummary:
    """Read the journal of a batch; of each case the newest revision counts.

    Raises
    ------
    StoreError
        The journal is damaged.
    """
    outcomes = {one.cell_id: one for one in read_outcomes(folder)}
    rows = []
    for name, one in newest(cells).items():
        shown = one.cell_id if anonymous else name
        rows.append(_row(shown, one.cell_id, outcomes.get(one.cell_id)))
    return BatchSummary(analysis=analysis, rows=tuple(rows))


def _row(case: str, folder: str, outcome: CellOutcome | None) -> CaseRow:
    if outcome is None:
        return CaseRow(case=case, folder=folder, state=NOT_RUN, reason="the batch was stopped before this case")
    if not outcome.done:
        reason = lost_reason(outcome)
        return CaseRow(case=case, folder=folder, state=State.ERROR.value, reason=reason, code=outcome.code)
    told: Mapping[str, Any] = outcome.value()
    return CaseRow(
        case=case,
        folder=folder,
        state=told["state"],
        reason=told["reason"],
        code=told["code"],
        by_input=told["by_input"],
        measurements=tuple(tuple(one) for one in told["measurements"]),
        findings=tuple(tuple(one) for one in told["findings"]),
        found=told["found"],
        seed=told["seed"],
    )


def lost_reason(outcome: CellOutcome) -> str:
    """Why a case has no result of its own: its worker hung, died or starved, or the computer failed."""
    return outcome.message.replace("the cell", "the case")


def write_lost_results(out: Path, cells: tuple[Cell, ...], loaded: LoadedAnalysis) -> None:
    """Give cases whose worker was lost a folder with a result that says so, as every other case has one.

    The next run throws these folders away before it tries again.

    Raises
    ------
    StoreError
    """
    known = {one.cell_id for one in cells}
    for outcome in read_outcomes(out):
        if outcome.done or outcome.cell_id not in known:
            continue
        result = AnalysisResult(
            analysis=loaded.analysis.name,
            version=loaded.analysis.version,
            title=loaded.analysis.title,
            state=State.ERROR,
            reason=lost_reason(outcome),
            provenance={"error": {"code": outcome.code, "kind": "", "input": False}, "origin": loaded.origin},
        )
        folder = out / CASES / outcome.cell_id
        write_text_atomic(folder / RESULT, result_to_json(result), label="result")
        write_manifest(folder, [RESULT])


def write_summary(summary: BatchSummary, out: Path, cells: tuple[Cell, ...]) -> None:
    """Write ``summary.csv`` and ``summary.html``, which hold no time, ``times.csv``, and ``cases.csv``.

    ``cases.csv`` says from where each case came. It names files and stays in the clinic.

    Raises
    ------
    StoreError
    """
    from protonqa.report.batch_page import batch_document
    from protonqa.report.html import html_text

    write_text_atomic(out / SUMMARY_CSV, summary_csv(summary), label="summary")
    page = batch_document(summary.analysis, summary.counts, page_columns(summary), page_rows(summary))
    write_text_atomic(out / SUMMARY_HTML, html_text(page), label="summary page")
    places = [(one.cell_id, name, one.parameters.get("path", "")) for name, one in newest(cells).items()]
    write_text_atomic(out / PLACES_CSV, csv_text(("folder", "case", "path"), places), label="list of cases")
    times = [(one.cell_id, f"{one.seconds:.3f}", one.attempts) for one in read_outcomes(out)]
    write_text_atomic(out / TIMES_CSV, csv_text(("folder", "seconds", "attempts"), times), label="list of times")


def summary_csv(summary: BatchSummary) -> str:
    """A row a case: state, reason, measurements as ``name_unit`` with ``_low`` and ``_high``, findings, files."""
    columns = summary.columns()
    with_interval = {(one[0], one[1]) for row in summary.rows for one in row.measurements if one[3] is not None}
    header = ["case", "state", "reason", "code"]
    for name, unit in columns:
        header.append(_column(name, unit))
        if (name, unit) in with_interval:
            header += [_column(f"{name}_low", unit), _column(f"{name}_high", unit)]
    rows = []
    for row in summary.rows:
        numbers = {(one[0], one[1]): one[2:] for one in row.measurements}
        cells: list[object] = [row.case, row.state, row.reason, row.code]
        for column in columns:
            value, low, high = numbers.get(column, (None, None, None))
            cells += [value, low, high] if column in with_interval else [value]
        rows.append((*cells, " ".join(code for _, code in row.findings), row.found, row.seed, f"{CASES}/{row.folder}"))
    return csv_text((*header, "findings", "found", "seed", "folder"), rows)


def _column(name: str, unit: str) -> str:
    return name if unit in ("", "1") else f"{name}_{unit}"


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV with decimal points; text that a spreadsheet would run as a formula is disarmed."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_cell(one) for one in row] for row in rows])
    return stream.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return json.dumps(value)
    text = " ".join(str(value).split())
    return f"'{text}" if isinstance(value, str) and text.startswith(("=", "+", "-", "@")) else text


def page_columns(summary: BatchSummary) -> tuple[str, ...]:
    """Columns of the page: the first measurements; the rest stands in the CSV."""
    shown = [(name.replace("_", " "), unit) for name, unit in _shown(summary)]
    titles = [name if unit in ("", "1") else f"{name} ({unit})" for name, unit in shown]
    return ("Case", "State", *titles, "Reason", "Findings")


def page_rows(summary: BatchSummary) -> tuple[tuple[object, ...], ...]:
    """Rows of the page, in the order of the table."""
    rows = []
    for row in summary.rows:
        numbers = {(one[0], one[1]): one[2] for one in row.measurements}
        values = [numbers.get(column) for column in _shown(summary)]
        weighty = [code for severity, code in row.findings if severity != "info"]
        rows.append((row.case, row.state, *values, row.reason, " ".join(weighty)))
    return tuple(rows)


def _shown(summary: BatchSummary, most: int = 5) -> tuple[tuple[str, str], ...]:
    return summary.columns()[:most]
