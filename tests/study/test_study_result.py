"""What a study hands out: files, tables, figures and the report that is printed from them."""

from __future__ import annotations

import csv
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from protonqa.analyses.result_check import check_result
from protonqa.analyses.result_json import result_from_json, result_to_json
from protonqa.report.build import build_document
from protonqa.report.html import html_text
from protonqa.report.pdf import pdf_bytes
from protonqa.study.export import COLUMNS
from protonqa.study.result import study_result, table_rows
from protonqa.study.summary import ROW_KEYS
from protonqa.values import BarFigure, LineFigure


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("result")


@pytest.fixture(scope="module")
def result(computed, folder):
    return check_result(study_result(computed.outcome, folder), out=folder)


@pytest.fixture(scope="module")
def document(result):
    return build_document(result, created=datetime(2026, 1, 2, tzinfo=UTC))


def test_parquet_and_csv_hold_every_ray_scenario_and_method(result, folder, computed):
    table = pq.read_table(folder / "cells.parquet")
    study = computed.outcome.setting
    assert tuple(table.column_names) == COLUMNS
    assert table.num_rows == computed.outcome.rays.true_mm.size * len(study.scenarios) * len(study.study.methods)
    with (folder / "cells.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["method"] for row in rows] == table["method"].to_pylist()
    numbers = [float(row["r80_mm"]) if row["r80_mm"] else np.nan for row in rows]
    assert np.array_equal(np.array(numbers), table["r80_mm"].to_numpy(), equal_nan=True)


def test_error_in_the_file_is_predicted_minus_true(result, folder):
    table = pq.read_table(folder / "cells.parquet")
    error = table["r80_mm"].to_numpy() - table["true_r80_mm"].to_numpy()
    assert np.array_equal(table["error_mm"].to_numpy(), error, equal_nan=True)


def test_mae_of_a_row_follows_from_the_file(result, folder):
    """A reader with a spreadsheet must come to the number in the report."""
    (row,) = [
        one
        for one in table_rows(next(t for t in result.tables if t.name == "rows"))
        if (one["scenario"], one["method"]) == ("125 mm", "most-likely-shift")
    ]
    table = pq.read_table(folder / "cells.parquet").to_pylist()
    errors = [
        abs(one["error_mm"])
        for one in table
        if (one["scenario"], one["method"]) == ("125 mm", "most-likely-shift")
        and one["answered"]
        and one["scored"]
        and one["tissue"] != "range-mixed"
    ]
    assert row["range_mae_mm"] == pytest.approx(np.mean(errors))


def test_every_table_is_exported_and_named_as_an_artefact(result, folder):
    assert {path.name for path in folder.iterdir()} == set(result.artefacts)
    assert {"cells.parquet", "cells.csv", "rows.csv", "coverage.csv", "floors.csv", "tornado.csv"} <= set(
        result.artefacts
    )
    with (folder / "rows.csv").open(newline="") as stream:
        assert tuple(csv.DictReader(stream).fieldnames)[:12] == ROW_KEYS


def test_result_survives_its_json_with_bars(result):
    again = result_from_json(result_to_json(result))
    assert result_to_json(again) == result_to_json(result)
    (bars,) = [one for one in again.figures if isinstance(one, BarFigure)]
    assert {bar.label for bar in bars.bars} == {"snr", "window (mm)"}


def test_worst_cases_show_what_was_shown_and_said(result, computed):
    worst = [one for one in result.figures if isinstance(one, LineFigure)]
    assert 0 < len(worst) <= 2
    errors = [abs(float(one.title.split("range model ")[1].split()[0])) for one in worst]
    assert errors == sorted(errors, reverse=True)
    for one in worst:
        truth, said = (mark.x for mark in one.marks)
        assert abs(said - truth) == pytest.approx(errors[worst.index(one)], abs=0.06)
        assert {series.label for series in one.series} >= {"activity shown", "true dose", "predicted dose"}


def test_report_states_definitions_domain_model_and_seed(document):
    html = html_text(document)
    for words in (
        "Definitions",
        "most-likely-shift",
        "Bootstrap over anatomies",
        "Domain of the model",
        "What matters most",
        "Worst cases",
        "Cramer-Rao",
        "Coverage and width",
        "Named scenarios",
        "range-mixed",
        "Weights sha256",
        "Study seed",
    ):
        assert words in html, words
    assert "PASS" not in html.split("Traceability")[0], "a study gives no verdict on a patient"


def test_report_prints_as_pdf(document):
    from io import BytesIO

    from pypdf import PdfReader

    text = " ".join(page.extract_text() for page in PdfReader(BytesIO(pdf_bytes(document))).pages)
    assert "Standard deviation beside the Cramer-Rao bound" in " ".join(text.split())


def test_bars_without_a_base_and_of_one_level_can_be_drawn():
    from protonqa.report.figures import figure_png, figure_svg
    from protonqa.values import Bar

    one = BarFigure(name="b", title="", x_label="mm", y_label="", bars=(Bar(label="a", low=1.0, high=1.0),))
    assert figure_png(one, width_mm=80, height_mm=40).startswith(b"\x89PNG")
    assert b"<svg" in figure_svg(one, width_mm=80, height_mm=40)
