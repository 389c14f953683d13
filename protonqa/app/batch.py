"""`batch`: one analysis over many cases, on this computer or a cluster, resumable; a bad case never stops the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from protonqa import __version__
from protonqa.analyses.limits import deadline_s_of, memory_mib_of
from protonqa.analyses.registry import LoadedAnalysis, load_analysis
from protonqa.analyses.result_json import finding_to_plain
from protonqa.analyses.run_folder import prove_writable
from protonqa.analyses.runner import check_params
from protonqa.app.batch_file import BatchFile
from protonqa.app.batch_store import store_cases
from protonqa.app.batch_summary import CASES, BatchSummary, summary_of, write_lost_results, write_summary
from protonqa.app.batch_table import (
    WantedCase,
    batch_file_of,
    can_be_case,
    check_same_batch,
    grown_table,
    resolved,
    wanted_cases,
)
from protonqa.app.case_run import FUNCTION, CaseOrder
from protonqa.app.plugins import allowed_plugins
from protonqa.app.recording import Recorder
from protonqa.device import CPU, Device, usable_cores
from protonqa.errors import Cancelled, InputError
from protonqa.jobs.canonical import canonical_json
from protonqa.jobs.crew import Backend
from protonqa.jobs.journal import started_job
from protonqa.jobs.local_disk import refuse_network_folder
from protonqa.jobs.outcome import Retry
from protonqa.jobs.progress import JobProgress
from protonqa.jobs.runner import JobReport, backend_for, run_job
from protonqa.jobs.table import Cell, Job
from protonqa.jobs.watch import FolderWatch
from protonqa.site.reading import current_site
from protonqa.tables import TABLES_VERSION

BatchProgress = Callable[[JobProgress], None]


class BatchParams(BaseModel):
    """What to run on which cases, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Path = Field(description="Folder of cases, or a batch file (YAML).")
    analysis: str = Field("", description="Name of the analysis; the batch file may name it.")
    out: Path = Field(description="Folder of the results: summary.csv, summary.html and a folder a case.")
    params: Mapping[str, Any] = Field(default_factory=dict, description="Parameters of the analysis.")
    inputs: Mapping[str, str | list[str]] = Field(default_factory=dict, description="Inputs that all cases share.")
    select: Mapping[str, str] = Field(
        default_factory=dict, description="Which entry of a case folder is which input: pattern by input."
    )
    workers: int | None = Field(None, ge=0, le=1024, description="Worker processes [default: one a core].")
    scheduler: str | None = Field(None, description="Dask scheduler: tls://host:port, or tcp:// on this computer.")
    deadline_s: float | None = Field(None, gt=0, description="Longest time for one case, s.")
    memory_mib: int | None = Field(None, ge=64, description="Memory one worker may take, MiB.")
    retry: Literal["none", "transient", "all"] = Field(
        "transient", description="Failures of earlier runs to try again: of the computer (transient), all, or none."
    )
    report: bool = Field(False, description="Write report.pdf and report.html of each case; they carry their time.")
    anonymous: bool = Field(False, description="No identity in reports, no names of cases in the names of folders.")
    plugins: tuple[str, ...] | None = Field(None, description="Plugins to enable, as distribution==version.")
    config: Path | None = Field(None, description="Site file.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRun:
    """What a batch came to.

    Parameters
    ----------
    summary : BatchSummary
    report : JobReport
        Counts of this run; a case with any state but a failure of its worker counts as done.
    out : Path
    """

    summary: BatchSummary
    report: JobReport
    out: Path

    @property
    def exit_code(self) -> int:
        """That of the worst case."""
        return self.summary.exit_code

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "analysis": self.summary.analysis,
            "state": self.summary.state,
            "counts": self.summary.counts,
            "computed": self.report.computed,
            "seconds": round(self.report.wall_s, 3),
            "summary": str(self.out / "summary.csv"),
            "cases": [row.to_plain() for row in self.summary.rows],
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """A batch that has been looked at, before anything runs."""

    loaded: LoadedAnalysis
    params: BatchParams
    common: Mapping[str, Any]
    version: str
    device: Device

    @property
    def name(self) -> str:
        return self.loaded.analysis.name


def batch(
    params: BatchParams,
    *,
    seed: int = 0,
    device: Device = CPU,
    progress: BatchProgress | None = None,
    cancel: Callable[[], bool] | None = None,
    record: Recorder | None = None,
) -> BatchRun:
    """Run an analysis on every case that has no result yet, and write the summary.

    With `record` every result says when this version had last been commissioned on this device as the batch began,
    and is stored, once however often the batch is run.

    Every case runs with `seed`, as ``protonqa run`` would on it alone. Results and summary are the same, byte for
    byte, for any number of workers, on a cluster, and after any number of interruptions.

    Raises
    ------
    PluginError
        Unknown or disabled analysis.
    InputError
        No cases, or parameters that cannot be used; nothing was run.
    StoreError
        `out` cannot be written, or holds another batch.
    DeviceError
        No worker can compute.
    Cancelled
        Finished cases are kept and stand in the summary.
    """
    file = batch_file_of(params.source)
    plan = _plan(params, file, seed, device)
    wanted = wanted_cases(params.source, file, plan.loaded.analysis.inputs, skip=params.out)
    prove_writable(params.out)
    return _run(plan, wanted, progress, cancel, record)


def watch_batch(
    params: BatchParams,
    *,
    quiet_s: float = 60.0,
    every_s: float = 10.0,
    seed: int = 0,
    device: Device = CPU,
    progress: BatchProgress | None = None,
    cancel: Callable[[], bool] | None = None,
    told: Callable[[BatchRun], None] | None = None,
    record: Recorder | None = None,
) -> BatchRun | None:
    """As `batch`, for every case that arrives in the folder, until cancelled.

    Parameters
    ----------
    quiet_s : float
        A case has arrived when nothing in it has changed for so long.
    every_s : float
        How often the folder is looked at.
    told : callable
        Called with the whole batch after each group of arrivals.

    Returns
    -------
    BatchRun or None
        The last one; None when nothing ever arrived.
    """
    cancelled = cancel or (lambda: False)
    if not params.source.is_dir():
        raise InputError("only a folder can be watched", expected="the folder in which the cases arrive")
    plan = _plan(params, BatchFile(), seed, device)
    prove_writable(params.out)
    last: BatchRun | None = None
    inputs = plan.loaded.analysis.inputs
    for arrived in FolderWatch(params.source, quiet_s=quiet_s).batches(every_s=every_s, cancelled=cancelled):
        wanted = tuple(
            WantedCase(name=one.path.name if one.path.is_dir() else one.path.stem, path=one.path.resolve())
            for one in arrived
            if can_be_case(one.path, inputs, skip=params.out)
        )
        if not wanted:
            continue
        try:
            last = _run(plan, wanted, progress, cancelled, record)
        except Cancelled:
            break  # what has finished stands in the summary
        if told is not None:
            told(last)
    return last


def _plan(params: BatchParams, file: BatchFile, seed: int, device: Device) -> _Plan:
    if file.analysis and params.analysis and file.analysis != params.analysis:
        raise InputError(
            "the batch file names another analysis", got=params.analysis, expected=file.analysis, remedy="leave one out"
        )
    name = params.analysis or file.analysis
    if not name:
        raise InputError("the batch has no analysis", expected="--analysis NAME", remedy="see protonqa analyses")
    site = current_site(params.config)
    loaded = load_analysis(name, allowed_plugins(params.plugins, site))
    values = {**file.params, **params.params}
    # A typing error must not become as many failed cases as there are.
    check_params(loaded.analysis, values)
    order = CaseOrder(
        analysis=loaded.analysis.name,
        plugins=loaded.requirement,
        inputs={**resolved(file.inputs, params.source.parent), **resolved(params.inputs, Path.cwd())},
        select={**file.select, **params.select},
        params=values,
        seed=seed if file.seed is None else file.seed,
        device={"kind": device.kind, "requested": device.requested},
        report=params.report,
        anonymous=params.anonymous,
        site="" if site is None else str(site.path),
        site_sha256="" if site is None else site.sha256,
    )
    common = order.to_plain()
    settings = hashlib.sha256(canonical_json(common, what="settings of the batch").encode()).hexdigest()[:12]
    version = (
        f"{loaded.analysis.name} {loaded.analysis.version} of {loaded.origin}, protonqa {__version__}, "
        f"tables {TABLES_VERSION}, {device.kind}, seed {order.seed}, settings {settings}"
    )
    return _Plan(loaded=loaded, params=params, common=common, version=version, device=device)


def _run(
    plan: _Plan,
    wanted: tuple[WantedCase, ...],
    progress: BatchProgress | None,
    cancel: Callable[[], bool] | None,
    record: Recorder | None,
) -> BatchRun:
    out = plan.params.out
    refuse_network_folder(out, label="journal of the batch")
    known = started_job(out)
    if known is not None:
        check_same_batch(known.version, plan.version)
    before = () if known is None else known.cells
    common = {**plan.common, "findings": _known_before(plan, before, record)}
    cells = grown_table(before, wanted, common, anonymous=plan.params.anonymous)
    job = Job(name="batch", function=FUNCTION, cells=cells, version=plan.version)

    def summarised() -> BatchSummary:
        write_lost_results(out, cells, plan.loaded)
        summary = summary_of(plan.name, out, cells, anonymous=plan.params.anonymous)
        write_summary(summary, out, cells)
        if record is not None:
            store_cases(record, out, cells, plan.loaded.analysis.inputs)
        return summary

    try:
        report = run_job(
            job,
            out,
            on=_backend(plan),
            retry=Retry(plan.params.retry),
            grow=True,
            progress=progress,
            cancelled=cancel,
            cells=CASES,
        )
    except Cancelled:
        summarised()
        raise
    return BatchRun(summary=summarised(), report=report, out=out)


def _known_before(plan: _Plan, before: tuple[Cell, ...], record: Recorder | None) -> list[dict[str, str]]:
    """What each result says of the commissioning: as it was when the batch began, so that a resumed one stays equal."""
    if before:
        return list(before[0].parameters.get("findings", []))
    if record is None:
        return []
    analysis = plan.loaded.analysis
    return [finding_to_plain(one) for one in record.commissioning(analysis.name, analysis.version, plan.device)]


def _backend(plan: _Plan) -> Backend:
    params, loaded = plan.params, plan.loaded
    workers = params.workers if params.workers is not None else usable_cores()
    memory = params.memory_mib
    if memory is None and params.scheduler is None and workers > 0:
        memory = memory_mib_of(loaded, workers)
    deadline = params.deadline_s if params.deadline_s is not None else deadline_s_of(loaded)
    if workers == 0:
        return backend_for(0)
    return backend_for(params.workers, params.scheduler, deadline_s=deadline, memory_mib=memory)
