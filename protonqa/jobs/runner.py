"""Running a job: missing cells go out, outcomes come in, each is committed; nothing else knows the order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from protonqa.durable import store_error
from protonqa.errors import Cancelled, InputError
from protonqa.jobs.artefacts import CELLS, CellFolders
from protonqa.jobs.cell import CellTask, execute_cell, load_function
from protonqa.jobs.crew import Backend, Crew, InProcess
from protonqa.jobs.journal import Journal
from protonqa.jobs.local import LocalPool
from protonqa.jobs.local_disk import refuse_network_folder
from protonqa.jobs.outcome import CellOutcome, CellState, Retry
from protonqa.jobs.owner import OwnerLock
from protonqa.jobs.progress import JobProgress, Pace
from protonqa.jobs.table import Job

#: How long the loop sleeps when nothing comes in: the delay of a cancel.
_TICK_S = 0.1
#: How often progress is told without news.
_HEARTBEAT_S = 1.0
#: How long cells that were asked to stop may take to do so.
CANCEL_PATIENCE_S = 1.0

ProgressCallback = Callable[[JobProgress], None]
CancelCallback = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What a run of a job came to.

    Parameters
    ----------
    total, done, failed : int
        Cells of the table, with a result, and failed.
    computed : int
        Cells of this run, failed ones included; the others were there already.
    wall_s : float
    """

    total: int
    done: int
    failed: int
    computed: int
    wall_s: float


def run_job(
    job: Job,
    folder: Path,
    *,
    on: Backend | None = None,
    retry: Retry = Retry.TRANSIENT,
    grow: bool = False,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
    cells: str = CELLS,
) -> JobReport:
    """Compute every cell of a job that has no outcome yet; after a kill at any moment the next call goes on.

    A cell that fails is recorded and the others go on. The outcomes (`protonqa.jobs.journal.read_outcomes`) are the
    same, byte for byte, for any number of workers, any backend and any number of interruptions, as far as the cell
    function gives the same result for the same parameters.

    Parameters
    ----------
    job : Job
    folder : Path
        Made when absent; gets ``job.sqlite`` and ``cells/NAME/`` for cells that wrote files. One job a folder.
    on : Backend, optional
        `LocalPool` (default: one worker a core), `InProcess` or `protonqa.jobs.cluster.DaskCluster`.
    retry : Retry
        Which failed cells of earlier runs are computed again.
    grow : bool
        Cells may have been added at the end of the table since the last run.
    progress : callable
        Called in this thread after every commit and about once a second.
    cancelled : callable
        Looked at about ten times a second.
    cells : str
        Name of the folder that holds the folders of the cells; the same for every run of the job.

    Raises
    ------
    StoreError
        Another run has the folder, its journal is of another job or damaged, or the disk refuses. What was
        committed stays.
    PluginError, DeviceError
        No worker can compute any cell.
    Cancelled
        What was committed stays, what was in work was thrown away.
    """
    began_s = time.monotonic()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error("folder of the job", "make the folder", error) from error
    refuse_network_folder(folder, label="journal of the job")
    with ExitStack() as stack:
        lock = OwnerLock(folder)
        stack.callback(lock.release)
        journal = stack.enter_context(Journal(folder, job, grow=grow))
        run = _Run(job, journal, stack.enter_context(closing(CellFolders(folder, cells))), progress, cancelled)
        run.compute(on or LocalPool(), retry)
        return run.report(time.monotonic() - began_s)


def backend_for(
    workers: int | None = None,
    scheduler: str | None = None,
    *,
    deadline_s: float | None = None,
    memory_mib: int | None = None,
) -> Backend:
    """The backend that the options of a command mean.

    Parameters
    ----------
    workers : int or None
        Local workers; 0 computes in this process; None is one a core. Not together with `scheduler`.
    scheduler : str or None
        Address of a Dask scheduler.
    deadline_s, memory_mib
        See `protonqa.jobs.local.LocalPool`.

    Raises
    ------
    InputError
        Options that exclude each other, or values out of bounds.
    """
    if scheduler is not None:
        if workers is not None:
            raise InputError("workers and scheduler exclude each other", remedy="the cluster has its own workers")
        from protonqa.jobs.cluster import DaskCluster

        return DaskCluster(address=scheduler, deadline_s=deadline_s, memory_mib=memory_mib)
    if workers == 0:
        if deadline_s is not None or memory_mib is not None:
            raise InputError("limits need worker processes", got="0 workers", expected="1 worker or more")
        return InProcess()
    return LocalPool(workers=workers, deadline_s=deadline_s, memory_mib=memory_mib)


def replay_cell(job: Job, cell_id: str, work_folder: Path) -> CellOutcome:
    """Compute one cell of a job alone, in this process, without its journal.

    Parameters
    ----------
    work_folder : Path
        Gets what the cell writes.

    Raises
    ------
    InputError
        No such cell.
    PluginError
        The function cannot be imported.
    """
    for position, one in enumerate(job.cells):
        if one.cell_id == cell_id:
            return execute_cell(load_function(job.function), CellTask(position=position, cell=one, folder=work_folder))
    raise InputError("the job has no such cell", got=cell_id[:40], expected=f"one of its {len(job.cells)} cells")


class _Run:
    """One run: the books, and the loop."""

    def __init__(
        self,
        job: Job,
        journal: Journal,
        folders: CellFolders,
        progress: ProgressCallback | None,
        cancelled: CancelCallback | None,
    ) -> None:
        self._job, self._journal, self._folders = job, journal, folders
        self._progress, self._cancelled = progress, cancelled or (lambda: False)
        self._pace = Pace()
        self._began_s = self._told_s = time.monotonic()
        self._computed = self._done = self._failed = 0
        self._waiting: deque[int] = deque()

    def compute(self, backend: Backend, retry: Retry) -> None:
        self._settle()
        self._waiting = deque(self._journal.missing(retry))
        states = [state for state, _ in self._journal.states().values()]
        self._done = states.count(CellState.DONE)
        self._failed = len(self._job.cells) - self._done - len(self._waiting)
        if not self._waiting:
            self._tell(None)
            return
        self._check_cancelled()
        with closing(backend.crew(self._job, len(self._waiting), self._cancelled)) as crew:
            self._tell(crew)
            self._loop(crew)

    def report(self, wall_s: float) -> JobReport:
        return JobReport(
            total=len(self._job.cells),
            done=self._done,
            failed=self._failed,
            computed=self._computed,
            wall_s=wall_s,
        )

    def _settle(self) -> None:
        """Forget results whose files were lost, then throw away files whose cells were never committed."""
        committed, lost = [], []
        for position, cell_id, files in self._journal.committed_files():
            if files and self._folders.lost(cell_id, files):
                lost.append(position)
            elif files:
                committed.append(cell_id)
        if lost:
            self._journal.drop(lost)
        self._folders.prepare(committed, [one.cell_id for one in self._job.cells])

    def _loop(self, crew: Crew) -> None:
        while self._waiting or crew.pending():
            self._refill(crew)
            outcomes = crew.wait(_TICK_S)
            # Workers go on with their next cells while the disk is busy with the last ones.
            self._refill(crew)
            self._commit(outcomes, crew)
            if self._cancelled():
                self._stop(crew)
                return
            if time.monotonic() - self._told_s >= _HEARTBEAT_S:
                self._tell(crew)

    def _refill(self, crew: Crew) -> None:
        if self._cancelled():
            return
        for _ in range(min(crew.free(), len(self._waiting))):
            position = self._waiting.popleft()
            folder = self._folders.work_folder(position)
            crew.submit(CellTask(position=position, cell=self._job.cells[position], folder=folder))

    def _commit(self, outcomes: list[CellOutcome], crew: Crew) -> None:
        for outcome in outcomes:
            if outcome.code == Cancelled.code and self._cancelled():
                continue  # stopped, not failed
            if outcome.done and outcome.files:
                self._folders.publish(outcome.position, outcome.cell_id)
            else:
                self._folders.discard(outcome.position)
            self._journal.record(outcome)
            self._computed += 1
            self._done += outcome.done
            self._failed += not outcome.done
            self._pace.add(outcome.seconds)
            self._tell(crew, outcome)

    def _stop(self, crew: Crew) -> None:
        crew.cancel()
        patience_s = time.monotonic() + CANCEL_PATIENCE_S
        while crew.pending() and time.monotonic() < patience_s:
            self._commit(crew.wait(_TICK_S), crew)
        self._check_cancelled()

    def _check_cancelled(self) -> None:
        finished = self._done + self._failed
        if self._cancelled() and finished < len(self._job.cells):
            raise Cancelled(
                f"the {self._job.name} was cancelled",
                got=f"{finished} of {len(self._job.cells)} cells finished",
                remedy="run it again to go on from there",
            )

    def _tell(self, crew: Crew | None, latest: CellOutcome | None = None) -> None:
        self._told_s = time.monotonic()
        if self._progress is None:
            return
        running = crew.pending() if crew is not None else 0
        remaining_s: float | None = 0.0
        if crew is not None:
            remaining_s = self._pace.remaining_s(len(self._waiting), crew.running_s(), running, crew.slots)
        self._progress(
            JobProgress(
                total=len(self._job.cells),
                done=self._done,
                failed=self._failed,
                running=running,
                elapsed_s=self._told_s - self._began_s,
                remaining_s=remaining_s,
                latest=latest,
                cells=crew.running() if crew is not None else (),
            )
        )
