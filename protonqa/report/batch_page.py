"""The page of a batch: counts of states and a table with a row a case. It holds no time: equal work, equal page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from protonqa import __version__
from protonqa.report.document import Block, GridTable, KeyNumber, KeyNumbers, ReportDocument, Verdict
from protonqa.report.text import clean
from protonqa.report.wording import MEANING, number
from protonqa.values import State

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def batch_document(
    analysis: str, counts: Mapping[str, int], columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> ReportDocument:
    """The document of a batch.

    Parameters
    ----------
    analysis : str
    counts : mapping of state to number of cases
        From the gravest to the best.
    columns, rows
        The table; the second column is the state.
    """
    total = sum(counts.values())
    worst = next(iter(counts), "")
    blocks: list[Block] = []
    if worst in {state.value for state in State}:
        state = State(worst)
        text = "1 case" if counts[worst] == 1 else f"{counts[worst]} of {total} cases"
        blocks.append(Verdict(state=state, sentence=f"The worst of the batch: {text}.", meaning=MEANING[state]))
    numbers = tuple(KeyNumber(label=state, value=str(count)) for state, count in counts.items())
    blocks.append(KeyNumbers(numbers=(KeyNumber(label="Cases", value=str(total)), *numbers)))
    blocks.append(
        GridTable(
            title="Cases",
            columns=tuple(clean(column, limit=60) for column in columns),
            rows=tuple(tuple(clean(_cell(cell), limit=200) for cell in row) for row in rows),
            numeric=frozenset(
                index
                for index in range(2, len(columns))
                if any(row[index] is not None for row in rows)
                and all(row[index] is None or isinstance(row[index], (int, float)) for row in rows)
            ),
        )
    )
    content = json.dumps([list(columns), [[str(cell) for cell in row] for row in rows]])
    return ReportDocument(
        title=clean(f"Batch: {analysis}", limit=60),
        report_id=hashlib.sha256(content.encode()).hexdigest()[:16],
        created=_NEVER,
        created_text="",
        program=f"protonqa {__version__}",
        blocks=tuple(blocks),
    )


def _cell(cell: object) -> str:
    if cell is None:
        return ""
    return number(cell) if isinstance(cell, (int, float)) and not isinstance(cell, bool) else str(cell)
