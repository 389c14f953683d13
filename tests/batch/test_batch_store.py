"""Results of a batch in the store: each once, one word on commissioning, and never at the cost of a case."""

from __future__ import annotations

import json

import pytest

from protonqa.analyses.interface import Check, Commissioning
from protonqa.app.batch import BatchParams, batch
from protonqa.app.recording import open_recorder
from protonqa.device import resolve_device
from protonqa.store import history, open_store


@pytest.fixture
def store_path(tmp_path, monkeypatch):
    path = tmp_path / "store" / "results.sqlite"
    monkeypatch.setenv("PROTONQA_STORE", str(path))
    return path


def run(source, out, **more):
    with open_recorder(labels=("machine=G1",)) as record:
        return batch(BatchParams(source=source, out=out, analysis="probe", workers=0, **more), record=record), record


def late(source, word):
    (source / word).mkdir()
    (source / word / "text.txt").write_text(word)


def codes(out, case):
    result = json.loads((out / "cases" / case / "result.json").read_text())
    return [one["code"] for one in result["findings"]]


def test_every_case_is_stored_once_however_often_the_batch_is_run(probe, cases, tmp_path, store_path):
    source, out = cases("one", "fails", "raises"), tmp_path / "out"
    _, record = run(source, out)
    assert len(record.stored) == 3
    late(source, "four")
    _, record = run(source, out)
    assert [one.new for one in record.stored] == [True]
    assert run(source, out)[1].stored == []
    with open_store(store_path) as store:
        rows = history(store)
    assert sorted(row.state for row in rows) == ["ERROR", "FAIL", "PASS", "PASS"]
    assert {row.machine for row in rows} == {"G1"}


def test_what_a_result_says_of_commissioning_is_as_it_was_when_the_batch_began(probe, cases, tmp_path, store_path):
    """Else a batch that was interrupted and resumed after an acceptance test would come to other bytes."""
    source, out = cases("one"), tmp_path / "out"
    run(source, out)
    assert "NOT-COMMISSIONED" in codes(out, "000-one")
    with open_recorder() as record:
        passed = Commissioning(checks=(Check(name="length", value=1.0, unit="mm", limit=1.0),))
        record.acceptance_test("probe", "1.0", passed, device=resolve_device("cpu"), seed=0, quick=False)
    late(source, "two")
    assert run(source, out)[0].report.computed == 1
    assert "NOT-COMMISSIONED" in codes(out, "two")
    with open_recorder() as record:
        params = BatchParams(source=source, out=tmp_path / "new", analysis="probe", workers=0)
        batch(params, device=resolve_device("cpu"), record=record)
    assert "COMMISSIONED" in codes(tmp_path / "new", "two")


def test_a_store_that_breaks_costs_one_warning_and_no_case(probe, cases, tmp_path, store_path):
    source, out = cases("one", "two"), tmp_path / "out"
    with open_recorder() as record:
        store_path.write_bytes(b"no database")
        done = batch(BatchParams(source=source, out=out, analysis="probe", workers=0), record=record)
    assert done.summary.counts == {"PASS": 2}
    assert len(set(record.problems)) == 1
    store_path.unlink()
    assert len(run(source, out)[1].stored) == 2, "what the store missed is stored by the next run"
