"""Killed at random moments and resumed, a batch comes to the bytes of one that nobody disturbed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_few_kills(tmp_path):
    """The long run, 200 cases and 20 kills, is the script beside this test."""
    found = load("kill_run").killed_batch(tmp_path, cases=60, kills=3)
    assert 0 < found["finished_before_the_last_run"] < 60


def test_a_journal_that_was_killed_before_its_table_stood_is_no_obstacle(probe, cases, tmp_path):
    import sqlite3

    from protonqa.app.batch import BatchParams, batch
    from protonqa.jobs.database import open_for_writing

    source = cases("one")
    for made in ("empty file", "schema only"):
        out = tmp_path / made
        out.mkdir()
        if made == "empty file":
            sqlite3.connect(out / "job.sqlite").close()
            (out / "job.sqlite").touch()
        else:
            open_for_writing(out).close()
        done = batch(BatchParams(source=source, out=out, analysis="probe", workers=0))
        assert done.report.computed == 1
