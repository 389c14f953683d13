"""Nothing that was stored can be changed or taken away, and what is added to it later is told apart from it."""

# ruff: noqa: S608  the names of tables are ours

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import text

from protonqa.device import CPU
from protonqa.errors import InputError, StoreError
from protonqa.store import (
    HistoryFilter,
    Labels,
    StoredFile,
    amend,
    history,
    load_result,
    save_commissioning,
    save_result,
    stored_result,
)
from protonqa.store.schema import metadata
from tests.store.results_made import passed_test, shift_result

TABLES = sorted(metadata.tables)


@pytest.fixture
def full(store):
    """A store with a row in every table."""
    save_result(store, shift_result(), artefacts=(StoredFile(name="a", size_bytes=1, sha256="0" * 64),))
    amend(store, 1, "comment", text="looked at")
    save_commissioning(store, "montecarlo", "1.0", passed_test(), device=CPU, seed=0, quick=False)
    return store


def rows_of(store, table):
    with store.reading() as reader:
        return reader.execute(text(f"SELECT * FROM {table}")).all()


@pytest.mark.parametrize("table", TABLES)
def test_no_row_can_be_changed_or_deleted(full, table):
    before = rows_of(full, table)
    assert before, "the test needs a row to attack"
    column = metadata.tables[table].columns.keys()[-1]
    attacks = [f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"]
    attacks += [] if full.is_file else [f"TRUNCATE {table} CASCADE"]
    for attack in attacks:
        with pytest.raises(StoreError, match="never changed"), full.writing() as writer:
            writer.execute(text(attack))
    assert rows_of(full, table) == before


@pytest.mark.parametrize("table", TABLES)
def test_another_sqlite_program_cannot_replace_a_row(file_store, path, table):
    """INSERT OR REPLACE deletes without asking delete triggers, unless the writer wants them asked."""
    save_result(file_store, shift_result(), artefacts=(StoredFile(name="a", size_bytes=1, sha256="0" * 64),))
    amend(file_store, 1, "comment", text="looked at")
    save_commissioning(file_store, "montecarlo", "1.0", passed_test(), device=CPU, seed=0, quick=False)
    before = rows_of(file_store, table)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA recursive_triggers").fetchone()[0] == 0
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            other.execute(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table} LIMIT 1")
        if "uid" in metadata.tables[table].columns:
            names = ", ".join(column.name for column in metadata.tables[table].columns if column.name != "id")
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                other.execute(f"INSERT OR REPLACE INTO {table} (id, {names}) SELECT 99, {names} FROM {table}")
    assert rows_of(file_store, table) == before


def test_amendments_add_and_the_result_stays(store):
    number = save_result(store, shift_result(), labels=Labels(machine="G1", site="liver")).number
    amend(store, number, "label", target="machine", value=" G2 ", text="typing error", by="jk")
    amend(store, number, "label", target="machine", value="G3", text="typing error again")
    amend(store, number, "comment", text="seen")
    amend(store, number, "exclude", text="phantom misplaced")
    found = stored_result(store, number)
    assert (found.row.machine, found.row.site, found.row.excluded, found.row.amendments) == ("G3", "liver", True, 4)
    assert [(one.kind, one.target, one.value, one.text) for one in found.amendments] == [
        ("label", "machine", "G2", "typing error"),
        ("label", "machine", "G3", "typing error again"),
        ("comment", "", "", "seen"),
        ("exclude", "", "", "phantom misplaced"),
    ]
    assert found.amendments[0].made_by == "jk"
    assert [len(history(store, HistoryFilter(machine=name))) for name in ("G1", "G2", "G3")] == [0, 0, 1]
    assert len(history(store, HistoryFilter(excluded=False))) == 0
    amend(store, number, "include", text="it was the right one")
    assert len(history(store, HistoryFilter(excluded=False))) == 1
    assert load_result(store, number).value("mean_shift") == 0.4
    assert rows_of(store, "result")[0].machine == "G1"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"number": 9, "kind": "comment", "text": "x"}, "no such result"),
        ({"number": 1, "kind": "delete", "text": "x"}, "unknown kind of amendment"),
        ({"number": 1, "kind": "comment", "text": " "}, "needs a reason"),
        ({"number": 1, "kind": "label", "target": "state", "value": "PASS", "text": "x"}, "unknown label"),
        ({"number": 1, "kind": "exclude", "target": "machine", "text": "x"}, "only an amendment of a label"),
        ({"number": 1, "kind": "label", "target": "site", "value": "x" * 300, "text": "x"}, "too long"),
    ],
)
def test_an_amendment_that_says_nothing_is_refused(store, words, line):
    save_result(store, shift_result())
    with pytest.raises(InputError, match=line):
        amend(store, **words)
    assert stored_result(store, 1).amendments == ()
