"""A Dask cluster of two workers: the bytes of the local pool."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from protonqa.app.batch import BatchParams, batch


@pytest.fixture
def address(tmp_path, environment):
    """Scheduler and two workers of one thread each, on the loopback address."""
    pytest.importorskip("distributed", reason="dask.distributed comes with the extra 'cluster' and the test extra")
    note = tmp_path / "scheduler.json"
    place = ["--host", "127.0.0.1", "--scheduler-file", str(note), "--no-dashboard"]
    worker = [*place, "--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path / "dask")]
    with contextlib.ExitStack() as stack, (tmp_path / "log").open("wb") as log:

        def start(*command: str) -> None:
            process = subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)

        start("distributed.cli.dask_scheduler", *place, "--port", "0")
        for _ in range(2):
            start("distributed.cli.dask_worker", *worker)
        for _ in range(600):
            with contextlib.suppress(OSError, ValueError):
                yield json.loads(note.read_text())["address"]
                return
            time.sleep(0.05)
        pytest.fail("the scheduler did not start")


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_cluster_gives_the_bytes_of_the_local_pool(probe, cases, tmp_path, address):
    source = cases(*(f"word{i}" for i in range(10)), "raises", "fails")
    here, there = tmp_path / "here", tmp_path / "there"
    batch(BatchParams(source=source, out=here, analysis="probe", workers=2))
    done = batch(BatchParams(source=source, out=there, analysis="probe", scheduler=address))
    assert done.report.computed == 12
    assert files_below(there / "cases") == files_below(here / "cases")
    for name in ("summary.csv", "summary.html"):
        assert (there / name).read_bytes() == (here / name).read_bytes()
