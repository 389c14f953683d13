"""A Dask cluster of two workers on this computer: the bytes of the local pool."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from protonqa.errors import Cancelled, DeviceError, InputError, PluginError
from protonqa.jobs import cluster_task
from protonqa.jobs.cluster import DaskCluster, check_address
from protonqa.jobs.crew import InProcess
from protonqa.jobs.journal import read_outcomes, results_hash
from protonqa.jobs.runner import run_job

HERE = Path(__file__).parent


class Running:
    """A scheduler with two workers of one thread each."""

    def __init__(self, address: str, scheduler: subprocess.Popen) -> None:
        self.address, self.scheduler = address, scheduler


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    pytest.importorskip("distributed", reason="dask.distributed comes with the extra 'cluster' and the test extra")
    folder = tmp_path_factory.mktemp("dask")
    note, log = folder / "scheduler.json", folder / "log"
    env = {**os.environ, "PYTHONPATH": str(HERE), "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "30s"}
    common = ["--scheduler-file", str(note), "--no-dashboard"]
    place = ["--host", "127.0.0.1", *common]
    worker = [*place, "--nthreads", "1", "--no-nanny", "--local-directory", str(folder)]
    with contextlib.ExitStack() as stack, log.open("wb") as out:

        def start(*command: str) -> subprocess.Popen:
            process = subprocess.Popen([sys.executable, "-m", *command], env=env, stdout=out, stderr=out)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        scheduler = start("distributed.cli.dask_scheduler", *place, "--port", "0")
        for _ in range(2):
            start("distributed.cli.dask_worker", *worker)
        for _ in range(600):
            with contextlib.suppress(OSError, ValueError):
                yield Running(json.loads(note.read_text())["address"], scheduler)
                return
            time.sleep(0.05)
        pytest.fail(f"the scheduler did not start: {log.read_text()[-2000:]}")


@pytest.fixture
def address(dask):
    return dask.address


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cluster(address, **options) -> DaskCluster:
    return DaskCluster(address=address, connect_s=60.0, **options)


def test_a_cluster_gives_the_bytes_of_one_process(tmp_path, make_job, address):
    job = make_job("mixed", 40)
    run_job(job, tmp_path / "here", on=InProcess())
    seen = []
    report = run_job(job, tmp_path / "there", on=cluster(address), progress=seen.append)
    assert (report.done, report.failed) == (32, 8)
    assert list(read_outcomes(tmp_path / "there")) == list(read_outcomes(tmp_path / "here"))
    assert results_hash(tmp_path / "there") == results_hash(tmp_path / "here")
    assert files_below(tmp_path / "there" / "cells") == files_below(tmp_path / "here" / "cells")
    assert [one.finished for one in seen if one.latest] == list(range(1, 41))


def test_begun_here_and_ended_there_is_the_same_job(tmp_path, make_job, address):
    job, count = make_job("mixed", 20), []
    with pytest.raises(Cancelled):
        run_job(
            job,
            tmp_path / "a",
            on=InProcess(),
            progress=lambda now: count.append(now.finished),
            cancelled=lambda: max(count, default=0) >= 7,
        )
    assert run_job(job, tmp_path / "a", on=cluster(address)).computed == 13
    run_job(job, tmp_path / "b", on=InProcess())
    assert results_hash(tmp_path / "a") == results_hash(tmp_path / "b")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_cell_that_dies_or_hangs_there_fails_as_at_home(tmp_path, make_job, address):
    """Without a process of its own the cell would take the Dask worker along, and then the next one."""
    run_job(make_job("dies", 4), tmp_path / "a", on=cluster(address))
    outcomes = list(read_outcomes(tmp_path / "a"))
    assert [one.value() for one in outcomes] == [0, None, 2, None]
    assert "SIGKILL" in outcomes[1].message
    run_job(make_job("hangs", 3, note=str(tmp_path / "n")), tmp_path / "b", on=cluster(address, deadline_s=2.0))
    assert [one.code for one in read_outcomes(tmp_path / "b")] == ["DEADLINE", "", ""]


def test_cancel_reaches_cells_that_never_look(tmp_path, make_job, address):
    note = tmp_path / "n"
    with pytest.raises(Cancelled):
        run_job(make_job("sleeps", 6, note=str(note)), tmp_path / "a", on=cluster(address), cancelled=note.exists)
    assert list(read_outcomes(tmp_path / "a")) == []
    # The workers are free again at once.
    assert run_job(make_job("square", 4), tmp_path / "b", on=cluster(address)).done == 4


def test_a_function_the_cluster_cannot_import_stops_the_job(tmp_path, make_job, address):
    job = replace(make_job("square", 3), function="no_such_module_at_all:f")
    with pytest.raises(PluginError, match="cannot be imported"):
        run_job(job, tmp_path, on=cluster(address))


def test_a_cluster_of_another_program_version_is_refused(tmp_path):
    """Two versions in one table would be one silent mixture of numbers."""
    order = cluster_task.Order(run_id="t", function="m:f", program="0.0.0", deadline_s=None, memory_mib=None)
    with pytest.raises(DeviceError, match="another version"):
        cluster_task.compute(order, 0, "a", "{}")


def test_one_thread_keeps_its_process_from_cell_to_cell(tmp_path):
    """Starting Python anew for each small cell would cost more than the cell."""

    def order(run_id: str) -> cluster_task.Order:
        program = cluster_task.protonqa.__version__
        return cluster_task.Order(
            run_id=run_id, function="job_cells:pid", program=program, deadline_s=None, memory_mib=None
        )

    first = [cluster_task.compute(order("one"), i, "a", '{"x":1}').content for i in range(2)]
    other = cluster_task.compute(order("two"), 0, "a", '{"x":1}').content
    assert first[0] == first[1] != other
    cluster_task.end_crews("one")
    assert cluster_task.compute(order("two"), 0, "a", '{"x":1}').content == other
    cluster_task.end_crews("two")
    assert cluster_task.compute(order("two"), 0, "a", '{"x":1}').content != other
    cluster_task.end_crews("two")


def test_a_lost_scheduler_is_one_line_and_loses_nothing(tmp_path, make_job, dask, capfd):
    """The last test with this cluster."""
    job = make_job("mixed", 200, sleep_s=0.01)

    def progress(now):
        if now.finished == 15:
            dask.scheduler.kill()

    with pytest.raises(DeviceError, match="connection to the scheduler was lost, finished cells are kept"):
        run_job(job, tmp_path / "a", on=cluster(dask.address), progress=progress)
    assert "Traceback" not in capfd.readouterr().err
    kept = len(list(read_outcomes(tmp_path / "a")))
    assert 15 <= kept < 200
    assert run_job(make_job("mixed", 200, sleep_s=0.01), tmp_path / "a", on=InProcess()).computed == 200 - kept


# ---- reaching a cluster


@pytest.mark.parametrize(
    "text", ["tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:8786", "tls://node7.lan:8786"]
)
def test_loopback_and_tls_addresses_are_taken(text):
    check_address(text)


@pytest.mark.parametrize("text", ["tcp://10.0.0.7:8786", "tcp://node7.lan:8786", "tcp://127.0.0.1.evil.org:1"])
def test_pickles_do_not_cross_a_network_in_clear(text):
    with pytest.raises(InputError, match="needs TLS"):
        check_address(text)


@pytest.mark.parametrize(
    "text", ["", "localhost:8786", "http://127.0.0.1:8787", "inproc://1", "tcp://127.0.0.1", "tcp://a:b:1"]
)
def test_other_addresses_are_refused(text):
    with pytest.raises(InputError, match="address of the scheduler"):
        DaskCluster(address=text)


def test_a_missing_certificate_is_named_before_connecting(tmp_path):
    with pytest.raises(InputError, match="TLS file"):
        DaskCluster(address="tls://node7:8786", tls_ca=tmp_path / "ca.pem")


def test_a_scheduler_that_is_not_there_is_one_line_in_time(tmp_path, make_job):
    pytest.importorskip("distributed", reason="dask.distributed comes with the extra 'cluster' and the test extra")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(DeviceError, match=r"scheduler does not answer, got no answer in 0.5 s"):
        run_job(make_job("square"), tmp_path, on=DaskCluster(address=f"tcp://127.0.0.1:{port}", connect_s=0.5))


def test_a_missing_extra_is_one_line_with_its_remedy(tmp_path, make_job, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "distributed":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DeviceError, match=r"pip install \"protonqa\[cluster\]\""):
        run_job(make_job("square"), tmp_path, on=DaskCluster(address="tcp://127.0.0.1:8786"))


def test_the_room_loads_nothing_heavy():
    """Dask is for those who have a cluster."""
    code = (
        "import sys, protonqa.jobs.runner, protonqa.jobs.cluster, protonqa.jobs.watch; "
        "print([n for n in ('distributed', 'dask', 'numpy', 'torch', 'numba') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
