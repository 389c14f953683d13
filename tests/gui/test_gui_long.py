"""Studies, batches, acceptance tests and trends in the window."""

from __future__ import annotations

import pytest

from protonqa.app.study_size import study_size
from protonqa_gui.batch_page import batch_text
from protonqa_gui.quality_page import CommissioningPage, TrendPage
from protonqa_gui.worker import Worker
from tests.gui.patience import PATIENCE_MS

STUDY = """\
title: Two delays
rays:
  twins: {seed: 77, sites: {slab: {patients: 3, fields: [0, 0], pencils: [5, 5]}}}
methods: [pearson]
named: [raw]
grid: {delay_s: [0, 300], window_mm: [null, 125]}
vary: {}
"""


@pytest.fixture
def listed(window, qtbot):
    """The window with everything asked for at its start."""
    window.warm_up()
    qtbot.waitUntil(lambda: window.analyses.current is not None and not window.worker.busy, timeout=PATIENCE_MS)
    return window


def test_a_study_says_how_large_it_is_and_where_its_slip_is(listed, qtbot):
    page = listed.long.study
    with qtbot.waitSignal(page.sized, timeout=PATIENCE_MS):
        page.text.setPlainText(STUDY)
    # One named row, the base, 2 x 2 of the grid; 3 anatomies each.
    assert (page.wanted["scenarios"], page.wanted["anatomies"], page.wanted["cells"]) == (6, 3, 18)
    assert page.wanted["rays"] == 15
    assert page.run.isEnabled()
    with qtbot.waitSignal(page.sized, timeout=PATIENCE_MS):
        page.text.setPlainText(STUDY.replace("methods", "methds"))
    assert "methods" in page.about.text()
    assert "line 4" in page.about.text()
    assert not page.run.isEnabled()


def test_size_of_a_study_counts_what_will_run(tmp_path):
    size = study_size(STUDY.replace("pearson", "model"), tmp_path)
    assert size.groups == {"named": 1, "base": 1, "grid": 4}
    assert size.simulated
    assert size.least_s is not None
    assert size.least_s > 0
    thinned = STUDY.replace("rays:\n", "rays:\n  most_anatomies: 2\n  most_rays_per_anatomy: 4\n")
    assert (study_size(thinned, tmp_path).anatomies, study_size(thinned, tmp_path).rays) == (2, 8)


def test_a_batch_with_a_case_that_is_not_there_ends_with_its_reason(listed, qtbot, tmp_path):
    page = listed.long.batch
    (tmp_path / "empty").mkdir()
    page.add_cases([str(tmp_path / "empty"), str(tmp_path / "empty")])
    assert page.folders() == [str(tmp_path / "empty")]
    with qtbot.waitSignal(listed.long.finished, timeout=PATIENCE_MS):
        page.start()
    assert page.table.item(0, 1).text() == "ERROR"
    assert page.table.item(0, 3).text()
    assert page.summary.isEnabled()
    assert "1 ERROR" in listed.messages.text


def test_batch_file_of_the_queue_is_read_as_it_was_meant(tmp_path):
    from protonqa.app.batch_file import read_batch_file

    path = tmp_path / "queue.yaml"
    cases = [{"name": "a: b-1", "folder": "/data/a: b"}]
    path.write_text(batch_text("range-verification", cases, {"tolerance_mm": 2.5}, 3), encoding="utf-8")
    read = read_batch_file(path)
    assert (read.analysis, read.seed, read.params) == ("range-verification", 3, {"tolerance_mm": 2.5})
    assert (read.cases[0].name, read.cases[0].folder) == ("a: b-1", "/data/a: b")


def status_tells_device_model_and_commissioning(status):
    """Part of the next test: a window of its own would only cost time."""
    assert "cpu" in status.device.text()
    assert "protonqa-range" in status.model.text()
    assert "not commissioned" in status.commissioned.text()
    assert "Run: protonqa commission" in status.commissioned.toolTip()
    status.set_about({"device": "cpu", "model": "m", "commissioned": {"passed": True, "text": "2026-11-20"}})
    assert "not" not in status.commissioned.text()


def test_outcome_of_an_acceptance_test_is_shown_check_by_check(qtbot):
    page = CommissioningPage()
    qtbot.addWidget(page)
    check = {"name": "r80", "title": "R80 in water", "value": 0.4, "unit": "mm", "limit": 1.0, "comparison": "<="}
    checks = [{**check, "passed": True}, {**check, "value": None, "passed": False}]
    page.set_outcome({"analyses": {"montecarlo": {"checks": checks}}})
    cells = [[page.checks.item(row, column).text() for column in range(4)] for row in range(2)]
    assert cells == [["R80 in water", "0.4 mm", "<= 1 mm", "PASS"], ["R80 in water", "-", "<= 1 mm", "FAIL"]]


def test_trends_without_results_say_so(listed, qtbot):
    page = listed.long.trend
    assert page.form.values() == {}
    status_tells_device_model_and_commissioning(listed.status)
    with qtbot.waitSignal(page.told, timeout=PATIENCE_MS) as told:
        page.start()
    assert told.args[0] == "note"
    assert "no stored result" in told.args[1] or "store" in told.args[1]


def test_trends_of_stored_results_are_drawn(qtbot, tmp_path, monkeypatch):
    from protonqa_gui import long_tasks
    from tests.store.results_made import filled

    filled(tmp_path / "r.sqlite", 30)
    monkeypatch.setenv("PROTONQA_STORE", str(tmp_path / "r.sqlite"))
    found = long_tasks.trend({"params": {}, "folder": str(tmp_path / "trend")}, None)
    page = TrendPage(Worker(), tmp_path)
    qtbot.addWidget(page)
    with qtbot.waitSignal(page.drawn, timeout=PATIENCE_MS):
        page._on_drawn(found)
    assert (tmp_path / "trend" / "trend.pdf").is_file()
    assert "baseline" in page.page.toPlainText().lower()
