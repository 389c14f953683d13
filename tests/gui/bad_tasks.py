"""Tasks that end in every way a worker can end; run in worker processes by the tests of the window."""

from __future__ import annotations

import errno
import os
import time
from typing import Any

from protonqa.jobs.cell import CellContext


def compute(given: dict[str, Any], context: CellContext) -> object:
    return _TASKS[given["task"]](context)


def _steps(context: CellContext) -> object:
    for step in range(2000):
        context.progress(step, 2000, "step")
        time.sleep(0.02)
    return "all steps"


def _hang(context: CellContext) -> object:
    context.progress(1, 10, "hanging")
    time.sleep(600)
    return None


def _die(context: CellContext) -> object:
    os._exit(7)


def _memory(context: CellContext) -> object:
    raise MemoryError


def _disk(context: CellContext) -> object:
    raise OSError(errno.ENOSPC, "No space left on device")


def _fine(context: CellContext) -> object:
    return {"pid": os.getpid()}


def _run(context: CellContext) -> object:
    """What a full disk does to a run."""
    context.progress(1, 2, "writing the result")
    return _disk(context)


_TASKS = {"run": _run, "steps": _steps, "hang": _hang, "die": _die, "memory": _memory, "disk": _disk, "fine": _fine}
