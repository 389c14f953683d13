"""Results as an analysis would give them, for the reports."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime

import numpy as np
import pytest
from pypdf import PdfReader

from protonqa.report.build import build_document
from protonqa.report.pdf import pdf_bytes
from protonqa.report.subject import ReportSubject
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

CREATED = datetime(2026, 3, 4, 10, 12, tzinfo=UTC)


def _ray(name, planned_mm, shift_mm):
    depth = np.arange(0.5, 120.5, 2.0)
    dose = [1 / (1 + np.exp((depth - r) / 1.5)) for r in (planned_mm + shift_mm, planned_mm)]
    activity = 1 / (1 + np.exp((depth - planned_mm + 6) / 3))
    return LineFigure(
        name=name,
        title=f"Ray {name}",
        x_label="depth (mm)",
        y_label="activity (scaled)",
        y2_label="dose (scaled)",
        series=(
            Series(label="measured activity", x=depth, y=activity, style="points"),
            Series(label="expected activity", x=depth, y=activity, style="steps"),
            Series(label="predicted dose", x=depth, y=dose[0], low=dose[0] - 0.1, high=dose[0] + 0.1, axis="right"),
            Series(label="planned dose", x=depth, y=dose[1], style="dashed", axis="right"),
        ),
        marks=(
            Mark(label="R80 predicted", x=planned_mm + shift_mm, low=planned_mm - 2, high=planned_mm + 2),
            Mark(label="R80 planned", x=planned_mm),
            Mark(label="A50 measured", x=planned_mm - 6),
        ),
    )


def make_field(shift_mm=-0.42, **changes):
    """The result of one field."""
    image = np.full((8, 8), shift_mm)
    image[0, 0] = np.nan
    numbers = [
        Measurement(
            name="mean_shift",
            value=shift_mm,
            unit="mm",
            title="Mean range shift",
            low=shift_mm - 0.9,
            high=shift_mm + 0.8,
            confidence=0.95,
        ),
        Measurement(name="shift_sd", value=1.12, unit="mm", title="SD over rays"),
        Measurement(name="method_bias", value=0.31, unit="mm", title="Method bias"),
        Measurement(name="a50_shift", value=shift_mm + 0.3, unit="mm", title="A50 shift"),
        Measurement(name="rays_used", value=187, unit="", title="Rays used"),
        Measurement(name="fraction_beyond_tolerance", value=0.027, unit="1", title="Beyond the action level"),
        Measurement(name="planning_margin", value=5.2, unit="mm", title="Planning margin"),
    ]
    values = {
        "analysis": "range-verification",
        "version": "1.0",
        "title": "Proton range verification",
        "state": State.PASS if abs(shift_mm) <= 3 else State.FAIL,
        "measurements": {one.name: one for one in numbers},
        "figures": (
            ImageFigure(
                name="map",
                title="Range difference",
                x_label="BEV x (mm)",
                y_label="BEV y (mm)",
                image=image,
                extent_mm=(-16, 16, -16, 16),
                unit="mm",
                diverging=True,
                limit=6.0,
            ),
            *(_ray(name, 80.0, shift_mm) for name in ("shallow", "typical", "deep")),
        ),
        "tables": (Table(name="t", title="Uncertainty budget", columns=("Source", "SD"), rows=(("washout", 0.31),)),),
        "findings": (
            Finding(severity=Severity.INFO, code="PET-NEGATIVE", text="some PET voxels are negative"),
            Finding(severity=Severity.CRITICAL, code="WASHOUT", text="no washout is published for liver"),
            Finding(severity=Severity.WARNING, code="GENERIC-HLUT", text="a generic HLUT was used"),
        ),
        "provenance": {
            "parameters": {"tolerance_mm": 3.0, "washout": "parodi-hu", "psf_mm": None},
            "parameter_info": {"tolerance_mm": {"title": "Action level", "unit": "mm"}},
            "versions": {"protonqa": "0.1.0", "python": "3.11"},
            "device": {"kind": "cpu", "label": "Test CPU", "note": "no GPU"},
            "seed": 20260304,
            "tables": "2026.1",
            "started_utc": "2026-03-04T10:11:12+00:00",
        },
        "timings_s": {"run": 12.34},
    }
    return AnalysisResult(**{**values, **changes})


@pytest.fixture(scope="session")
def field():
    """One field, PASS."""
    return make_field()


@pytest.fixture(scope="session")
def plan_of_three():
    """PASS, FAIL and NOT EVALUABLE in one plan."""
    missing = Finding(severity=Severity.WARNING, code="RANGE-SHIFTER", text="the beam has a range shifter")
    parts = (
        make_field(title="Field 1"),
        make_field(-4.6, title="Field 2"),
        AnalysisResult(
            analysis="range-verification",
            version="1.0",
            title="Field 3",
            state=State.NOT_EVALUABLE,
            reason="its range shifter is not known",
            findings=(missing,),
        ),
    )
    return dataclasses.replace(make_field(-2.5), state=State.FAIL, parts=parts, figures=(), tables=())


@pytest.fixture(scope="session")
def subject():
    """A made-up patient and plan."""
    return ReportSubject(
        identity=PatientIdentity(patient_id="PX-004711", name="CANARY^JANE^^DR", birth_date="19600229"),
        plan_names=(("Plan", "CANARY liver"), ("Beam names", "1 BEAMNAME")),
        plan_facts=(("Patient position", "FFS"), ("Beam 1", "gantry 270°, couch 0°")),
        image_facts=(("Planning CT", "Acme 3000, 81 files"),),
    )


@pytest.fixture(scope="session")
def created():
    """When the report is said to be made."""
    return CREATED


@pytest.fixture(scope="session")
def documents(field, plan_of_three, subject, created):
    """The reports of one field and of three, by name."""
    results = {"field": field, "plan_of_three": plan_of_three}
    return {name: build_document(result, subject, created=created) for name, result in results.items()}


@pytest.fixture(scope="session")
def pages_of():
    """A function: the text of each page of a document's PDF; each document is drawn once."""
    known = {}

    def pages(document):
        if id(document) not in known:
            reader = PdfReader(io.BytesIO(pdf_bytes(document)))
            texts = [" ".join(page.extract_text().split()) for page in reader.pages]
            known[id(document)] = (document, texts)
        return known[id(document)][1]

    return pages
