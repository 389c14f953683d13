"""Computing one cell, the same way in a worker process, in this process and on a cluster."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protonqa.durable import store_error
from protonqa.errors import Cancelled, InputError, PluginError, ProtonQAError
from protonqa.jobs.artefacts import finished_files
from protonqa.jobs.canonical import canonical_json
from protonqa.jobs.outcome import CellOutcome, CellState, failed_by
from protonqa.jobs.table import Cell

#: Gets (done, total, text) of a cell in work.
ProgressTeller = Callable[[float, float, str], None]
#: Largest result that is kept in the journal; more belongs into a file.
MOST_RESULT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CellContext:
    """What a cell function gets besides its parameters.

    Parameters
    ----------
    cell_id : str
    work_folder : Path
        Where `folder` is made on first use.
    threads : int
        Threads the cell may use; results must not depend on it.
    cancelled : callable
        True once the user has stopped the job.
    on_progress : callable or None
        Gets (done, total, text); what it is told appears beside the cell as long as it runs, and nowhere else.
    """

    cell_id: str
    work_folder: Path
    threads: int = 1
    cancelled: Callable[[], bool] = lambda: False
    on_progress: ProgressTeller | None = None

    @property
    def folder(self) -> Path:
        """A private, empty folder; what is in it when the function returns becomes the cell's folder, whole."""
        try:
            self.work_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise store_error("folder of a cell", "make the folder", error) from error
        return self.work_folder

    def check_cancelled(self) -> None:
        """Raise Cancelled once the user has stopped the job; long cells call it now and then."""
        if self.cancelled():
            raise Cancelled("the job was cancelled")

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Tell how far the cell is; also a point where it stops once the job was cancelled."""
        self.check_cancelled()
        if self.on_progress is not None:
            self.on_progress(done, total, text)


CellFunction = Callable[[dict[str, Any], CellContext], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTask:
    """A cell on its way to a worker: its row in the table and where it may write."""

    position: int
    cell: Cell
    folder: Path


def load_function(name: str) -> CellFunction:
    """Import the cell function ``package.module:function``.

    Raises
    ------
    PluginError
        The module cannot be imported here, or has no such function.
    """
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name, None)
    except ProtonQAError:
        raise
    except (Exception, SystemExit) as error:
        missing = f" of {error.name}" if isinstance(error, ImportError) and error.name else ""
        raise PluginError(
            "the cell function cannot be imported",
            got=f"{type(error).__name__}{missing}",
            expected=f"{name} importable in every worker",
            remedy="install its package",
        ) from error
    if not callable(function):
        raise PluginError("the cell function is not there", expected=f"a function {function_name} in {module_name}")
    loaded: CellFunction = function
    return loaded


def execute_cell(
    function: CellFunction,
    task: CellTask,
    cancelled: Callable[[], bool] = lambda: False,
    progress: ProgressTeller | None = None,
) -> CellOutcome:
    """Compute one cell; whatever its function does short of ending the process, an outcome comes back."""
    context = CellContext(cell_id=task.cell.cell_id, work_folder=task.folder, cancelled=cancelled, on_progress=progress)
    started = time.perf_counter()
    try:
        content, is_json = _encoded(function(task.cell.parameters, context), task.folder)
        files = finished_files(task.folder)
    except (Exception, SystemExit) as error:
        return failed_by(task.position, task.cell.cell_id, error, time.perf_counter() - started)
    return CellOutcome(
        position=task.position,
        cell_id=task.cell.cell_id,
        state=CellState.DONE,
        content=content,
        is_json=is_json,
        files=files,
        seconds=time.perf_counter() - started,
    )


def _encoded(value: object, folder: Path) -> tuple[bytes, bool]:
    """What the function returned, as bytes, and whether they are JSON; paths become names below the folder."""
    is_json = not isinstance(value, bytes | bytearray)
    content = bytes(value) if isinstance(value, bytes | bytearray) else _json_bytes(_with_names(value, folder))
    if len(content) > MOST_RESULT_BYTES:
        raise PluginError(
            "the result of the cell is too large for the journal",
            got=f"{len(content)} bytes",
            expected=f"at most {MOST_RESULT_BYTES}",
            remedy="write it as a file into context.folder",
        )
    return content, is_json


def _json_bytes(value: object) -> bytes:
    try:
        return canonical_json(value, what="the result of the cell").encode("ascii")
    except InputError as error:
        # The user's input is not to blame.
        raise PluginError(error.what, got=error.got, expected=error.expected) from error


def _with_names(value: object, folder: Path) -> object:
    if isinstance(value, Path):
        return _name_below(value, folder)
    if isinstance(value, list | tuple) and any(isinstance(one, Path) for one in value):
        return [_name_below(one, folder) if isinstance(one, Path) else one for one in value]
    return value


def _name_below(path: Path, folder: Path) -> str:
    if not path.is_relative_to(folder) or not path.exists():
        raise PluginError(
            "the cell returned a path that is not one of its files", expected="a file below context.folder"
        )
    return path.relative_to(folder).as_posix()
