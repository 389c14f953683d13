"""Figures of the acceptance test in the documents are those of its record, and every check of it is shown."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("commissioning_figures", DOCS / "commissioning_figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["physics.md", "validation.md"])
def test_documents_say_what_the_record_says(script, name):
    """Figures of an older engine would flatter or slander the present one."""
    page = (DOCS / name).read_text(encoding="utf-8")
    assert script.page_with(script.PAGES[name](script.read_record()), page) == page, (
        "run: python docs/commissioning_figures.py"
    )


def test_every_check_of_the_record_is_in_one_row(script):
    names = [check["name"] for check in script.checks_of(script.read_record())]
    rows = {name: sum(bool(re.fullmatch(claim.names, name)) for claim in script.CLAIMS) for name in names}
    assert len(names) > 100
    assert {name: count for name, count in rows.items() if count != 1} == {}


def test_a_missed_limit_is_said_and_not_averaged_away(script):
    record = script.read_record()
    check = next(one for one in script.checks_of(record) if one["name"] == "independent-gamma-150mev")
    check |= {"value": 12.0, "passed": False}
    text = script.claims_table(record)
    assert "12 to 100 %" in text
    assert "**1 missed**" in text
    assert "- Depth dose that meets an independent code (gamma 1 %/1 mm), water, 150 MeV: 12 %, limit ≥ 99 %." in text


def test_the_record_is_of_a_full_test_and_its_figures_are_there(script):
    record = script.read_record()
    assert record["quick"] is False
    for name, _ in script.figures_of(record):
        assert (DOCS / "images" / f"{script.PREFIX}{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_of_the_study_says_what_its_record_says():
    """A table of an older study, or one that was touched by hand, would not be found by eye."""
    spec = importlib.util.spec_from_file_location("study_figures", DOCS / "study_figures.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    page = (DOCS / "study.md").read_text(encoding="utf-8")
    record = json.loads(figures.RECORD.read_text(encoding="utf-8"))
    assert figures.page_with(figures.section(record), page) == page, "run: python docs/study_figures.py"
    assert len(record["rows"]) == 2 * 11 * 11
