"""What the runner needs of whoever computes the cells: a local pool, this process, or a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from protonqa.jobs.cell import CellTask, execute_cell, load_function
from protonqa.jobs.outcome import CellOutcome
from protonqa.jobs.progress import RunningCell
from protonqa.jobs.table import Job


class Crew(Protocol):
    """Workers at work on one job."""

    @property
    def slots(self) -> int:
        """Cells that are computed at once, at least 1."""
        ...

    def free(self) -> int:
        """How many cells may be submitted now."""
        ...

    def submit(self, task: CellTask) -> None:
        """Hand over a cell; only while `free` is above 0."""
        ...

    def wait(self, timeout_s: float) -> list[CellOutcome]:
        """Outcomes that have come in; waits for the first, not longer than `timeout_s`.

        Raises
        ------
        ProtonQAError
            No worker can work: the job stops.
        """
        ...

    def running_s(self) -> tuple[float, ...]:
        """For how long the cells in work have been running, as far as it is known."""
        ...

    def running(self) -> tuple[RunningCell, ...]:
        """The cells in work."""
        ...

    def pending(self) -> int:
        """Cells submitted and not yet returned by `wait`."""
        ...

    def cancel(self) -> None:
        """Ask the cells in work to stop at their next look."""
        ...

    def close(self) -> None:
        """End everything that still runs, at once."""
        ...


class Backend(Protocol):
    """Where a job runs; a frozen value that can be passed about before anything is started."""

    def crew(self, job: Job, cells: int, cancelled: Callable[[], bool]) -> Crew:
        """Start workers for a job of which `cells` cells are missing.

        Raises
        ------
        ProtonQAError
            There is nobody to work: function, memory limit or cluster cannot be used.
        """
        ...


class InProcess:
    """Compute the cells one after another in this process: for debugging, and for cells of next to no work.

    Nothing protects the program from a cell that hangs or ends the process. The results are those of any other
    backend as far as the cell function does not depend on the number of threads of its libraries.
    """

    def crew(self, job: Job, cells: int, cancelled: Callable[[], bool]) -> Crew:  # noqa: ARG002  one cell at a time
        """Import the function; starts nothing."""
        return _InProcessCrew(job, cancelled)


class _InProcessCrew:
    def __init__(self, job: Job, cancelled: Callable[[], bool]) -> None:
        self._function = load_function(job.function)
        self._cancelled = cancelled
        self._task: CellTask | None = None

    @property
    def slots(self) -> int:
        return 1

    def free(self) -> int:
        return 0 if self._task else 1

    def submit(self, task: CellTask) -> None:
        self._task = task

    def wait(self, timeout_s: float) -> list[CellOutcome]:  # noqa: ARG002  the cell takes what it takes
        if self._task is None:
            return []
        task, self._task = self._task, None
        return [execute_cell(self._function, task, self._cancelled)]

    def running_s(self) -> tuple[float, ...]:
        return ()

    def running(self) -> tuple[RunningCell, ...]:
        return (RunningCell(cell_id=self._task.cell.cell_id),) if self._task else ()

    def pending(self) -> int:
        return 1 if self._task else 0

    def cancel(self) -> None:
        """Drop a cell that has not begun; one that has looks by itself."""
        self._task = None

    def close(self) -> None:
        self._task = None
