"""A worker process, seen from the process that started it."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, cast

from protonqa.jobs.cell import CellTask
from protonqa.jobs.wire import read_frame, write_frame

#: How every library is told its number of threads. Set and dict orders are the same in all workers, too.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_END_PATIENCE_S = 2.0
#: Windows would open a console for each worker of a program that has none.
_NO_WINDOW = 0x08000000 if sys.platform == "win32" else 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """What a worker said; no header means that its pipe has closed."""

    worker: WorkerProcess
    header: dict[str, Any] | None
    content: bytes = b""


class WorkerProcess:
    """A spawned Python that computes cells of one function.

    Parameters
    ----------
    function : str
        ``package.module:function``.
    inbox : queue
        Where its messages go, from a thread of their own.
    memory_mib : int, optional
        What it may allocate.
    idle_s : float, optional
        It ends by itself after this long without a cell.
    threads : int
        What its libraries may use; several workers share the cores among them.
    """

    def __init__(
        self,
        function: str,
        inbox: queue.SimpleQueue[Message],
        *,
        memory_mib: int | None = None,
        idle_s: float | None = None,
        threads: int = 1,
    ) -> None:
        self.task: CellTask | None = None
        self.task_since_s = 0.0
        self.ready = False
        #: Share done and text of the cell in work, as it last told them.
        self.told: tuple[float, str] = (0.0, "")
        self.started_s = time.monotonic()
        self._inbox = inbox
        self._process = _spawn(threads)
        self._send_lock = threading.Lock()
        self._reader = threading.Thread(target=self._listen, name="protonqa-worker-pipe", daemon=True)
        self._reader.start()
        self._send({"kind": "start", "function": function, "memory_mib": memory_mib, "idle_s": idle_s})

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def give(self, task: CellTask) -> None:
        """Hand over a cell; a worker that has just died says so through the inbox."""
        self.task, self.task_since_s, self.told = task, time.monotonic(), (0.0, "")
        self._send(
            {
                "kind": "cell",
                "position": task.position,
                "id": task.cell.cell_id,
                "parameters": task.cell.parameters_json,
                "folder": str(task.folder),
            }
        )

    def cancel(self) -> None:
        """Ask the running cell to stop at its next look."""
        self._send({"kind": "cancel"})

    def ended(self) -> str:
        """How the process ended, in words; empty while it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        if code >= 0:
            return f"it exited with code {code}"
        name = signal.Signals(-code).name if -code in {one.value for one in signal.Signals} else f"signal {-code}"
        return f"it was ended by {name}" + (", often a sign of too little memory" if name == "SIGKILL" else "")

    def kill(self) -> None:
        """End the process, and on POSIX the programs it started, at once."""
        if sys.platform == "win32":
            self._process.kill()
        elif self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def wait_ended(self, timeout_s: float = _END_PATIENCE_S) -> str:
        """As `ended`, after waiting for it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self.ended()

    def dismiss(self) -> None:
        """Let an idle worker go in order, end a busy one at once; returns before it has gone."""
        if self.task is None and self.ready:
            self._send({"kind": "end"})
        else:
            self.kill()

    def close(self) -> None:
        """Wait a moment for a dismissed worker, end one that stays, and close the pipes."""
        self.wait_ended()
        self.kill()
        self.wait_ended()
        self._reader.join(_END_PATIENCE_S)
        for stream in (self._process.stdin, self._process.stdout):
            # A grandchild that kept the pipe keeps the reading thread; its stream is left to the end of the program.
            if stream is not None and (stream is self._process.stdin or not self._reader.is_alive()):
                with suppress(OSError):
                    stream.close()

    def _send(self, header: Mapping[str, Any]) -> None:
        # A closed pipe is no error here: the reading thread reports the end of the worker.
        with self._send_lock, suppress(OSError, ValueError):
            write_frame(cast(IO[bytes], self._process.stdin), dict(header))  # type: ignore[arg-type]

    def _listen(self) -> None:
        stream = cast(IO[bytes], self._process.stdout)
        try:
            with suppress(OSError, ValueError):
                while (frame := read_frame(stream)) is not None:  # type: ignore[arg-type]
                    self._inbox.put(Message(worker=self, header=frame[0], content=frame[1]))
        finally:
            # Also when this process has no memory for a frame: a silent end would keep the cell in work for ever.
            self._inbox.put(Message(worker=self, header=None))


def _spawn(threads: int) -> subprocess.Popen[bytes]:
    """A new Python with the import path of this one, in a process group of its own."""
    path = [os.path.abspath(one) for one in sys.path]  # noqa: PTH100  an empty entry is the current folder
    code = f"import sys; sys.path[:] = {path!r}; from protonqa.jobs.worker import main; main()"
    return subprocess.Popen(  # noqa: S603  our own interpreter, our own code
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A program without a console has no standard error to inherit.
        stderr=None if sys.stderr is not None else subprocess.DEVNULL,
        env={**os.environ, **dict.fromkeys(_THREADS, str(threads)), "PYTHONHASHSEED": "0"},
        start_new_session=True,
        creationflags=_NO_WINDOW,
    )
