"""What runs on a Dask worker: a supervised process of its own for every thread, kept from cell to cell.

A cell that hangs, dies or starves on the cluster fails as it would at home, and the Dask worker lives on.
"""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import protonqa
from protonqa.errors import Cancelled, DeviceError
from protonqa.jobs.cell import CellTask
from protonqa.jobs.local import LocalCrew
from protonqa.jobs.outcome import CellOutcome, failed, failed_by
from protonqa.jobs.table import Cell
from protonqa.jobs.wire import outcome_header

#: Files of one cell travel in one message.
MOST_FILE_BYTES = 512 * 1024 * 1024
#: A process whose job has gone away without a word ends by itself.
_IDLE_S = 600.0
_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What all cells of a run have in common; `run_id` tells runs apart."""

    run_id: str
    function: str
    program: str
    deadline_s: float | None
    memory_mib: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An outcome and the content of its files by name."""

    header: dict[str, Any]
    content: bytes
    files: dict[str, bytes]


@dataclass(slots=True, kw_only=True, eq=False)
class _Post:
    """The process of one thread of the Dask worker; `busy` is held while it computes."""

    order: Order
    crew: LocalCrew
    busy: threading.Lock = field(default_factory=threading.Lock)
    ended: bool = False


_posts: dict[int, _Post] = {}
_posts_lock = threading.Lock()


def compute(order: Order, position: int, cell_id: str, parameters_json: str) -> Answer:
    """Compute one cell in the process of this thread.

    Raises
    ------
    DeviceError
        This worker has another version of the program.
    PluginError
        The function cannot be imported here.
    Cancelled
        The job was stopped.
    """
    if order.program != protonqa.__version__:
        raise DeviceError(
            "a worker of the cluster has another version of protonqa",
            got=protonqa.__version__,
            expected=order.program,
            remedy="install the same version on all workers",
        )
    cell = Cell(cell_id=cell_id, parameters_json=parameters_json)
    try:
        with tempfile.TemporaryDirectory(prefix="protonqa-cell-", ignore_cleanup_errors=True) as work:
            task = CellTask(position=position, cell=cell, folder=Path(work) / "cell")
            return _answer(_computed(_post(order), task), task.folder)
    except OSError as error:
        # The disk of this worker, not the cluster.
        return _answer(failed_by(position, cell_id, error, 0.0), Path())


def end_crews(run_id: str) -> None:
    """End the processes that work for a run; called on every Dask worker when the run ends or is cancelled."""
    with _posts_lock:
        posts = {thread: post for thread, post in _posts.items() if post.order.run_id == run_id}
        for thread, post in posts.items():
            post.ended = True
            post.crew.kill()
            del _posts[thread]
    for post in posts.values():
        # A thread that waits for an outcome cleans up itself, now that there will be none.
        if post.busy.acquire(blocking=False):
            post.crew.close()


def _post(order: Order) -> _Post:
    """The process of this thread, started when there is none or one of another job."""
    thread = threading.get_ident()
    with _posts_lock:
        post = _posts.get(thread)
    if post is not None and post.order == order:
        return post
    if post is not None:
        post.crew.close()
    crew = LocalCrew(order.function, 1, deadline_s=order.deadline_s, memory_mib=order.memory_mib, idle_s=_IDLE_S)
    post = _Post(order=order, crew=crew)
    with _posts_lock:
        _posts[thread] = post
    return post


def _computed(post: _Post, task: CellTask) -> CellOutcome:
    with post.busy:
        try:
            _check(post)
            while not post.crew.free():
                post.crew.wait(_POLL_S)
                _check(post)
            post.crew.submit(task)
            outcomes: list[CellOutcome] = []
            while not outcomes:
                outcomes = post.crew.wait(_POLL_S)
                _check(post)
        except BaseException:
            with _posts_lock:
                if _posts.get(threading.get_ident()) is post:
                    del _posts[threading.get_ident()]
            post.crew.close()
            raise
        return outcomes[0]


def _check(post: _Post) -> None:
    if post.ended:
        raise Cancelled("the job was stopped")


def _answer(outcome: CellOutcome, folder: Path) -> Answer:
    size = sum(one.size_bytes for one in outcome.files)
    if size > MOST_FILE_BYTES:
        message = f"the files of the cell are too large for a cluster, got {size} bytes, use local workers"
        outcome = failed(outcome.position, outcome.cell_id, "PLUGIN", message, outcome.seconds)
    files = {one.name: (folder / one.name).read_bytes() for one in outcome.files}
    return Answer(header=outcome_header(outcome), content=outcome.content, files=files)
