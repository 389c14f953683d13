"""Results of a batch into the store: each once, however often the batch is run; a broken store costs no result."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from protonqa.analyses.interface import Input
from protonqa.app.batch_summary import CASES
from protonqa.app.case_files import describe_case
from protonqa.app.labels import CaseFacts, facts_of_paths
from protonqa.app.recording import Recorder
from protonqa.errors import ProtonQAError
from protonqa.jobs.journal import read_outcomes
from protonqa.jobs.outcome import CellOutcome
from protonqa.jobs.table import Cell


def store_cases(record: Recorder, out: Path, cells: tuple[Cell, ...], inputs: tuple[Input, ...]) -> None:
    """Store what the analysis came to on each case; files that could not be used are no result of it.

    Parameters
    ----------
    record : Recorder
        Its problems grow by one line where the store refuses; the rest is then left to the next run.
    out : Path
        Folder of the batch.
    cells : tuple of Cell
    inputs : tuple of Input
        Those of the analysis.
    """
    known = {one.cell_id: one for one in cells}
    for outcome in read_outcomes(out):
        cell = known.get(outcome.cell_id)
        if cell is None or not outcome.done or outcome.value()["by_input"]:
            continue
        if not record.folder(out / CASES / outcome.cell_id, partial(_facts, cell, outcome, inputs)):
            return
    if record.stored:
        record.back_up()


def _facts(cell: Cell, outcome: CellOutcome, inputs: tuple[Input, ...]) -> CaseFacts:
    order = cell.parameters
    paths = dict(order.get("inputs", {}))
    try:
        if order.get("path"):
            paths = {**describe_case(Path(order["path"]), inputs, order.get("select")).inputs, **paths}
    except ProtonQAError:
        return CaseFacts()  # the files have changed or gone since; the result itself stays
    return facts_of_paths(inputs, paths, str(outcome.value().get("performed", "")))
