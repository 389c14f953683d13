"""A trend from the store to the page: what is grouped, what is left out, and PDF and HTML that say the same."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pypdf import PdfReader

from protonqa.app.trend import trend
from protonqa.app.trend_page import trend_document
from protonqa.app.trend_values import TrendParams
from protonqa.errors import InputError
from protonqa.files.atomic import check_manifest
from protonqa.report.html import html_text
from protonqa.report.pdf import pdf_bytes
from protonqa.store import Labels, amend, open_store, save_result
from protonqa.values import State
from tests.store.results_made import filled, shift_result

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
MACHINES = {"G1": 0.0, "G2": 4.0}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Thirty verifications of each of two machines; the second shifts by 4 mm after the twenty-fifth."""
    path = tmp_path_factory.mktemp("trend") / "results.sqlite"
    rng = np.random.default_rng(3)
    filled(path, 0)
    with open_store(path) as store:
        for day in range(30):
            for machine, shift_mm in MACHINES.items():
                value = rng.normal(0.2, 0.5) + (shift_mm if day >= 25 else 0.0)
                result = shift_result(
                    float(value), program="0.1.0" if day < 22 else "0.2.0", started=START + timedelta(days=day)
                )
                save_result(store, result, labels=Labels(machine=machine, site="liver", field="beam 1"))
        save_result(store, shift_result(None, state=State.NOT_EVALUABLE), labels=Labels(machine="G1"))
        wrong = save_result(
            store, shift_result(99.0), labels=Labels(machine="G1", performed=START + timedelta(days=40))
        )
        amend(store, wrong.number, "exclude", text="phantom misplaced")
    return path


@pytest.fixture
def configured(stored, monkeypatch):
    monkeypatch.setenv("PROTONQA_STORE", str(stored))


@pytest.mark.usefixtures("configured")
def test_the_shifted_machine_alone_is_out_of_control():
    found = trend(TrendParams(by=("machine",)))
    groups = {group.name: group for group in found.groups}
    assert {name: group.state for name, group in groups.items()} == {
        "machine G1": State.PASS,
        "machine G2": State.FAIL,
    }
    assert found.state is State.FAIL
    assert [len(group.points) for group in groups.values()] == [30, 30]
    codes = {name: {one.code for one in group.findings} for name, group in groups.items()}
    assert codes["machine G1"] >= {"TREND-EXCLUDED", "TREND-NO-VALUE", "TREND-PROGRAM"}
    assert "TREND-EXCLUDED" not in codes["machine G2"]
    assert "beyond-3" in groups["machine G2"].reason


@pytest.mark.usefixtures("configured")
def test_filters_and_baseline_choose_the_points():
    one = trend(TrendParams(machine="g2", until="2026-01-29"))
    assert [group.state for group in one.groups] == [State.PASS]
    assert one.groups[0].charts.limits.points == 20
    dated = trend(TrendParams(machine="G2", baseline_until="2026-01-16"))
    assert dated.groups[0].charts.limits.points == 12
    assert "TREND-SHORT-BASELINE" in {finding.code for finding in dated.groups[0].findings}
    few = trend(TrendParams(machine="G2", until="2026-01-09"))
    assert (few.state, few.groups[0].charts) == (State.NOT_EVALUABLE, None)
    assert "too few points" in few.groups[0].reason
    with pytest.raises(InputError, match="no stored result holds this measurement, got a50_shift"):
        trend(TrendParams(measurement="a50_shift"))
    with pytest.raises(InputError, match="not a date"):
        trend(TrendParams(since="yesterday"))


def test_a_value_in_another_unit_is_never_charted_with_the_rest(tmp_path, monkeypatch):
    monkeypatch.setenv("PROTONQA_STORE", str(tmp_path / "r.sqlite"))
    filled(tmp_path / "r.sqlite", 0)
    with open_store(tmp_path / "r.sqlite") as store:
        for index in range(12):
            save_result(store, shift_result(float(index), unit="mm" if index else "cm"))
    found = trend(TrendParams(baseline=8))
    assert found.state is State.NOT_EVALUABLE
    assert "several units" in found.groups[0].reason


def test_each_field_of_a_plan_is_a_point_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PROTONQA_STORE", str(tmp_path / "r.sqlite"))
    filled(tmp_path / "r.sqlite", 0)
    with open_store(tmp_path / "r.sqlite") as store:
        for index in range(12):
            save_result(store, shift_result(float(index % 3), beams=2))
        save_result(store, shift_result(1.0), labels=Labels(field="beam 7"))
    found = trend(TrendParams(by=("field",), baseline=8))
    assert {group.name: len(group.points) for group in found.groups} == {
        "field beam 1": 12,
        "field beam 2": 12,
        "field beam 7": 1,
    }


@pytest.mark.usefixtures("configured")
def test_the_page_is_written_whole_and_both_forms_say_the_same(tmp_path):
    found = trend(TrendParams(by=("machine",)), out=tmp_path / "out")
    check_manifest(tmp_path / "out")
    plain = json.loads((tmp_path / "out" / "trend.json").read_text())
    assert plain == json.loads(json.dumps(found.to_plain()))
    assert len(plain["groups"][1]["points"]) == 30
    assert plain["groups"][1]["points"][-1]["flags"]
    pages = [page.extract_text() for page in PdfReader(tmp_path / "out" / "trend.pdf").pages]
    pdf = re.sub(r"\s", "", "".join(pages))
    body = re.sub(r"<style>.*?</style>", " ", (tmp_path / "out" / "trend.html").read_text(), flags=re.S)
    words = html.unescape(re.sub(r"<[^>]*>", " ", body)).split()
    assert [word for word in words if re.sub(r"\s", "", word) not in pdf] == []
    assert "FAIL" in pages[0]
    for text in ("machine G2", "TREND-PROGRAM", "False alarm once in", "370 points", "92 points", "465 points"):
        assert text in "".join(pages), text


@pytest.mark.usefixtures("configured")
def test_the_same_trend_gives_the_same_bytes():
    found = trend(TrendParams(machine="G2"))
    document = trend_document(found, created=START)
    assert pdf_bytes(document) == pdf_bytes(document)
    assert html_text(document) == html_text(document)


def test_labels_from_anywhere_are_printed_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv("PROTONQA_STORE", str(tmp_path / "r.sqlite"))
    nasty = "<script>alert(1)</script> \u202e=cmd {{7*7}}"
    filled(tmp_path / "r.sqlite", 0)
    with open_store(tmp_path / "r.sqlite") as store:
        for index in range(12):
            save_result(store, shift_result(float(index % 3)), labels=Labels(machine=nasty))
    document = trend_document(trend(TrendParams(by=("machine",), baseline=8)), created=START)
    page = html_text(document)
    assert "<script" not in page
    assert "\u202e" not in page
    assert pdf_bytes(document).startswith(b"%PDF")
