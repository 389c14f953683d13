"""What is stored comes back to the last bit, whatever is in it, and can be found by what it measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings

from protonqa.analyses.result_json import result_to_json
from protonqa.device import Device
from protonqa.errors import InputError, StoreError
from protonqa.store import (
    HistoryFilter,
    Labels,
    StoredFile,
    find_result,
    history,
    load_result,
    open_store,
    save_commissioning,
    save_result,
    stored_result,
)
from protonqa.store.checking import check_store
from protonqa.store.reading import commissioning_checks, commissionings, stored_json
from protonqa.values import Measurement, State
from tests.store.results_any import any_result
from tests.store.results_made import BEGAN, filled, passed_test, shift_result


@pytest.fixture(scope="module")
def shared_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "results.sqlite"
    filled(path, 0)
    with open_store(path) as opened:
        yield opened


@given(result=any_result())
@settings(max_examples=60, deadline=None)
def test_any_result_comes_back_to_the_last_bit(shared_file, result):
    """NUL, lone surrogates, huge integers and subnormal numbers are text of a plan sooner or later."""
    number = save_result(shared_file, result).number
    assert stored_json(shared_file, number) == result_to_json(result, indent=None)
    assert result_to_json(load_result(shared_file, number)) == result_to_json(result)
    assert len(stored_result(shared_file, number).row.measurements) == len(result.measurements)


def test_the_tables_agree_with_every_content_stored_above(shared_file):
    found = check_store(shared_file)
    assert found.problems == ()


def test_results_of_one_second_stand_in_the_order_they_came(store):
    """One that states its start in whole seconds, and one that states none."""
    bare = replace(shift_result(), provenance={})
    save_result(store, bare)
    second = datetime.now(UTC).replace(microsecond=0).isoformat()
    save_result(store, replace(bare, provenance={"started_utc": second}))
    save_result(store, bare)
    listed = history(store, HistoryFilter())
    assert [row.number for row in listed] == [3, 2, 1]


def test_a_negative_zero_is_no_damage(store):
    """SQLite keeps -0.0 as 0.0."""
    result = shift_result()
    zeros = {
        name: Measurement(name=name, value=1.0, unit="mm", title="zero", low=low, high=1.0)
        for name, low in (("b", -0.0), ("a", 0.0))
    }
    save_result(store, replace(result, measurements=zeros))
    assert check_store(store).problems == ()


@pytest.mark.usefixtures("server")
@given(result=any_result())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_result_comes_back_from_a_server(server_store_address, result):
    """PostgreSQL refuses NUL and surrogates in text where SQLite keeps quiet."""
    with open_store(server_store_address) as opened:
        number = save_result(opened, result).number
        assert result_to_json(load_result(opened, number)) == result_to_json(result)
        assert check_store(opened).problems == ()


def test_facts_of_a_result_can_be_searched(store):
    inputs = (StoredFile(name="ct", size_bytes=12, sha256="a" * 64, files=3),)
    artefacts = (StoredFile(name="report.pdf", size_bytes=7, sha256="b" * 64, description="the report"),)
    labels = Labels(machine="  G1  ", site="liver", field="beam 1", patient="P-ABCDEFGHIJ")
    made = save_result(store, shift_result(beams=2), labels=labels, inputs=inputs, artefacts=artefacts, by="jk")
    found = stored_result(store, made.number)
    row = found.row
    assert (row.machine, row.site, row.field, row.patient, row.saved_by) == (
        "G1",
        "liver",
        "beam 1",
        "P-ABCDEFGHIJ",
        "jk",
    )
    assert (row.program_version, row.tables_version, row.seed, row.device_label) == ("0.1.0", "2026.1", "7", "Test CPU")
    assert row.performed_utc == BEGAN
    assert abs(row.saved_utc - datetime.now(UTC)) < timedelta(minutes=5)
    assert found.inputs == inputs
    assert found.artefacts == artefacts
    assert found.versions == {"protonqa": "0.1.0", "numpy": "2.0"}
    assert found.parameters == {"tolerance_mm": "3.0", "method": '"auto"'}
    fields = {(one.part, one.field) for one in found.measurements if one.name == "mean_shift"}
    assert fields == {("", "beam 1"), ("1", "beam 1"), ("2", "beam 2")}
    assert [one.code for one in found.findings] == ["HLUT-GENERIC"]


def test_the_same_identifier_stores_the_same_result_once_and_no_other(store):
    """A work that was interrupted after the commit, and is repeated, must not count twice."""
    uid = "0123456789abcdef" * 2
    first = save_result(store, shift_result(), uid=uid)
    again = save_result(store, shift_result(), uid=uid)
    assert (again.number, first.new, again.new) == (first.number, True, False)
    with pytest.raises(StoreError, match="belongs to another result"):
        save_result(store, shift_result(1.0), uid=uid)
    assert len(history(store)) == 1
    with pytest.raises(InputError, match="32 hexadecimal digits"):
        save_result(store, shift_result(), uid="x")


def test_a_result_is_found_by_number_and_by_the_beginning_of_its_identifier(store):
    made = [save_result(store, shift_result(), uid=f"{index:02d}" + "abcdef" * 5) for index in range(3)]
    assert find_result(store, made[1].number) == made[1].number
    assert find_result(store, f"#{made[1].number}") == made[1].number
    assert find_result(store, made[2].uid[:10].upper()) == made[2].number
    digits = save_result(store, shift_result(), uid="1234567890" + "abcdef" * 3 + "0123")
    assert find_result(store, "12345678") == digits.number, "an identifier may look like a number"
    save_result(store, shift_result(), uid="1234567890" + "fedcba" * 3 + "0123")
    with pytest.raises(InputError, match="several results begin like this"):
        find_result(store, "123456")
    for wrong, line in (("999", "no such result"), ("abc", "not the number"), ("ffffffff", "no such result")):
        with pytest.raises(InputError, match=line):
            find_result(store, wrong)


def test_history_is_filtered_by_labels_state_and_time_newest_first(store):
    for day in range(6):
        result = shift_result(
            float(day), state=State.FAIL if day == 4 else State.PASS, started=BEGAN + timedelta(days=day)
        )
        save_result(store, result, labels=Labels(machine="G1" if day % 2 else "G2", site="liver", patient=f"P{day}"))

    def days(**wanted):
        return [row.measurements[0].value for row in history(store, HistoryFilter(**wanted))]

    assert days() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    assert days(machine="g1") == [5.0, 3.0, 1.0]
    assert days(state="FAIL") == [4.0]
    assert days(patients=("p0", "p5")) == [5.0, 0.0]
    assert days(since=BEGAN + timedelta(days=2), until=BEGAN + timedelta(days=4)) == [3.0, 2.0]
    assert days(limit=2) == [5.0, 4.0]
    assert days(analysis="other") == []
    assert days(program_version="0.1.0", site="LIVER", limit=1) == [5.0]
    with pytest.raises(InputError, match="no time zone"):
        HistoryFilter(since=datetime(2026, 1, 1))  # noqa: DTZ001


def test_more_results_than_one_statement_may_name_keep_their_measurements(file_store, monkeypatch):
    monkeypatch.setattr("protonqa.store.reading._VALUES_A_STATEMENT", 3)
    for index in range(8):
        save_result(file_store, shift_result(float(index)))
    rows = history(file_store)
    assert [row.measurements[0].value for row in rows] == [float(index) for index in reversed(range(8))]


def test_a_measurement_made_earlier_keeps_its_own_time(store):
    scanned = datetime(2020, 2, 29, 23, 59, tzinfo=UTC)
    save_result(store, shift_result(), labels=Labels(performed=scanned))
    assert history(store)[0].performed_utc == scanned
    with pytest.raises(InputError, match="no time zone"):
        Labels(performed=datetime(2020, 2, 29))  # noqa: DTZ001
    with pytest.raises(InputError, match="too long"):
        Labels(machine="x" * 201)


def test_acceptance_tests_are_found_by_version_and_device(store):
    gpu, cpu = Device(kind="cuda", label="GPU"), Device(kind="cpu", label="CPU")
    for device, value, quick in ((cpu, 0.5, False), (cpu, 2.0, False), (gpu, 0.5, True)):
        save_commissioning(store, "montecarlo", "1.0", passed_test(value), device=device, seed=3, quick=quick)
    assert [(one.passed, one.quick, one.checks, one.checks_passed) for one in commissionings(store)] == [
        (True, True, 1, 1),
        (False, False, 1, 0),
        (True, False, 1, 1),
    ]
    found = commissionings(store, analysis="montecarlo", device_kind="cpu", device_label="CPU", passed=True)
    assert [one.number for one in found] == [1]
    assert commissionings(store, analysis="montecarlo", analysis_version="2.0") == ()
    assert commissioning_checks(store, 1)["checks"][0]["value"] == 0.5
    with pytest.raises(InputError, match="no such acceptance test"):
        commissioning_checks(store, 99)
