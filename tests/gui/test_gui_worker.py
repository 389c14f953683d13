"""Worker processes: progress, cancel, every way to die, and nothing left behind."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from protonqa_gui.watchdog import Watchdog
from protonqa_gui.worker import Worker
from tests.gui.patience import PATIENCE_MS


@pytest.fixture
def worker(qtbot):
    made = Worker(function="tests.gui.bad_tasks:compute")
    yield made
    made.close()


def outcome(qtbot, job) -> tuple[str, tuple]:
    """How a job ended, and what it said."""
    ends: list[tuple[str, tuple]] = []
    for name in ("done", "failed", "cancelled"):
        getattr(job, name).connect(lambda *values, name=name: ends.append((name, values)))
    qtbot.waitUntil(lambda: bool(ends), timeout=PATIENCE_MS)
    return ends[0]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("task", "code", "words"),
    [
        ("die", "WORKER", "exited with code 7"),
        ("memory", "MEMORY", "memory"),
        ("disk", "STORE", "no space is left"),
        ("unheard-of", "INTERNAL", "KeyError"),
    ],
)
def test_a_job_that_fails_is_a_message_and_the_next_one_works(qtbot, worker, task, code, words):
    how, said = outcome(qtbot, worker.submit(task, {}))
    assert how == "failed"
    assert said[0] == code
    assert words in said[1]
    assert outcome(qtbot, worker.submit("fine", {}))[0] == "done"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_worker_killed_from_outside_is_a_message(qtbot, worker):
    job = worker.submit("steps", {}, "Counting")
    qtbot.waitUntil(lambda: job.share > 0, timeout=PATIENCE_MS)
    os.kill(worker.pid, signal.SIGKILL)
    how, said = outcome(qtbot, job)
    assert (how, said[0]) == ("failed", "WORKER")
    assert "SIGKILL" in said[1]
    assert not worker.busy


@pytest.mark.parametrize("task", ["steps", "hang"])
def test_cancel_ends_a_job_whether_it_looks_or_not(qtbot, worker, task):
    job = worker.submit(task, {}, "Long")
    qtbot.waitUntil(lambda: job.share > 0, timeout=PATIENCE_MS)
    pid = worker.pid
    worker.cancel()
    assert outcome(qtbot, job)[0] == "cancelled"
    # Cancelled for ever: the next job runs in another process, the old one is gone.
    _, (found,) = outcome(qtbot, worker.submit("fine", {}))
    assert found["pid"] != pid
    qtbot.waitUntil(lambda: not alive(pid), timeout=20_000)


def test_progress_tells_the_time_left(qtbot, worker):
    job = worker.submit("steps", {}, "Counting")
    assert job.left_s() is None
    qtbot.waitUntil(lambda: job.share > 0.05, timeout=PATIENCE_MS)
    assert job.left_s() > 0
    assert job.text == "step"


def test_closing_leaves_no_process(qtbot, worker):
    job = worker.submit("hang", {}, "Long")
    qtbot.waitUntil(lambda: job.share > 0, timeout=PATIENCE_MS)
    pid = worker.pid
    worker.close()
    assert not alive(pid)


def test_the_watchdog_notices_a_blocked_loop(qtbot):
    import time

    watch = Watchdog()
    watch.start()
    qtbot.wait(60)
    time.sleep(0.25)
    qtbot.wait(60)
    assert watch.stop() > 150
