"""The worker process: reads cells from its standard input, computes one at a time, writes outcomes back.

It ends with its parent: when the pipe closes, whatever is being computed is abandoned at once.
"""

from __future__ import annotations

import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from protonqa.errors import ProtonQAError
from protonqa.jobs.cell import CellFunction, CellTask, execute_cell, load_function
from protonqa.jobs.outcome import failure_of
from protonqa.jobs.table import Cell
from protonqa.jobs.wire import outcome_header, read_frame, write_frame

_MIB = 1024 * 1024
#: How often a cell in work is heard of, at most.
_TELL_EVERY_S = 0.2


def main() -> None:
    """Entry of the process that `protonqa.jobs.process` starts."""
    # Ctrl-C reaches the whole terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What a cell prints, or a program it starts reads, must not meet the frames.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    with suppress(BrokenPipeError):
        serve(incoming, outgoing, orphaned=_leave_at_once)


def serve(incoming: BinaryIO, outgoing: BinaryIO, *, orphaned: Callable[[], object]) -> None:
    """Answer frames until an ``end`` frame, or until nothing came for the idle time.

    Parameters
    ----------
    incoming, outgoing : binary streams
    orphaned : callable
        Called, from another thread, when `incoming` closes without an ``end``.
    """
    first = read_frame(incoming)
    if first is None:
        return
    start, _ = first
    tasks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    cancelled = threading.Event()
    threading.Thread(target=_listen, args=(incoming, tasks, cancelled, orphaned), daemon=True).start()
    try:
        function = _prepare(start)
    except ProtonQAError as error:
        code, message = failure_of(error)
        write_frame(outgoing, {"kind": "unready", "code": code, "message": message})
        return
    write_frame(outgoing, {"kind": "ready"})
    while (frame := _next(tasks, start.get("idle_s"))) is not None:
        task = CellTask(
            position=frame["position"],
            cell=Cell(cell_id=frame["id"], parameters_json=frame["parameters"]),
            folder=Path(frame["folder"]),
        )
        teller = _Teller(outgoing)
        outcome = execute_cell(function, task, cancelled.is_set, teller)
        teller.end({"kind": "outcome", **outcome_header(outcome)}, outcome.content)


class _Teller:
    """Progress frames of one cell, few a second, whatever thread they come from; none after its outcome."""

    def __init__(self, outgoing: BinaryIO) -> None:
        self._outgoing = outgoing
        self._lock = threading.Lock()
        self._next_s = 0.0

    def __call__(self, done: float, total: float, text: str) -> None:
        with self._lock:
            now_s = time.monotonic()
            if now_s < self._next_s:
                return
            self._next_s = now_s + _TELL_EVERY_S
            share = float(done) / float(total) if total > 0 else 0.0
            # A share that is no number must not travel as one.
            fraction = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
            write_frame(self._outgoing, {"kind": "progress", "fraction": fraction, "text": str(text)[:200]})

    def end(self, header: dict[str, Any], content: bytes) -> None:
        with self._lock:
            self._next_s = float("inf")
            write_frame(self._outgoing, header, content)


def _next(tasks: queue.SimpleQueue[dict[str, Any] | None], idle_s: float | None) -> dict[str, Any] | None:
    try:
        return tasks.get(timeout=idle_s)
    except queue.Empty:
        return None


def _listen(
    incoming: BinaryIO,
    tasks: queue.SimpleQueue[dict[str, Any] | None],
    cancelled: threading.Event,
    orphaned: Callable[[], object],
) -> None:
    while (frame := read_frame(incoming)) is not None:
        header, _ = frame
        if header["kind"] == "cell":
            tasks.put(header)
        elif header["kind"] == "cancel":
            cancelled.set()
        elif header["kind"] == "end":
            tasks.put(None)
            return
    cancelled.set()
    tasks.put(None)
    orphaned()


def _prepare(start: dict[str, Any]) -> CellFunction:
    if start.get("memory_mib") is not None:
        limit_memory(int(start["memory_mib"]))
    return load_function(start["function"])


def limit_memory(mib: int) -> None:
    """Cap what this process may allocate; beyond it, allocations fail instead of the computer swapping."""
    if sys.platform != "win32":
        import resource

        # Data segments and private mappings: libraries and address space that is only reserved do not count.
        kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        _, hard = resource.getrlimit(kind)
        wanted = mib * _MIB if hard == resource.RLIM_INFINITY else min(mib * _MIB, hard)
        resource.setrlimit(kind, (wanted, hard))


def _leave_at_once() -> NoReturn:
    """End this process, and on POSIX the programs it started: its group is its own."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(3)
