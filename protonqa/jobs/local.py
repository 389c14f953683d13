"""The local pool: spawned workers under supervision. One that hangs, dies or starves costs its cell, not the job."""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from protonqa.errors import DeviceError, InputError, PluginError
from protonqa.jobs.cell import CellTask
from protonqa.jobs.crew import Crew
from protonqa.jobs.outcome import DEADLINE, MEMORY, WORKER, CellOutcome, failed
from protonqa.jobs.process import Message, WorkerProcess
from protonqa.jobs.progress import RunningCell
from protonqa.jobs.table import Job
from protonqa.jobs.wire import outcome_from

#: Importing a large library on a busy computer takes long; a worker that needs more than this never will be ready.
START_PATIENCE_S = 300.0
#: As many workers that end before they are ready, one after the other, mean that none ever will be.
MOST_FALSE_STARTS = 3
#: A dead worker's last words may still be in its pipe.
_PIPE_PATIENCE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPool:
    """Workers on this computer.

    Parameters
    ----------
    workers : int, optional
        Processes; one a core when absent. Never more than there are cells.
    deadline_s : float, optional
        Longest time for one cell; its worker is ended and replaced, the cell has failed.
    memory_mib : int, optional
        What one worker may allocate (not on Windows).

    Raises
    ------
    InputError
        A number that is not positive, or a memory limit where the system has none.
    """

    workers: int | None = None
    deadline_s: float | None = None
    memory_mib: int | None = None

    def __post_init__(self) -> None:
        check_limits(self.deadline_s, self.memory_mib)
        if self.workers is not None and not 1 <= self.workers <= 1024:
            raise InputError("unusable number of workers", got=str(self.workers), expected="1 to 1024")

    def crew(self, job: Job, cells: int, cancelled: Callable[[], bool]) -> Crew:  # noqa: ARG002  told by cancel()
        """Start the workers."""
        wanted = self.workers or os.cpu_count() or 1
        return LocalCrew(
            job.function, max(1, min(wanted, cells)), deadline_s=self.deadline_s, memory_mib=self.memory_mib
        )


def check_limits(deadline_s: float | None, memory_mib: int | None) -> None:
    """Refuse limits that nobody can keep.

    Raises
    ------
    InputError
    """
    if deadline_s is not None and not 0.0 < deadline_s < float("inf"):
        raise InputError("unusable deadline for a cell", got=f"{deadline_s} s", expected="a positive number of seconds")
    if memory_mib is not None and memory_mib < 64:
        raise InputError("unusable memory limit", got=f"{memory_mib} MiB", expected="64 MiB or more")
    if memory_mib is not None and sys.platform == "win32":
        raise InputError("a memory limit for workers is not available on Windows", remedy="leave it out")


class LocalCrew:
    """Supervised workers; see `protonqa.jobs.crew.Crew`.

    Parameters
    ----------
    function : str
    workers : int
    deadline_s, memory_mib : optional
        See `LocalPool`.
    idle_s : float, optional
        Workers without work end by themselves after this long.
    threads : int
        What the libraries of one worker may use.
    """

    def __init__(
        self,
        function: str,
        workers: int,
        *,
        deadline_s: float | None = None,
        memory_mib: int | None = None,
        idle_s: float | None = None,
        threads: int = 1,
    ) -> None:
        self._function, self._threads = function, threads
        self._deadline_s, self._memory_mib, self._idle_s = deadline_s, memory_mib, idle_s
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._false_starts = 0
        self._dead_since_s: dict[WorkerProcess, float] = {}
        self._workers: list[WorkerProcess] = []
        self.slots = workers
        for _ in range(workers):
            self._hire()

    def free(self) -> int:
        """Workers that are ready and have nothing to do."""
        return sum(one.ready and one.task is None for one in self._workers)

    def submit(self, task: CellTask) -> None:
        """Hand a cell to the first free worker."""
        next(one for one in self._workers if one.ready and one.task is None).give(task)

    def pending(self) -> int:
        """Cells in work."""
        return sum(one.task is not None for one in self._workers)

    def running_s(self) -> tuple[float, ...]:
        """Ages of the cells in work."""
        now = time.monotonic()
        return tuple(now - one.task_since_s for one in self._workers if one.task is not None)

    def running(self) -> tuple[RunningCell, ...]:
        """The cells in work and what they told of themselves."""
        now = time.monotonic()
        return tuple(
            RunningCell(
                cell_id=one.task.cell.cell_id, age_s=now - one.task_since_s, fraction=one.told[0], text=one.told[1]
            )
            for one in self._workers
            if one.task is not None
        )

    def wait(self, timeout_s: float) -> list[CellOutcome]:
        """Outcomes that have come in, those of hung and dead workers included.

        Raises
        ------
        PluginError
            The function cannot be imported, or workers end before they are ready.
        """
        finished: list[CellOutcome] = []
        message = self._next_message(timeout_s)
        while message is not None:
            finished += self._taken(message)
            message = self._next_message(0.0)
        now = time.monotonic()
        for worker in tuple(self._workers):
            finished += self._overdue(worker, now)
        return finished

    def cancel(self) -> None:
        """Ask the cells in work to stop."""
        for one in self._workers:
            one.cancel()

    def kill(self) -> None:
        """End all processes, from any thread; `wait` then reports their cells as lost."""
        for one in tuple(self._workers):
            one.kill()

    def close(self) -> None:
        """End everything; busy workers at once, idle ones in order."""
        workers, self._workers = self._workers, []
        for one in workers:
            one.dismiss()
        for one in workers:
            one.close()

    def _next_message(self, timeout_s: float) -> Message | None:
        if timeout_s > 0.0 and self._deadline_s is not None:
            oldest_s = max(self.running_s(), default=0.0)
            timeout_s = min(timeout_s, max(self._deadline_s - oldest_s, 0.01))
        try:
            return self._inbox.get(timeout=timeout_s) if timeout_s > 0.0 else self._inbox.get_nowait()
        except queue.Empty:
            return None

    def _taken(self, message: Message) -> list[CellOutcome]:
        worker, header = message.worker, message.header
        if worker not in self._workers:
            return []  # last words of one that was already replaced
        if header is None:
            return self._buried(worker)
        if header["kind"] == "ready":
            worker.ready = True
            self._false_starts = 0
            return []
        if header["kind"] == "unready":
            raise PluginError(header["message"])
        if header["kind"] == "progress":
            worker.told = (float(header["fraction"]), str(header["text"]))
            return []
        outcome = outcome_from(header, message.content)
        worker.task = None
        if outcome.code == MEMORY:
            self._replace(worker)  # what a starved process still holds is unknown
        return [outcome]

    def _overdue(self, worker: WorkerProcess, now_s: float) -> list[CellOutcome]:
        """What a worker has lost by hanging, or by dying without closing its pipe."""
        task = worker.task
        if worker not in self._workers:
            return []
        if task is not None and self._deadline_s is not None and now_s - worker.task_since_s >= self._deadline_s:
            message = f"the cell ran longer than its limit of {self._deadline_s:g} s and was ended"
            outcome = failed(task.position, task.cell.cell_id, DEADLINE, message, now_s - worker.task_since_s)
            self._replace(worker)
            return [outcome]
        if worker.ended():
            if now_s - self._dead_since_s.setdefault(worker, now_s) >= _PIPE_PATIENCE_S:
                return self._buried(worker)
        elif not worker.ready and now_s - worker.started_s > START_PATIENCE_S:
            worker.kill()
        return []

    def _buried(self, worker: WorkerProcess) -> list[CellOutcome]:
        """Replace a dead worker; its cell, if it had one, has failed."""
        how, task = worker.wait_ended(), worker.task
        if not worker.ready:
            self._false_starts += 1
            if self._false_starts >= MOST_FALSE_STARTS:
                raise PluginError(
                    "worker processes end before they are ready",
                    got=how or "no answer",
                    expected=f"a process that can import {self._function}",
                    remedy="run one cell in this process to see why",
                )
        self._replace(worker)
        if task is None:
            return []
        message = f"the worker process was lost: {how or 'its pipe closed'}"
        age_s = time.monotonic() - worker.task_since_s
        return [failed(task.position, task.cell.cell_id, WORKER, message, age_s)]

    def _hire(self) -> None:
        try:
            worker = WorkerProcess(
                self._function,
                self._inbox,
                memory_mib=self._memory_mib,
                idle_s=self._idle_s,
                threads=self._threads,
            )
        except OSError as error:
            self.close()
            raise DeviceError(
                "a worker process cannot be started",
                got=error.strerror or type(error).__name__,
                remedy="use fewer workers",
            ) from error
        self._workers.append(worker)

    def _replace(self, worker: WorkerProcess) -> None:
        self._workers.remove(worker)
        self._dead_since_s.pop(worker, None)
        worker.kill()
        worker.close()
        self._hire()
