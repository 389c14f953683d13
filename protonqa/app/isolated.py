"""One run in a worker process: whatever the analysis does, this program lives, and a failed result comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from protonqa.analyses.commissioning import failed_commissioning, outcome_from_plain
from protonqa.analyses.interface import Commissioning
from protonqa.analyses.limits import commission_deadline_s_of, memory_mib_of
from protonqa.analyses.registry import LoadedAnalysis
from protonqa.analyses.result_json import result_from_json, result_to_json
from protonqa.analyses.run_folder import RESULT, write_staged
from protonqa.analyses.runner import versions
from protonqa.app.case_run import COMMISSION, FUNCTION, CaseOrder
from protonqa.app.progress import Cancel, Progress
from protonqa.device import usable_cores
from protonqa.errors import Cancelled, ProtonQAError
from protonqa.files.atomic import MANIFEST_NAME
from protonqa.jobs.cell import CellTask
from protonqa.jobs.local import LocalCrew
from protonqa.jobs.outcome import DEADLINE, INTERNAL, MEMORY, WORKER, CellOutcome
from protonqa.jobs.table import cell
from protonqa.tables import TABLES_VERSION
from protonqa.values import AnalysisResult, State

#: How long a run that was cancelled may take to stop by itself.
CANCEL_PATIENCE_S = 2.0
_TICK_S = 0.1
#: Ends of a worker that are a failed result; every other failure is an error of the user's files or of the disk.
_LOST = frozenset({DEADLINE, WORKER, MEMORY, INTERNAL, "PLUGIN"})


def run_isolated(
    loaded: LoadedAnalysis,
    order: CaseOrder,
    folder: Path,
    *,
    deadline_s: float | None = None,
    memory_mib: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> AnalysisResult:
    """Run an analysis on files, in a process of its own.

    Parameters
    ----------
    loaded : LoadedAnalysis
    order : CaseOrder
        With ``strict``: files that cannot be read are an error and not a result.
    folder : Path
        A private, empty folder; gets result, artefacts and report, no manifest.
    deadline_s : float, optional
        The run is ended after so long.
    memory_mib : int, optional
        What the process may allocate (not on Windows).
    progress, cancel : callables or None

    Returns
    -------
    AnalysisResult
        In state ERROR where the analysis failed, hung, died or asked for too much.

    Raises
    ------
    ProtonQAError
        As the same run in this process would.
    Cancelled
    """
    outcome = _apart(FUNCTION, order.to_plain(), folder, deadline_s, memory_mib, progress, cancel)
    if outcome.done:
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
        return result_from_json((folder / RESULT).read_text(encoding="utf-8"))
    if outcome.code not in _LOST:
        raise _error_of(outcome)
    result = _lost(loaded, order, outcome)
    _emptied(folder)
    write_staged(folder, RESULT, result_to_json(result))
    return result


def commission_isolated(
    loaded: LoadedAnalysis,
    order: CaseOrder,
    folder: Path,
    *,
    quick: bool,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Commissioning:
    """The acceptance test of an analysis, in a process of its own.

    Parameters
    ----------
    folder : Path
        A private, empty folder for what the test writes.

    Returns
    -------
    Commissioning
        Without checks where the test failed, hung, died or asked for too much.

    Raises
    ------
    ProtonQAError
        The device cannot be used, or the disk refuses.
    Cancelled
    """
    parameters = {**order.to_plain(), "quick": quick}
    limits = commission_deadline_s_of(loaded), memory_mib_of(loaded, 1)
    outcome = _apart(COMMISSION, parameters, folder, *limits, progress, cancel)
    if outcome.done:
        return outcome_from_plain(outcome.value())
    if outcome.code not in _LOST:
        raise _error_of(outcome)
    _emptied(folder)
    return failed_commissioning(outcome.message.replace("the cell", "the acceptance test"))


def _apart(
    function: str,
    parameters: dict[str, Any],
    folder: Path,
    deadline_s: float | None,
    memory_mib: int | None,
    progress: Progress | None,
    cancel: Cancel | None,
) -> CellOutcome:
    task = CellTask(position=0, cell=cell("run", parameters), folder=folder)
    crew = LocalCrew(function, 1, deadline_s=deadline_s, memory_mib=memory_mib, threads=usable_cores())
    with closing(crew):
        return _computed(crew, task, progress, cancel or (lambda: False))


def _emptied(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _computed(crew: LocalCrew, task: CellTask, progress: Progress | None, cancel: Callable[[], bool]) -> CellOutcome:
    while not crew.free():
        crew.wait(_TICK_S)
        if cancel():
            raise _cancelled()
    crew.submit(task)
    stop_s: float | None = None
    while True:
        outcomes = crew.wait(_TICK_S)
        if outcomes and outcomes[0].code != Cancelled.code:
            return outcomes[0]
        if outcomes or (stop_s is not None and time.monotonic() > stop_s):
            raise _cancelled()
        if stop_s is None and cancel():
            crew.cancel()
            stop_s = time.monotonic() + CANCEL_PATIENCE_S
        for one in crew.running():
            if progress is not None and one.text:
                progress(one.fraction, 1.0, one.text)


def _cancelled() -> Cancelled:
    return Cancelled("the run was cancelled", remedy="nothing was marked as done; start it again")


def _error_of(outcome: CellOutcome) -> ProtonQAError:
    """The error of the worker again, of its own class, so that exit codes stay what they are."""
    kinds = {kind.code: kind for kind in _all_errors(ProtonQAError)}
    return kinds.get(outcome.code, ProtonQAError)(outcome.message)


def _all_errors(kind: type[ProtonQAError]) -> list[type[ProtonQAError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in _all_errors(below))]


def _lost(loaded: LoadedAnalysis, order: CaseOrder, outcome: CellOutcome) -> AnalysisResult:
    known = {"seed": order.seed, "origin": loaded.origin, "tables": TABLES_VERSION, "versions": versions()}
    return AnalysisResult(
        analysis=loaded.analysis.name,
        version=loaded.analysis.version,
        title=loaded.analysis.title,
        state=State.ERROR,
        reason=outcome.message.replace("the cell", "the analysis"),
        provenance={**known, "error": {"code": outcome.code, "kind": "", "input": False}},
        timings_s={"run": outcome.seconds},
    )
