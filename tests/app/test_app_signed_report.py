"""A comment and a name reach the report, whole, and change nothing else."""

from __future__ import annotations

import pytest

from protonqa.analyses.result_json import result_to_json
from protonqa.app.signed_report import Remarks, write_signed_report
from protonqa.errors import InputError
from protonqa.values import AnalysisResult, Finding, Measurement, Severity, State

WORDS = " ".join(f"word{i:03d}" for i in range(200))


@pytest.fixture
def result_folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    result = AnalysisResult(
        analysis="range-verification",
        version="1.0",
        state=State.FAIL,
        title="Range verification",
        measurements={"mean_shift": Measurement(name="mean_shift", value=-3.4, unit="mm", low=-4.4, high=-2.5)},
        findings=(Finding(severity=Severity.WARNING, code="X", text="A doubt <b>worth</b> reading."),),
    )
    (folder / "result.json").write_text(result_to_json(result), encoding="utf-8")
    return folder


def test_a_long_comment_stands_whole_in_pdf_html_and_preview(result_folder, tmp_path):
    from pypdf import PdfReader

    remarks = Remarks(comment=WORDS, signed_by="A. Reader", role="Physicist")
    paths = write_signed_report(result_folder, {}, tmp_path / "out", remarks=remarks)
    pdf = " ".join(page.extract_text() for page in PdfReader(paths["pdf"]).pages)
    for text in (pdf, paths["html"].read_text(), paths["preview"].read_text()):
        assert "word000" in text
        assert "word199" in text
        assert "A. Reader" in text


def test_texts_of_a_result_are_escaped_in_the_preview(result_folder, tmp_path):
    paths = write_signed_report(result_folder, {}, tmp_path / "out", remarks=Remarks(comment="<img src=x>"))
    text = paths["preview"].read_text()
    assert "<img src=x>" not in text
    assert "<b>worth</b>" not in text


def test_the_result_folder_stays_as_it_is(result_folder, tmp_path):
    before = {path.name: path.read_bytes() for path in result_folder.iterdir()}
    write_signed_report(result_folder, {}, tmp_path / "out", remarks=Remarks(comment="x"))
    assert {path.name: path.read_bytes() for path in result_folder.iterdir()} == before


def test_a_folder_without_a_result_is_an_error_in_words(tmp_path):
    with pytest.raises(InputError, match="no readable result"):
        write_signed_report(tmp_path, {}, tmp_path / "out", remarks=Remarks())
