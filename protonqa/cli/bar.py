"""A progress bar on standard error, for anything longer than two seconds."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import Any

_PATIENCE_S = 2.0


class ProgressBar:
    """Called with (done, total, text); appears after two seconds on a terminal.

    Parameters
    ----------
    wanted : bool or None
        True shows it at once, also without a terminal (then as lines of text); False never; None on a terminal.
    """

    def __init__(self, *, wanted: bool | None = None) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = self._terminal if wanted is None else wanted
        self._patience_s = _PATIENCE_S if wanted is None else 0.0
        self._lock = threading.Lock()
        self._state = (0.0, "")
        self._bar: Any = None
        self._job: Any = None
        self._last_tenth = -1
        self._timer: threading.Timer | None = None

    def __enter__(self) -> ProgressBar:
        if self._shown and self._terminal:
            self._timer = threading.Timer(self._patience_s, self._appear)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._shown = False
            if self._bar is not None:
                self._bar.stop()

    def __call__(self, done: float, total: float, text: str = "") -> None:
        """Take a step; cheap enough for every chunk of a computation."""
        fraction = min(max(done / total, 0.0), 1.0) if total > 0 else 0.0
        with self._lock:
            self._state = (fraction, text)
            if not self._shown:
                return
            if self._bar is not None:
                self._bar.update(self._job, completed=fraction, description=text)
            elif not self._terminal:
                self._line(fraction, text)

    def _line(self, fraction: float, text: str) -> None:
        tenth = int(10 * fraction)
        if tenth != self._last_tenth:
            self._last_tenth = tenth
            sys.stderr.write(f"{100 * fraction:3.0f} % {text}".rstrip() + "\n")
            sys.stderr.flush()

    def _appear(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        with self._lock:
            if not self._shown:
                return
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            fraction, text = self._state
            self._job = self._bar.add_task(text, total=1.0, completed=fraction)
            self._bar.start()
