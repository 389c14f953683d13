"""How far a job is and how long it will take, honestly."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from protonqa.jobs.outcome import CellOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCell:
    """A cell in work: its age and what it told of itself; nothing is told by cells of a cluster."""

    cell_id: str
    age_s: float | None = None
    fraction: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """State of a running job.

    Parameters
    ----------
    total, done, failed : int
        Cells of the table, with a result, and failed ones; those of earlier runs included.
    running : int
        Cells in work.
    elapsed_s : float
        Since this run began.
    remaining_s : float or None
        Estimate; None as long as nothing is known.
    latest : CellOutcome or None
        The cell that was just committed; None between commits.
    cells : tuple of RunningCell
        The cells in work.
    """

    total: int
    done: int
    failed: int
    running: int
    elapsed_s: float
    remaining_s: float | None
    latest: CellOutcome | None = None
    cells: tuple[RunningCell, ...] = ()

    @property
    def finished(self) -> int:
        """Cells that need no more work in this run."""
        return self.done + self.failed

    def text(self) -> str:
        """One line for people."""
        parts = [f"{self.finished} of {self.total} cells"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.remaining_s is not None and self.finished < self.total:
            parts.append(f"about {duration_text(self.remaining_s)} left")
        return ", ".join(parts)


def duration_text(seconds: float) -> str:
    """A duration with the precision that an estimate deserves."""
    if seconds < 90.0:
        return f"{max(round(seconds), 1)} s"
    minutes = seconds / 60.0
    if minutes < 90.0:
        return f"{round(minutes)} min"
    return f"{minutes / 60.0:.1f} h"


class Pace:
    """Durations of the cells of this run, kept sorted for their median."""

    def __init__(self) -> None:
        self._durations_s: list[float] = []

    def add(self, seconds: float) -> None:
        """A cell has finished."""
        bisect.insort(self._durations_s, seconds)

    def median_s(self, running_s: Sequence[float] = ()) -> float | None:
        """Median duration; None before the first cell has finished.

        Short cells finish first. A running cell that already took longer than the median counts with its age, so
        that the estimate does not praise itself at the beginning.
        """
        if not self._durations_s:
            return None
        ordered, n = self._durations_s, len(self._durations_s)
        plain = _middle(ordered, n)
        late = [age for age in running_s if age > plain]
        # Late ones only move the middle upwards, by fewer places than there are late ones.
        first = max(n // 2 - 1, 0)
        window = sorted((*ordered[first : n // 2 + len(late) + 2], *late))
        return _middle(window, n + len(late), first)

    def remaining_s(self, waiting: int, running_s: Sequence[float], running: int, slots: int) -> float | None:
        """Time until the last cell, when every cell takes the median.

        Parameters
        ----------
        waiting : int
            Cells not started.
        running_s : sequence of float
            Ages of those in work, where known.
        running : int
            How many are in work.
        slots : int
            How many can be in work at once.
        """
        median = self.median_s(running_s)
        if median is None:
            return None
        begun = sum(max(median - age, 0.0) for age in running_s) + median * (running - len(running_s))
        work_s = median * waiting + begun
        # The last cell needs its whole time, however many workers stand by.
        longest = median if waiting else max((median - age for age in running_s), default=median if running else 0.0)
        return max(work_s / max(slots, 1), longest, 0.0)


def _middle(ordered: Sequence[float], n: int, first: int = 0) -> float:
    """Median of `n` sorted numbers, of which `ordered` holds those from place `first` to beyond the middle."""
    half = n // 2 - first
    return ordered[half] if n % 2 else 0.5 * (ordered[half - 1] + ordered[half])
