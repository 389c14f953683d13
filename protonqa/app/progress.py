"""Progress and cancelling, the same for the command line, the window and a batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from protonqa.errors import Cancelled

#: Gets (done, total, text).
Progress = Callable[[float, float, str], None]
Cancel = Callable[[], bool]


class CancelToken:
    """A switch that one thread throws and a computation reads; calling it answers whether it was thrown."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> bool:
        return self._event.is_set()

    def cancel(self) -> None:
        """Ask the computation to stop at its next progress step."""
        self._event.set()


def report_progress(
    progress: Progress | None, cancel: Cancel | None, done: float, total: float, text: str = ""
) -> None:
    """Tell how far the work is, or stop it.

    Raises
    ------
    Cancelled
        The user has stopped it.
    """
    if cancel is not None and cancel():
        raise Cancelled("the run was cancelled", remedy="nothing was marked as done; start it again")
    if progress is not None:
        progress(done, total, text)


def stages(progress: Progress | None, weights: Sequence[float]) -> list[Progress]:
    """One callback per stage of a job; together they fill one bar from 0 to 1.

    Parameters
    ----------
    progress : callable or None
    weights : sequence of float
        Expected duration of each stage, in any unit.
    """
    whole = float(sum(weights)) or 1.0
    return [
        _stage(progress, sum(weights[:index]) / whole, weight / whole)
        for index, weight in enumerate(map(float, weights))
    ]


def _stage(progress: Progress | None, start: float, share: float) -> Progress:
    def part(done: float, total: float, text: str = "") -> None:
        if progress is not None:
            fraction = min(max(done / total, 0.0), 1.0) if total > 0 else 0.0
            progress(start + share * fraction, 1.0, text)

    return part
