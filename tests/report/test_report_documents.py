"""PDF and HTML say the same, all of it, and print any text as text."""

from __future__ import annotations

import dataclasses
import html as html_module
import re

import numpy as np
import pytest
from pypdf import PdfReader

from protonqa.report.build import build_document
from protonqa.report.document import INTENDED_USE, FigureBlock, Findings, Pair
from protonqa.report.figures import figure_svg
from protonqa.report.files import write_report
from protonqa.report.html import html_text
from protonqa.report.pdf import pdf_bytes
from protonqa.report.subject import ReportSubject, subject_of_case
from protonqa.values import (
    AnalysisResult,
    Finding,
    ImageFigure,
    LineFigure,
    Mark,
    Measurement,
    PatientIdentity,
    Series,
    Severity,
    State,
    Table,
)


def html_words(document):
    """Visible text of the HTML, without style and figures."""
    body = re.sub(r"<style>.*?</style>", " ", html_text(document), flags=re.S)
    return " ".join(html_module.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def squeezed(text):
    """Without spaces: the PDF breaks lines where it likes, inside long words too."""
    return re.sub(r"\s", "", text)


def test_page_one_tells_the_verdict_and_every_finding(documents, pages_of):
    pages = pages_of(documents["field"])
    assert 2 <= len(pages) <= 3
    first = pages[0]
    for text in (
        "PASS",
        "Mean range shift −0.4 mm (95 % interval −1.3 to +0.4 mm); shallower than planned.",
        "±3.0 mm",
        "3.5 % + 1 mm",
        "187",
        "2.7 % beyond the action level",
        "CANARY, JANE, DR",
        "PX-004711",
        "1960-02-29",
        "gantry 270°, couch 0°",
    ):
        assert text in first, text
    places = [first.index(code) for code in ("WASHOUT", "GENERIC-HLUT", "PET-NEGATIVE")]
    assert places == sorted(places), "the gravest finding comes first"


def test_every_page_has_number_report_id_and_intended_use(documents, pages_of):
    document = documents["field"]
    pages = pages_of(document)
    for number, page in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in page
        assert document.report_id in page
        assert INTENDED_USE in page


def test_a_physicist_can_trace_and_sign_it(documents, pages_of):
    text = " ".join(pages_of(documents["field"]))
    for fact in ("20260304", "cpu: Test CPU (no GPU)", "2026.1", "protonqa 0.1.0", "parodi-hu", "12.3 s"):
        assert fact in text, fact
    for line in ("Name", "Date", "Signature", "Reviewed by (medical physicist)"):
        assert line in text


@pytest.mark.parametrize("kind", ["field", "plan_of_three"])
def test_pdf_and_html_say_the_same(kind, documents, pages_of):
    document = documents[kind]
    pdf = squeezed(" ".join(pages_of(document)))
    missing = [word for word in html_words(document).split() if squeezed(word) not in pdf]
    assert not missing


def test_several_fields_each_have_their_row_and_section(documents, pages_of):
    pages = pages_of(documents["plan_of_three"])
    assert "FAIL" in pages[0]
    for row in ("Field 1 PASS −0.42 −1.32 to +0.38", "Field 2 FAIL −4.60", "Field 3 NOT EVALUABLE"):
        assert row in pages[0], row
    assert "Field 3: the beam has a range shifter." in pages[0]
    assert any("its range shifter is not known" in page for page in pages[1:])
    assert sum("Range difference" in page for page in pages) == 2


def test_one_part_is_shown_as_the_result_itself(field, created):
    document = build_document(dataclasses.replace(field, parts=(field,)), created=created)
    figures = [block for block in document.blocks if isinstance(block, FigureBlock)]
    maps = [block for block in document.blocks if isinstance(block, Pair)]
    assert (len(figures), len(maps)) == (3, 1)


@pytest.mark.parametrize("state", [State.NOT_EVALUABLE, State.ERROR])
def test_no_verdict_gives_its_reason_and_no_number(state, field, subject, created, pages_of):
    result = dataclasses.replace(field, state=state, reason="no time line", measurements={}, figures=(), tables=())
    pages = pages_of(build_document(result, subject, created=created))
    assert len(pages) <= 2
    assert f"{state.value} No time line." in pages[0]
    assert "GENERIC-HLUT" in pages[0]
    assert "PASS" not in " ".join(pages)


def test_a_bare_failure_still_makes_a_report(created, pages_of):
    result = AnalysisResult(analysis="acme", version="1", state=State.ERROR, reason="unexpected ValueError")
    text = " ".join(pages_of(build_document(result, created=created)))
    assert "Unexpected ValueError." in text
    assert "Signature" in text


NASTY = [
    "</para><font size=90>BIG</font>",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt; & \" ' `",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(A1)",
    "{{ 7*7 }} {% for x in y %}",
    "${jndi:ldap://x}",
    "../../etc/passwd",
    "..\\..\\CON",
    "CON",
    "$\\frac{1}{0}$ $",
    "^_~%#\\",
    "x" * 400,
    "word " * 200,
    "a\x00b\x07c\x1bd\x7f",
    "line\nbreak\r\nand\ttab",
    "\u202eevil\u202c \u200bzero\u200d",
    "\ud800 lone",
    "כהן^דוד (משה) 12",
    "محمد^علي",
    "山田^太郎=やまだ^たろう",
    "김^철수",
    "王^小明",
    "Ünïcödé Ωμέγα Łódź Ø",
    "👩‍⚕️ 🧪",
    "e\u0301\u0323\u0323\u0323",
    "_leading underscore",
    "",
    " ",
    "^^^^",
    "===",
    "null",
    "<!--",
    "]]>",
    "<?xml version='1.0'?>",
    "%s %d %n",
    "\\x00\\u0000",
    "Robert'); DROP TABLE results;--",
]


@pytest.mark.parametrize("name", NASTY)
def test_nasty_texts_are_printed_not_run(name, created):
    result = AnalysisResult(
        analysis="range-verification",
        version=name,
        title=name,
        state=State.NOT_EVALUABLE,
        reason=name or "x",
        measurements={"m": Measurement(name="m", value=1.0, unit=name, title=name)},
        tables=(Table(name="t", title=name, columns=(name, "n"), rows=((name, 1.5),)),),
        findings=(Finding(severity=Severity.WARNING, code=name, text=name),),
        provenance={"parameters": {name: name}, name: name, "device": name},
        timings_s={name: 1.0},
    )
    identity = PatientIdentity(patient_id=name, name=name, birth_date=name)
    about = ReportSubject(identity=identity, plan_names=(("Plan", name),), plan_facts=((name, name),))
    document = build_document(result, about, created=created)
    page = html_text(document)
    assert not re.search(r"<(script|img src=x|font|b>|\?xml|!--)", page)
    assert re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u200b-\u200f\u2066-\u2069]", page) is None
    page.encode("utf-8")
    assert pdf_bytes(document).startswith(b"%PDF-")


def test_nasty_labels_are_drawn_as_text(created):
    """No formula, no hidden legend entry, no warning for a missing glyph."""
    depth = np.arange(3.0)
    figures = tuple(
        LineFigure(
            name="f",
            title="f",
            x_label=names[0],
            y_label=names[1],
            series=tuple(Series(label=name, x=depth, y=depth) for name in names),
            marks=tuple(Mark(label=name, x=1.0) for name in names[:3]),
        )
        for names in (NASTY[start : start + 8] for start in range(0, len(NASTY) - 1, 8))
    )
    for figure in figures:
        assert figure_svg(figure, width_mm=176, height_mm=80).startswith(b"<?xml")


def test_markup_in_a_name_is_visible_as_typed(field, created, pages_of):
    about = ReportSubject(identity=PatientIdentity(name="<b>O'Neil</b>^{{x}} & Co", patient_id="=1+1"))
    document = build_document(dataclasses.replace(field, figures=()), about, created=created)
    assert "<b>O'Neil</b>, {{x}} & Co" in pages_of(document)[0]
    assert "&lt;b&gt;O&#39;Neil&lt;/b&gt;, {{x}} &amp; Co" in html_text(document)


def test_html_is_self_contained_and_runs_nothing(field, subject, created):
    page = html_text(build_document(field, subject, created=created))
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert re.findall(r"""(?:src|href)=["'](?!data:)""", page) == []
    assert page.count("data:image/svg+xml;base64,") == 4
    assert len(re.findall(r'<img alt="[^"]+"', page)) == 4


CANARIES = ("CANARY", "JANE", "PX-004711", "1960-02-29", "19600229", "BEAMNAME", "2026-03", "10:12")


def test_an_anonymous_report_names_nobody(field, subject, created, tmp_path):
    """Nor in a finding, a title, a table or a figure that quotes the name."""
    quoting = dataclasses.replace(
        field,
        title="Range of Canary, Jane",
        findings=(*field.findings, Finding(severity=Severity.INFO, code="X", text="plan of canary_jane, PX-004711")),
        tables=(Table(name="t", title="JANE", columns=("CANARY",), rows=(("born 19600229",),)),),
        figures=(dataclasses.replace(field.figures[1], x_label="depth in JANE", title="CANARY"),),
    )
    write_report(quoting, tmp_path, subject=subject, created=created, anonymous=True)
    pdf = PdfReader(tmp_path / "report.pdf")
    text = " ".join(page.extract_text() for page in pdf.pages) + str(pdf.metadata)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for canary in CANARIES:
        assert canary.lower() not in text.lower(), canary
        assert canary.lower() not in re.sub(r"base64,[^\"]*", "", page).lower(), canary
    assert "withheld (anonymous report)" in page
    document = build_document(quoting, subject, created=created, anonymous=True)
    figure = next(block.figure for block in document.blocks if isinstance(block, FigureBlock))
    assert figure.x_label == "depth in [withheld]"


def test_the_named_report_does_name(field, subject, created, tmp_path):
    """The counter-test: the canaries would be seen."""
    write_report(dataclasses.replace(field, figures=()), tmp_path, subject=subject, created=created)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "CANARY" in page
    assert "PX-004711" in page


def test_the_same_result_gives_the_same_bytes(field, subject, created):
    short = dataclasses.replace(field, figures=field.figures[:1])
    first, second = (build_document(short, subject, created=created) for _ in range(2))
    assert pdf_bytes(first) == pdf_bytes(second)
    assert html_text(first) == html_text(second)


def test_another_number_gives_another_report_id(field, created):
    other = dataclasses.replace(field, provenance={**field.provenance, "seed": 2})
    assert build_document(field, created=created).report_id != build_document(other, created=created).report_id


def test_other_analyses_are_reported_too(created, pages_of):
    numbers = {name: Measurement(name=name, value=1.5, unit="HU", title=name.upper()) for name in ("a", "b")}
    empty = Table(name="e", title="Empty", columns=("x",), rows=())
    images = tuple(
        ImageFigure(
            name=f"m{index}",
            title=f"Map {index}",
            x_label="x",
            y_label="y",
            image=image,
            extent_mm=(0, 2, 0, 2),
            unit="HU",
        )
        for index, image in enumerate([np.full((2, 2), np.nan), np.zeros((2, 2)), np.eye(2) - 5])
    )
    result = AnalysisResult(
        analysis="image-quality",
        version="1",
        state=State.PASS,
        measurements=numbers,
        figures=images,
        tables=(empty,),
        provenance={"model": {"name": "unet", "sha": [1, 2]}, "device": "cpu"},
    )
    text = " ".join(pages_of(build_document(result, created=created)))
    for word in ("image-quality", "1.5 HU", "Map 0", "Map 2", "Empty", "name unet, sha 1, 2", "None."):
        assert word in text, word
    assert "Planning margin" not in text


def test_many_findings_are_all_printed(field, created, pages_of):
    found = tuple(Finding(severity=Severity.WARNING, code=f"F-{n:03d}", text="text " * 40) for n in range(60))
    document = build_document(dataclasses.replace(field, findings=found), created=created)
    text = " ".join(pages_of(document))
    assert all(one.code in text for one in found)
    printed = next(block for block in document.blocks if isinstance(block, Findings)).findings
    assert [one.code for one in printed] == [one.code for one in found]


def test_a_table_longer_than_a_page_repeats_its_head(field, created, pages_of):
    rows = tuple((f"ray {index}", index / 7) for index in range(200))
    table = Table(name="rays", title="Rays", columns=("Name of the ray", "Shift"), rows=rows)
    pages = pages_of(build_document(dataclasses.replace(field, tables=(table,)), created=created))
    assert sum("Name of the ray" in page for page in pages) >= 4
    assert "ray 199" in " ".join(pages)


def test_the_subject_comes_from_the_case():
    from protonqa.values import Beam, Case, EnergyLayer, Grid, IonPlan, SeriesInfo, Timeline, Volume

    layer = EnergyLayer(energy_mev=120.0, spot_xy_mm=np.zeros((1, 2)), meterset_mu=np.ones(1))
    beam = Beam(number=2, name="LAT", gantry_deg=270, couch_deg=0, isocenter_mm=(0, 0, 0), layers=(layer,))
    grid = Grid(shape=(2, 2, 2), spacing_mm=(1, 1, 1), origin_mm=(0, 0, 0))
    case = Case(
        ct=Volume(grid=grid, array=np.zeros((2, 2, 2)), unit="HU"),
        ct_info=SeriesInfo(modality="CT", patient=PatientIdentity(patient_id="1", name="A^B"), files_used=2),
        plan=IonPlan(patient_position="FFS", beams=(beam,), label="Liver"),
        timeline=Timeline(irradiation_s=60, delay_s=300, acquisition_s=1200),
    )
    about = subject_of_case(case)
    rows = dict([*about.identity_rows(anonymous=False), *about.plan_facts, *about.image_facts])
    assert rows["Patient name"] == "A, B"
    assert rows["Plan"] == "Liver"
    assert rows["Beam 2"] == "gantry 270°, couch 0°, 1 layers 120.0 to 120.0 MeV"
    assert rows["Patient position"] == "FFS"
    assert rows["Planning CT"] == "2 files"
    assert rows["Time line"] == "irradiation 60 s, delay 300 s, acquisition 1200 s"


def test_curves_of_a_single_point_and_far_marks_are_drawn(field, created):
    one = np.array([5.0])
    figure = LineFigure(
        name="p",
        title="P",
        x_label="x",
        y_label="y",
        series=(Series(label="a", x=one, y=one, style="points"),),
        marks=tuple(Mark(label=f"mark {index}", x=float(index)) for index in (1, 1, 1, 500)),
    )
    empty = LineFigure(name="e", title="E", x_label="x", y_label="y", series=())
    document = build_document(dataclasses.replace(field, figures=(figure, empty)), created=created)
    assert pdf_bytes(document).startswith(b"%PDF-")


def test_the_evidence_stands_on_page_one_where_it_fits(documents, pages_of, field, subject, created):
    """With few findings the map and the numbers follow the verdict; with many they begin page two, whole."""
    pages = pages_of(documents["field"])
    assert "Range difference" in pages[0]
    assert "Method bias" in pages[0]
    found = tuple(Finding(severity=Severity.WARNING, code="F", text=f"doubt {n} " * 12) for n in range(14))
    pages = pages_of(build_document(dataclasses.replace(field, findings=found), subject, created=created))
    assert len(pages) == 3
    assert "doubt 13" in pages[0]
    assert "Range difference" in pages[1]
    assert "Ray deep" in pages[1]
