"""A folder that is watched: cases as they arrive, each once, and what a night interrupts goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from protonqa.app.batch import BatchParams, watch_batch
from protonqa.errors import InputError


def test_cases_are_analysed_as_they_arrive(probe, cases, tmp_path):
    source, told = cases("one"), []
    stop = threading.Event()

    def next_step(done) -> None:
        told.append([row.case for row in done.summary.rows])
        if len(told) == 1:
            cases("two", folder="cases/later")
            (source / "later" / "000-two").rename(source / "two")
            (source / "later").rmdir()
        else:
            stop.set()

    params = BatchParams(source=source, out=tmp_path / "out", analysis="probe", workers=0)
    last = watch_batch(params, quiet_s=0.05, every_s=0.1, cancel=stop.is_set, told=next_step)
    assert told == [["000-one"], ["000-one", "two"]]
    assert last is not None
    assert [row.state for row in last.summary.rows] == ["PASS", "PASS"]

    # The next night: nothing is new.
    stop.clear()
    seen = []
    threading.Timer(0.6, stop.set).start()
    watch_batch(params, quiet_s=0.05, every_s=0.1, cancel=stop.is_set, told=seen.append)
    assert [one.report.computed for one in seen] == [0]


def test_only_a_folder_can_be_watched(probe, tmp_path):
    (tmp_path / "batch.yaml").write_text("cases: []\n")
    with pytest.raises(InputError, match="only a folder"):
        watch_batch(BatchParams(source=tmp_path / "batch.yaml", out=tmp_path / "out", analysis="probe"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_watch_ends_in_order_when_it_is_told_to(cases, tmp_path, environment):
    source, out = cases("one"), tmp_path / "out"
    words = ["batch", str(source), "--analysis", "probe", "--out", str(out), "--workers", "1"]
    words += ["--watch", "--quiet-s", "0.1", "--every-s", "0.2", "--json"]
    command = [sys.executable, "-m", "protonqa", *words]
    run = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with run:
        for _ in range(1200):
            if (out / "times.csv").is_file():
                break
            time.sleep(0.05)
        os.kill(run.pid, signal.SIGTERM)
        text, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    assert b'"state": "PASS"' in text
