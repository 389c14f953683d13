"""Worker processes, seen from the window: jobs in a queue, signals back, and no way for a worker to take it down."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from protonqa.jobs.cell import CellTask
from protonqa.jobs.process import Message, WorkerProcess
from protonqa.jobs.table import Cell
from protonqa.jobs.wire import outcome_from

FUNCTION = "protonqa_gui.tasks:compute"
#: A job that was cancelled and does not stop by itself is ended after this long.
CANCEL_PATIENCE_MS = 4000
#: How often processes that were ended are looked after.
_REAP_MS = 200
#: Below this share done an estimate of the time left would be a guess.
_LEAST_SHARE = 0.03


class Job(QObject):
    """A piece of work on its way through a worker. Exactly one of done, failed and cancelled comes at its end."""

    told = Signal(float, str)
    done = Signal(object)
    failed = Signal(str, str)
    cancelled = Signal()

    def __init__(self, task: str, parameters: dict[str, Any], title: str, parent: QObject) -> None:
        super().__init__(parent)
        self.task, self.parameters, self.title = task, parameters, title
        self.since_s = 0.0
        self.share, self.text = 0.0, ""

    def left_s(self) -> float | None:
        """Time left in seconds, by what was done so far; None while that says too little."""
        if self.share < _LEAST_SHARE or not self.since_s:
            return None
        return (time.monotonic() - self.since_s) * (1.0 - self.share) / self.share


class _Inbox(QObject):
    """Takes the messages of a worker's reading thread into the thread of the window."""

    arrived = Signal(object)

    def put(self, message: Message) -> None:
        self.arrived.emit(message)


class Worker(QObject):
    """One worker process and the jobs that wait for it. It is spawned when first needed, and again after a crash."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None, *, threads: int = 1, function: str = FUNCTION) -> None:
        super().__init__(parent)
        self._function = function
        self._threads = threads
        self._numbers = itertools.count()
        self._process: WorkerProcess | None = None
        self._inbox = _Inbox(self)
        self._inbox.arrived.connect(self._on_message)
        self._queue: deque[Job] = deque()
        self._stopping = False
        self._old: list[WorkerProcess] = []
        self.job: Job | None = None

    @property
    def busy(self) -> bool:
        """True while a job is in work."""
        return self.job is not None

    @property
    def occupied(self) -> bool:
        """True while work is done that the user asked for; the window's own small questions have no title."""
        return self.job is not None and bool(self.job.title)

    @property
    def pid(self) -> int | None:
        """Process number of the worker, None while there is none."""
        return None if self._process is None else self._process.pid

    def warm_up(self) -> None:
        """Spawn the process now, so that the first job does not wait for its start."""
        if self._process is None:
            # The process only calls the inbox's `put`, from its reading thread.
            self._process = WorkerProcess(self._function, self._inbox, threads=self._threads)  # type: ignore[arg-type]

    def submit(self, task: str, parameters: dict[str, Any], title: str = "") -> Job:
        """Put a job at the end of the queue."""
        job = Job(task, parameters, title, self)
        self._queue.append(job)
        self._next()
        return job

    def cancel(self) -> None:
        """Ask the job in work to stop; if it does not, end its process."""
        job, process = self.job, self._process
        if job is None or process is None or self._stopping:
            return
        self._stopping = True
        process.cancel()
        QTimer.singleShot(CANCEL_PATIENCE_MS, lambda: self._end_cancelled(job))
        self.changed.emit()

    def close(self) -> None:
        """End the process and wait for its end; nothing is left behind."""
        self._queue.clear()
        self.job = None
        process, self._process = self._process, None
        for one in [*self._old, *([] if process is None else [process])]:
            one.kill()
            one.close()
        self._old.clear()

    def _next(self) -> None:
        if self.job is not None or not self._queue:
            return
        self.warm_up()
        job = self._queue.popleft()
        self.job = job
        job.since_s = time.monotonic()
        cell = Cell(
            cell_id=f"{job.task}-{next(self._numbers)}",
            parameters_json=json.dumps({"task": job.task, **job.parameters}),
        )
        # Tasks write where they are told to; the folder of the cell stays empty and unmade.
        folder = Path(tempfile.gettempdir()) / f"protonqa-window-{id(job):x}-unused"
        if self._process is not None:
            self._process.give(CellTask(position=0, cell=cell, folder=folder))
        self.changed.emit()

    def _on_message(self, message: Message) -> None:
        if message.worker is not self._process:
            return
        header = message.header
        if header is None:
            self._on_end()
        elif header["kind"] == "progress" and self.job is not None:
            self.job.share, self.job.text = float(header["fraction"]), str(header["text"])
            self.job.told.emit(self.job.share, self.job.text)
            self.changed.emit()
        elif header["kind"] == "unready":
            self._finish("failed", header["code"], header["message"])
        elif header["kind"] == "outcome":
            outcome = outcome_from(header, message.content)
            if outcome.done:
                self._finish("done", outcome.value())
            elif outcome.code == "CANCELLED":
                self._finish("cancelled")
            else:
                self._finish("failed", outcome.code, outcome.message)

    def _on_end(self) -> None:
        """The process has gone: by a crash, for lack of memory, or ended from outside."""
        process = self._process
        self._process = None
        if process is None:
            return
        how = process.wait_ended() or "it closed its pipe"
        self._bury(process)
        if self._stopping:
            self._finish("cancelled")
        elif self.job is not None:
            text = f"the worker process stopped in the middle of the work: {how}; nothing was marked as done"
            self._finish("failed", "WORKER", text)

    def _end_cancelled(self, job: Job) -> None:
        if self.job is job and self._process is not None:
            self._process.kill()

    def _bury(self, process: WorkerProcess) -> None:
        """End a process without waiting for it here; it is taken off the list when it has gone."""
        process.kill()
        self._old.append(process)
        QTimer.singleShot(_REAP_MS, self._reap)

    def _reap(self) -> None:
        gone = [one for one in self._old if one.ended()]
        self._old = [one for one in self._old if one not in gone]
        for one in gone:
            one.close()
        if self._old:
            QTimer.singleShot(_REAP_MS, self._reap)

    def _finish(self, how: str, *values: Any) -> None:
        job, self.job = self.job, None
        if self._stopping:
            # A worker that was told to cancel cancels for ever: the next job gets a new one.
            self._stopping = False
            if self._process is not None:
                process, self._process = self._process, None
                self._bury(process)
        if job is not None:
            getattr(job, how).emit(*values)
            job.deleteLater()
        self.changed.emit()
        self._next()
