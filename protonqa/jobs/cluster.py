"""A Dask cluster as the backend: the same cells, the same supervised workers, somewhere else.

Every Dask worker computes in a process of its own (`protonqa.jobs.cluster_task`), and files of a cell travel back with
its outcome, so no shared disk is needed. Dask pickles on the wire, and a pickle from a stranger is a program: only
loopback addresses and TLS are accepted.
"""

from __future__ import annotations

import asyncio
import ipaddress
import queue
import re
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import protonqa
from protonqa.durable import store_error
from protonqa.errors import DeviceError, InputError, ProtonQAError
from protonqa.jobs import cluster_task
from protonqa.jobs.cell import CellTask
from protonqa.jobs.cluster_client import connected
from protonqa.jobs.crew import Crew
from protonqa.jobs.local import check_limits
from protonqa.jobs.outcome import WORKER, CellOutcome, failed
from protonqa.jobs.progress import RunningCell
from protonqa.jobs.table import Job
from protonqa.jobs.wire import outcome_from

#: Cells sent ahead per thread of the cluster, so that no worker waits for this process.
_AHEAD = 2
_CENSUS_S = 5.0
_CENSUS_PATIENCE_S = 3.0
_ADDRESS = re.compile(r"(?P<scheme>tcp|tls)://(?P<host>\[[0-9a-fA-F:.]+\]|[^:/\[\]]+):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaskCluster:
    """Workers of a Dask scheduler that is already running.

    Parameters
    ----------
    address : str
        ``tls://host:port``, or ``tcp://127.0.0.1:port`` on this computer.
    deadline_s, memory_mib : optional
        See `protonqa.jobs.local.LocalPool`.
    connect_s : float
        How long to wait for the scheduler, and for its first worker.
    tls_ca, tls_cert, tls_key : Path, optional
        Certificates; where absent, those of Dask's own configuration.

    Raises
    ------
    InputError
        An address of another form, or one that would send pickles over a network in clear text.
    """

    address: str
    deadline_s: float | None = None
    memory_mib: int | None = None
    connect_s: float = 15.0
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        check_limits(self.deadline_s, self.memory_mib)
        check_address(self.address)
        for one in (self.tls_ca, self.tls_cert, self.tls_key):
            if one is not None and not one.is_file():
                raise InputError("a TLS file of the cluster is not there", expected="certificate, key and authority")
        if not 0.0 < self.connect_s <= 3600.0:
            raise InputError("unusable time to connect", got=f"{self.connect_s} s", expected="up to 3600 s")

    def crew(self, job: Job, cells: int, cancelled: Callable[[], bool]) -> Crew:  # noqa: ARG002  told by cancel()
        """Connect.

        Raises
        ------
        DeviceError
            dask.distributed is not installed, or the scheduler or its workers don't answer in time.
        InputError
            A worker that would be reached over a network in clear text.
        """
        return DaskCrew(job, self)


def check_address(address: str) -> None:
    """Refuse addresses that are not loopback or TLS.

    Raises
    ------
    InputError
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise InputError(
            "the address of the scheduler cannot be used",
            got=repr(address[:80]),
            expected="tls://host:port, or tcp://127.0.0.1:port on this computer",
        )
    if found["scheme"] == "tcp" and not _is_loopback(found["host"]):
        raise InputError(
            "a scheduler on another computer needs TLS",
            got="a tcp:// address",
            expected="tls://host:port",
            remedy="start scheduler and workers with --tls-ca-file, --tls-cert and --tls-key",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class DaskCrew:
    """Cells on a cluster; see `protonqa.jobs.crew.Crew`."""

    def __init__(self, job: Job, settings: DaskCluster) -> None:
        self._settings = settings
        self._order = cluster_task.Order(
            run_id=secrets.token_hex(8),
            function=job.function,
            program=protonqa.__version__,
            deadline_s=settings.deadline_s,
            memory_mib=settings.memory_mib,
        )
        self._inbox: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._sent: dict[str, tuple[CellTask, Any]] = {}
        self._counted_s = 0.0
        self._gone = False
        self.slots = 1
        self._open = ExitStack()
        with ExitStack() as stack:
            files = {"tls_ca_file": settings.tls_ca, "tls_client_cert": settings.tls_cert}
            files["tls_client_key"] = settings.tls_key
            given = {name: path for name, path in files.items() if path is not None}
            self._client = stack.enter_context(connected(settings.address, settings.connect_s, given))
            self._count(wait=True)
            self._open = stack.pop_all()

    def free(self) -> int:
        """Room for cells, some ahead of every thread."""
        if time.monotonic() - self._counted_s > _CENSUS_S:
            self._count()
        return max(_AHEAD * self.slots - len(self._sent), 0)

    def submit(self, task: CellTask) -> None:
        """Send a cell."""
        key = f"protonqa-{self._order.run_id}-{task.position}"
        future = self._client.submit(
            cluster_task.compute,
            self._order,
            task.position,
            task.cell.cell_id,
            task.cell.parameters_json,
            key=key,
            pure=False,
            retries=0,
        )
        self._sent[key] = (task, future)
        future.add_done_callback(lambda done: self._inbox.put(done.key))

    def pending(self) -> int:
        """Cells sent and not back."""
        return len(self._sent)

    def running_s(self) -> tuple[float, ...]:
        """Unknown: only the scheduler knows which of the cells sent have begun."""
        return ()

    def running(self) -> tuple[RunningCell, ...]:
        """The cells sent; which of them have begun only the scheduler knows."""
        return tuple(RunningCell(cell_id=task.cell.cell_id) for task, _ in self._sent.values())

    def wait(self, timeout_s: float) -> list[CellOutcome]:
        """Outcomes that have come in.

        Raises
        ------
        DeviceError
            The scheduler is lost, or the cluster cannot run our cells.
        PluginError
            The cell function cannot be imported there.
        StoreError
            Files of a cell cannot be written here.
        """
        keys: list[str] = []
        try:
            keys.append(self._inbox.get(timeout=timeout_s))
            while True:
                keys.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        if not keys and self._sent and self._client.status != "running":
            # A client that connects again has already given up its cells.
            raise self._loss()
        return [self._outcome(*self._sent.pop(key)) for key in keys if key in self._sent]

    def cancel(self) -> None:
        """Take back what waits and end what runs: a cell on a cluster is not asked."""
        futures = [future for _, future in self._sent.values()]
        if self._reachable():
            with suppress(OSError, RuntimeError, TimeoutError):
                self._client.cancel(futures, force=True)
        self._sent.clear()
        self._end_processes()

    def close(self) -> None:
        """End our processes on the cluster and leave it."""
        if self._sent:
            self.cancel()
        else:
            self._end_processes()
        self._open.close()

    def _end_processes(self) -> None:
        if self._reachable():
            # A worker that is just leaving cannot answer, and need not.
            with suppress(OSError, RuntimeError, TimeoutError):
                self._client.run(cluster_task.end_crews, self._order.run_id, on_error="ignore")

    def _reachable(self) -> bool:
        return not self._gone and self._client.status == "running"

    def _loss(self) -> DeviceError:
        self._gone = True
        return DeviceError(
            "the connection to the scheduler was lost", remedy="finished cells are kept; run again when it is back"
        )

    def _outcome(self, task: CellTask, future: Any) -> CellOutcome:
        patience_s = self._settings.connect_s + 60.0
        try:
            if future.status == "error":
                return _failed_there(task, future.exception(timeout=patience_s))
            answer: cluster_task.Answer = future.result(timeout=patience_s)
        except (OSError, CancelledError, asyncio.CancelledError) as error:
            raise self._loss() from error
        _write_files(task.folder, answer.files)
        return outcome_from(answer.header, answer.content)

    def _count(self, *, wait: bool = False) -> None:
        """Count the threads of the cluster, and look at how its workers are reached."""
        if wait:
            try:
                self._client.wait_for_workers(1, timeout=self._settings.connect_s)
            except TimeoutError as error:
                raise DeviceError("the scheduler has no workers", remedy="start workers, then run again") from error
        self._counted_s = time.monotonic()
        if not wait and not self._reachable():
            return
        patience_s = self._settings.connect_s if wait else _CENSUS_PATIENCE_S
        try:
            # As Client.nthreads, which would wait for as long as it takes.
            threads: Mapping[str, int] = self._client.sync(self._client.scheduler.ncores, callback_timeout=patience_s)
        except (OSError, CancelledError, asyncio.CancelledError) as error:
            if wait:
                raise self._loss() from error
            return  # the old count serves; a lost scheduler shows in `wait`
        for address in threads:
            check_address(address)
        self.slots = max(sum(threads.values()), 1)


def _failed_there(task: CellTask, error: BaseException) -> CellOutcome:
    """What an exception on a worker means, outside the cell's own process: mostly that no cell can be computed."""
    if type(error).__name__ == "KilledWorker":
        message = "the cluster's worker was lost again and again while computing the cell"
        return failed(task.position, task.cell.cell_id, WORKER, message)
    if isinstance(error, ProtonQAError):
        raise error
    raise DeviceError(
        "the cluster cannot compute the cells",
        got=type(error).__name__,
        expected=f"workers with protonqa {protonqa.__version__} and the packages of the cell function",
    ) from error


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put the files of a cell where a local worker would have written them, on the disk."""
    if not files:
        return
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise store_error("folder of a cell", "write", error) from error
