"""What a batch costs beyond its analysis: the whole machinery around an analysis that does nothing."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from protonqa.analyses.interface import AnalysisParams, Check, Commissioning, Context, Input
from protonqa.analyses.registry import LoadedAnalysis
from protonqa.app.batch_summary import CASES, summary_of, write_summary
from protonqa.app.batch_table import WantedCase, grown_table
from protonqa.app.case_run import CaseOrder, compute_case
from protonqa.app.progress import Progress, report_progress
from protonqa.jobs.cell import CellContext
from protonqa.jobs.local import LocalPool
from protonqa.jobs.progress import JobProgress
from protonqa.jobs.runner import run_job
from protonqa.jobs.table import Job
from protonqa.values import AnalysisResult, Measurement, State, TextDocument

FUNCTION = "protonqa.app.benchmark_batch:idle_case"


class Idle:
    """An analysis that looks at a text and is done."""

    name, title, version = "idle", "Nothing to do", "1.0"
    inputs = (Input("text", TextDocument),)
    Params = AnalysisParams

    def run(self, context: Context[AnalysisParams]) -> AnalysisResult:
        """Count the letters."""
        count = float(len(context.input("text", TextDocument).text))
        number = Measurement(name="letters", value=count, unit="1")
        return AnalysisResult(
            analysis=self.name, version=self.version, state=State.PASS, measurements={"letters": number}
        )

    def commission(self, context: Context[AnalysisParams]) -> Commissioning:  # noqa: ARG002  nothing to vary
        """One letter is one letter."""
        return Commissioning(checks=(Check(name="letters", value=1.0, unit="1", limit=1.0, comparison="=="),))


_IDLE = LoadedAnalysis(analysis=Idle(), origin="benchmark", built_in=True)


def idle_case(parameters: dict[str, Any], context: CellContext) -> dict[str, Any]:
    """One case, as a worker of a batch computes it."""
    return compute_case(_IDLE, CaseOrder.from_plain(parameters), context)


def batch_overhead(cases: int, progress: Progress | None = None) -> dict[str, Any]:
    """Run a batch of cases that need no work, on one worker.

    Parameters
    ----------
    cases : int
        At least 2.

    Returns
    -------
    dict
        ``overhead_ms_per_case`` between the first and the last finished case, ``start_seconds`` until the first
        (Python and protonqa are loaded once a worker), ``summary_seconds``, ``cases`` and ``workers``.
    """
    finished_s: list[float] = []

    def told(now: JobProgress) -> None:
        if now.latest is not None:
            finished_s.append(time.perf_counter())
            report_progress(progress, None, now.finished, now.total, "batch")

    with tempfile.TemporaryDirectory(prefix="protonqa-benchmark-") as place:
        source, out = Path(place) / "cases", Path(place) / "out"
        wanted = tuple(_written(source, number) for number in range(cases))
        began_s = time.perf_counter()
        cells = grown_table((), wanted, CaseOrder(analysis=Idle.name).to_plain())
        job = Job(name="batch", function=FUNCTION, cells=cells)
        run_job(job, out, on=LocalPool(workers=1), progress=told, cells=CASES)
        summary_s = time.perf_counter()
        write_summary(summary_of(Idle.name, out, cells), out, cells)
        ended_s = time.perf_counter()
    return {
        "overhead_ms_per_case": 1000.0 * (finished_s[-1] - finished_s[0]) / (cases - 1),
        "start_seconds": finished_s[0] - began_s,
        "summary_seconds": ended_s - summary_s,
        "cases": cases,
        "workers": 1,
    }


def _written(folder: Path, number: int) -> WantedCase:
    place = folder / f"case-{number:04d}"
    place.mkdir(parents=True)
    (place / "text.txt").write_text("word\n", encoding="utf-8")
    return WantedCase(name=place.name, path=place)
