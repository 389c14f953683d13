"""Comparison of two results and tables for other programs: units, intervals, versions, and no formula let loose."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pyarrow.parquet
import pytest
from sqlalchemy import text

from protonqa.errors import InputError, StoreError
from protonqa.store import HistoryFilter, Labels, StoredFile, amend, compare, export, open_store, save_result
from protonqa.store.exporting import EXPORTS
from protonqa.store.schema import metadata
from protonqa.store.writing import save_commissioning
from protonqa.values import Finding, Severity, State
from tests.store.results_made import BEGAN, passed_test, shift_result


def stored(store, *results, **options):
    return [save_result(store, one, **options).number for one in results]


def test_a_result_is_the_same_as_its_repeat(store):
    found = compare(store, *stored(store, shift_result(), shift_result()))
    assert found.same
    assert (found.facts, found.parameters, found.versions, found.findings_new, found.findings_gone) == ((),) * 5
    assert all(pair.difference == 0.0 and not pair.note for pair in found.measurements)


def test_what_differs_between_versions_is_named(store):
    new = Finding(severity=Severity.INFO, code="NEW", text="seen now")
    other = shift_result(3.0, state=State.FAIL, program="0.2.0", seed=8, parameters={"method": "a50"}, findings=(new,))
    found = compare(store, *stored(store, shift_result(0.4), other))
    assert not found.same
    shift = next(pair for pair in found.measurements if pair.name == "mean_shift" and not pair.part)
    assert shift.difference == pytest.approx(2.6)
    assert shift.intervals_overlap is False
    facts = {one.name: (one.first, one.second) for one in found.facts}
    assert facts == {"program_version": ("0.1.0", "0.2.0"), "state": ("PASS", "FAIL"), "seed": ("7", "8")}
    assert [(one.name, one.first, one.second) for one in found.parameters] == [("method", '"auto"', '"a50"')]
    assert [(one.name, one.first, one.second) for one in found.versions] == [("protonqa", "0.1.0", "0.2.0")]
    assert found.findings_gone == ("warning HLUT-GENERIC: no calibration",)
    assert found.findings_new == ("info NEW: seen now",)


@pytest.mark.parametrize(("apart_mm", "meet"), [(1.9, True), (2.0, True), (2.1, False)])
def test_intervals_that_touch_meet(store, apart_mm, meet):
    found = compare(store, *stored(store, shift_result(0.0), shift_result(apart_mm)))
    assert found.measurements[0].intervals_overlap is meet


def test_numbers_in_different_units_are_never_subtracted(store):
    found = compare(store, *stored(store, shift_result(4.0, unit="mm"), shift_result(0.4, unit="cm")))
    assert (found.measurements[0].difference, found.measurements[0].note) == (None, "units differ")


def test_values_and_fields_that_only_one_has_are_told(store):
    found = compare(store, *stored(store, shift_result(None, state=State.NOT_EVALUABLE), shift_result(1.0, beams=2)))
    notes = {(pair.part, pair.name): pair.note for pair in found.measurements}
    assert notes["", "mean_shift"] == "no value in one of them"
    assert notes["2", "mean_shift"] == "only in the second"
    assert not found.same


def test_inputs_are_the_same_only_where_both_know_all(store):
    def file(name, sha):
        return StoredFile(name=name, size_bytes=1, sha256=sha * 64)

    sets = [(file("ct", "a"), file("pet", "b")), (file("pet", "b"), file("ct", "a")), (file("ct", "a"),), ()]
    a, b, c, d = (stored(store, shift_result(), inputs=one)[0] for one in sets)
    e = stored(store, shift_result(), inputs=(file("ct", "a"), file("pet", "c")))[0]
    answers = [compare(store, a, other).same_inputs for other in (b, c, d, e)]
    assert answers == [True, None, None, False]


@pytest.fixture
def full(store):
    for day in (1, 2):
        save_result(
            store,
            shift_result(0.1 + day, beams=2),
            labels=Labels(machine="=cmd|' /C calc'!A0", site="-liver", patient="P-ABCDEFGHIJ", performed=BEGAN),
            artefacts=(StoredFile(name="report.pdf", size_bytes=2**40, sha256="b" * 64),),
        )
    amend(store, 2, "label", target="machine", value="G1", text="@typing\terror")
    device = SimpleNamespace(kind="cpu", label="CPU")
    save_commissioning(store, "montecarlo", "1.0", passed_test(), device=device, seed=2**80, quick=True)
    return store


@pytest.mark.parametrize("table", list(EXPORTS))
def test_csv_and_parquet_hold_the_same_rows(full, tmp_path, table):
    rows = export(full, tmp_path / "t.csv", table)
    assert export(full, tmp_path / "t.parquet", table) == rows > 0
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as stream:
        plain = list(csv.DictReader(stream))
    arrow = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    assert arrow.column_names == list(plain[0])
    assert len(set(arrow.column_names)) == len(arrow.column_names)
    for cells, typed in zip(plain, arrow.to_pylist(), strict=True):
        for name, value in typed.items():
            assert as_text(value) == cells[name].removeprefix("'"), name


def as_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def test_a_spreadsheet_runs_nothing(full, tmp_path):
    export(full, tmp_path / "m.csv")
    with (tmp_path / "m.csv").open(newline="", encoding="utf-8") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    numbers = [cell for cell in cells if cell[:1] == "-"]
    assert all(cell.lstrip("-")[:1].isdigit() for cell in numbers), "only numbers may begin with a minus"
    assert not [cell for cell in cells if cell[:1] in "=+@\t\r" and cell]
    assert "'=cmd|' /C calc'!A0" in cells


def test_types_labels_and_filters_of_an_export(full, tmp_path):
    assert export(full, tmp_path / "m.parquet", "measurements", HistoryFilter(machine="g1")) == 8
    table = pyarrow.parquet.read_table(tmp_path / "m.parquet")
    types = {name: str(table.schema.field(name).type) for name in ("value", "performed_utc", "result", "excluded")}
    assert types == {"value": "double", "performed_utc": "timestamp[us, tz=UTC]", "result": "int64", "excluded": "bool"}
    assert set(table["machine"].to_pylist()) == {"G1"}
    assert table["value"].to_pylist()[0] == 2.1
    assert table.schema.metadata[b"table"] == b"measurements"


def test_nothing_to_export_is_a_table_without_rows(store, tmp_path):
    for kind in ("csv", "parquet"):
        assert export(store, tmp_path / f"e.{kind}", "findings") == 0
    assert pyarrow.parquet.read_table(tmp_path / "e.parquet").num_rows == 0
    assert (tmp_path / "e.csv").read_text().startswith("result,uid,part,")


def test_exports_that_cannot_be_are_refused(store, tmp_path):
    with pytest.raises(InputError, match=r"unknown kind of export, got '.xls', expected .csv or .parquet"):
        export(store, tmp_path / "x.xls")
    with pytest.raises(InputError, match="unknown table"):
        export(store, tmp_path / "x.csv", "patients")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not write the export"):
        export(store, tmp_path / "file" / "x.csv")


def test_every_table_but_the_bookkeeping_can_be_exported(store):
    known = {"result", "measurement", "finding", "file", "fact", "amendment", "commissioning_check"}
    assert set(metadata.tables) - known == {"content", "store_fact", "commissioning"}
    assert len(EXPORTS) == len(known)


def test_settings_of_a_connection_are_those_of_safe_storage(path):
    wanted = {"foreign_keys": 1, "synchronous": 2, "trusted_schema": 0, "recursive_triggers": 1, "journal_mode": "wal"}
    with open_store(path) as opened, opened.reading() as reader:
        found = {name: reader.execute(text(f"PRAGMA {name}")).scalar_one() for name in wanted}
    assert found == wanted


def test_json_of_a_comparison_is_json(store):
    from protonqa.app.history import comparison_to_plain, stored_to_plain
    from protonqa.store import stored_result

    one, two = stored(store, shift_result(None, state=State.NOT_EVALUABLE), shift_result(1.0, beams=2))
    json.dumps(comparison_to_plain(compare(store, one, two)), allow_nan=False)
    json.dumps(stored_to_plain(stored_result(store, two)), allow_nan=False)
