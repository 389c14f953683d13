"""Killed at any moment and run again, a job comes to the same bytes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from protonqa.jobs.crew import InProcess
from protonqa.jobs.journal import read_outcomes, results_hash
from protonqa.jobs.runner import run_job

SCRIPT = Path(__file__).with_name("run_mixed.py")
CELLS, KILLS = 200, 20


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mixed_job(n: int):
    spec = importlib.util.spec_from_file_location("run_mixed", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.mixed_job(n)


def workers_of(process: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def ended(process: int) -> bool:
    """True once a process is gone, or waits to be collected by whoever inherited it."""
    for _ in range(3000):
        try:
            if "State:\tZ" in Path(f"/proc/{process}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="SIGKILL, and /proc to see who is left")
def test_killed_at_twenty_random_moments_and_resumed_the_result_is_the_same(tmp_path):
    """A moment is a number of commits and a few milliseconds more: before the table, inside a commit, inside a move."""
    rng = random.Random(5)
    folder, workers = tmp_path / "out", []
    for _ in range(KILLS):
        run = subprocess.Popen([sys.executable, str(SCRIPT), str(folder), str(CELLS)], stdout=subprocess.PIPE)
        with run:
            for _ in range(rng.randrange(0, 12)):
                run.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.03))
            workers += workers_of(run.pid)
            os.kill(run.pid, signal.SIGKILL)
        assert run.returncode == -signal.SIGKILL, "the job was over before its last kill"
    assert workers
    assert all(ended(one) for one in workers), "workers outlive a killed run"

    reached = len(list(read_outcomes(folder)))
    report = run_job(mixed_job(CELLS), folder, on=InProcess())
    run_job(mixed_job(CELLS), tmp_path / "whole", on=InProcess())
    assert 20 < reached < CELLS
    assert report.computed == CELLS - reached, "a committed cell was computed twice"
    assert results_hash(folder) == results_hash(tmp_path / "whole")
    assert list(read_outcomes(folder)) == list(read_outcomes(tmp_path / "whole"))
    assert files_below(folder / "cells") == files_below(tmp_path / "whole" / "cells")
    assert not (folder / ".staging").exists()
