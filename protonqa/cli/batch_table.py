"""The live table of a batch on a terminal; without one, a line a case on standard error."""

from __future__ import annotations

import sys
import threading
from collections import Counter, deque
from types import TracebackType
from typing import TYPE_CHECKING, Any

from protonqa.jobs.progress import duration_text

if TYPE_CHECKING:
    from protonqa.jobs.outcome import CellOutcome
    from protonqa.jobs.progress import JobProgress

_MOST_RUNNING, _MOST_LATEST = 8, 6
_STYLES = {"PASS": "green", "FAIL": "red", "NOT EVALUABLE": "yellow", "ERROR": "bold red"}


class LiveTable:
    """Called with the progress of the job; shows the cases in work, the last finished ones, counts and time left.

    Parameters
    ----------
    wanted : bool or None
        True shows it also without a terminal, as lines; False never; None on a terminal.
    """

    def __init__(self, *, wanted: bool | None = None) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = self._terminal if wanted is None else wanted
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._latest: deque[tuple[str, str, float]] = deque(maxlen=_MOST_LATEST)
        self._live: Any = None

    def __enter__(self) -> LiveTable:
        if self._shown and self._terminal:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, now: JobProgress) -> None:
        """Take news of the job."""
        with self._lock:
            if now.latest is not None:
                state = state_of(now.latest)
                self._counts[state] += 1
                self._latest.append((now.latest.cell_id, state, now.latest.seconds))
            if self._live is not None:
                self._live.update(self._table(now), refresh=True)
            elif self._shown and now.latest is not None:
                sys.stderr.write(f"{now.finished} of {now.total}  {state_of(now.latest)}  {now.latest.cell_id}\n")
                sys.stderr.flush()

    def _table(self, now: JobProgress) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=self._title(now), title_justify="left", expand=False)
        for column in ("case", "state", "time", ""):
            table.add_column(column)
        for name, state, seconds in self._latest:
            table.add_row(Text(name), Text(state, style=_STYLES.get(state, "")), duration(seconds), "")
        for one in now.cells[:_MOST_RUNNING]:
            share = f"{100.0 * one.fraction:3.0f} %" if one.fraction > 0.0 else "running"
            age = "" if one.age_s is None else duration(one.age_s)
            table.add_row(Text(one.cell_id), share, age, Text(one.text))
        return table

    def _title(self, now: JobProgress) -> str:
        parts = [f"{now.finished} of {now.total} cases"]
        parts += [f"{count} {state}" for state, count in sorted(self._counts.items())]
        if now.remaining_s is not None and now.finished < now.total:
            parts.append(f"about {duration_text(now.remaining_s)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """``0.3 s`` below ten seconds, then as an estimate is told."""
    return f"{seconds:.1f} s" if seconds < 10.0 else duration_text(seconds)


def state_of(outcome: CellOutcome) -> str:
    """State of the case that an outcome tells of; a lost worker is an ERROR."""
    value = outcome.value() if outcome.done else None
    return str(value["state"]) if isinstance(value, dict) and "state" in value else "ERROR"
