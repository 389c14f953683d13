"""The page of an acceptance test: every check with its limit, failures first, figures that are files beside it."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from protonqa.analyses.interface import Check, Commissioning
from protonqa.report.commissioning_page import PAGE, write_commissioning_page
from protonqa.values import Finding, LineFigure, Series, Severity, Table


def figure(name: str = "depth-doses", **changes: object) -> LineFigure:
    curve = Series(label="water", x=np.array([0.0, 1.0, np.nan, 2.0]), y=np.array([0.0, 1.0, np.nan, 2.0]))
    values = {"name": name, "title": "Depth doses", "x_label": "depth (mm)", "y_label": "dose", "series": (curve,)}
    return LineFigure(**{**values, **changes})


def outcome(**changes: object) -> Commissioning:
    values = {
        "checks": (
            Check(name="r80", title="R80", value=-0.12345, unit="mm", limit=0.3, comparison="abs<="),
            Check(name="gamma", title="Gamma", value=97.25, unit="%", limit=99.0, comparison=">="),
            Check(name="nothing", value=None, unit="mm", limit=1.0),
        ),
        "tables": (Table(name="t", title="All ranges", columns=("energy_mev", "r80_mm"), rows=((150.0, 157.4567),)),),
        "figures": (figure(),),
    }
    return Commissioning(**{**values, **changes})


def page(folder, of):
    names = write_commissioning_page(of, folder, title="Monte Carlo", facts={"computer": "Test CPU, 2 cores"})
    assert {path.name for path in folder.iterdir()} == set(names)
    return (folder / PAGE).read_text(encoding="utf-8")


def test_every_check_stands_with_value_unit_and_limit_and_failures_come_first(tmp_path):
    text = page(tmp_path, outcome())
    assert "**FAIL**: 1 of 3 checks passed." in text
    rows = re.findall(r"^\| (ok|\*\*FAIL\*\*) \| (.*) \|$", text, re.MULTILINE)
    assert rows == [
        ("**FAIL**", "Gamma | 97.25 % | ≥ 99 %"),
        ("**FAIL**", "nothing | no value | ≤ 1 mm"),
        ("ok", "R80 | −0.123 mm | ±0.3 mm"),
    ]
    assert "- computer: Test CPU, 2 cores" in text


def test_tables_and_figures_are_there(tmp_path):
    text = page(tmp_path, outcome())
    assert "| energy mev | r80 mm |\n|---|---|\n| 150 | 157.5 |" in text
    assert re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text) == ["depth-doses.png"]
    with Image.open(io.BytesIO((tmp_path / "depth-doses.png").read_bytes())) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300


def test_an_outcome_without_checks_says_fail_and_why(tmp_path):
    finding = Finding(severity=Severity.CRITICAL, code="X", text="it broke")
    text = page(tmp_path, Commissioning(checks=(), findings=(finding,)))
    assert "**FAIL**: 0 of 0 checks passed." in text
    assert "- critical: it broke" in text


@pytest.mark.parametrize("name", ["../../secret", "a/b", "CON.txt", "", "A figure", "x" * 100])
def test_no_figure_leaves_the_folder(tmp_path, name):
    text = page(tmp_path, outcome(figures=(figure(name),)))
    assert "(figure-1.png)" in text


def test_texts_of_a_plugin_are_no_markup(tmp_path):
    title = "a | b <script>alert(1)</script> [x](http://y) `z`\n# heading"
    text = page(tmp_path, outcome(checks=(Check(name="x", title=title, value=0.0, unit="|", limit=1.0),)))
    assert "<script>" not in text
    assert not re.search(r"(?<!\\)\]\(http", text)
    assert "\n# heading" not in text
    row = next(line for line in text.splitlines() if line.startswith("| ok"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
