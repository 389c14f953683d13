"""A simulation as an analysis result: measurements, curves, state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from protonqa.analyses.interface import Analysis
from protonqa.analyses.montecarlo.cross_sections import CrossSectionSpread
from protonqa.analyses.montecarlo.outputs import (
    balance_error_percent,
    balance_limit_percent,
    depth_profile,
    r80_sd_mm,
)
from protonqa.device import Device
from protonqa.montecarlo.result import MonteCarloResult
from protonqa.physics.nuclides import NUCLIDES
from protonqa.values import AnalysisResult, Finding, LineFigure, Mark, Measurement, Series, Severity, State

_SHOWN_NUCLIDES = ("c11", "n13", "o15")
_TWO_SIDED_95 = 1.96


def summary(
    analysis: Analysis,
    result: MonteCarloResult,
    device: Device,
    findings: tuple[Finding, ...],
    artefacts: Mapping[str, str],
    spread: CrossSectionSpread | None = None,
) -> AnalysisResult:
    """The result; PASS when the energy book closes within 0.1 % and its noise, else FAIL."""
    error = balance_error_percent(result)
    r80_mm = result.range_mm(0.8)
    doubts = list(findings) + list(result.findings)
    if r80_mm is None:
        doubts.append(no_range_finding())
    return AnalysisResult(
        analysis=analysis.name,
        version=analysis.version,
        title=analysis.title,
        state=State.PASS if error <= balance_limit_percent(result.protons) else State.FAIL,
        measurements=_measurements(result, r80_mm, error),
        tables=() if spread is None else (spread.table(),),
        figures=_figures(result, r80_mm),
        findings=tuple(dict.fromkeys(doubts)),
        artefacts=dict(artefacts),
        provenance={
            "cross_sections": result.cross_sections,
            "device": asdict(device),
            "energy_balance": dict(result.energy_balance),
        },
        timings_s={"simulation": result.seconds},
    )


def no_range_finding() -> Finding:
    """What a result says whose depth dose has no fall-off."""
    text = "The depth dose has no R80: the beam leaves the volume, or too few protons make no curve."
    return Finding(severity=Severity.WARNING, code="SIM-NO-RANGE", text=text)


def _measurements(result: MonteCarloResult, r80_mm: float | None, balance_error: float) -> dict[str, Measurement]:
    sd = r80_sd_mm(result) if result.field_protons == 0 else None
    band = None if sd is None or r80_mm is None else _TWO_SIDED_95 * sd
    made = [
        Measurement(
            name="r80",
            title="R80",
            value=r80_mm,
            unit="mm",
            low=None if band is None or r80_mm is None else r80_mm - band,
            high=None if band is None or r80_mm is None else r80_mm + band,
            confidence=None if band is None else 0.95,
        ),
        Measurement(name="r90", title="R90", value=result.range_mm(0.9), unit="mm"),
        Measurement(name="energy_error", title="Energy not accounted for", value=balance_error, unit="%"),
        Measurement(
            name="energy_error_limit", title="Limit of it", value=balance_limit_percent(result.protons), unit="%"
        ),
        Measurement(name="protons", title="Simulated protons", value=float(result.protons), unit="1"),
    ]
    if result.high_dose_error_percent is not None:
        made.append(
            Measurement(
                name="dose_error",
                title="Statistical error of the dose above half of its highest",
                value=result.high_dose_error_percent,
                unit="%",
            )
        )
    if result.field_protons > 0:
        made.append(
            Measurement(name="field_protons", title="Protons of the field", value=result.field_protons, unit="1")
        )
    return {one.name: one for one in made}


def _figures(result: MonteCarloResult, r80_mm: float | None) -> tuple[LineFigure, ...]:
    profile = depth_profile(result)
    dose = profile.dose_mev_cm2_per_g
    curves = () if dose is None else (Series(label="dose to water", x=profile.depth_mm, y=dose),)
    labels = {one.key: one.label for one in NUCLIDES}
    keys = tuple(labels)
    made = tuple(
        Series(label=labels[key], x=profile.depth_mm, y=np.asarray(profile.production_per_mm[keys.index(key)]))
        for key in _SHOWN_NUCLIDES
    )
    marks = () if r80_mm is None else (Mark(label="R80", x=r80_mm),)
    return (
        LineFigure(
            name="depth-dose",
            title="Depth dose, laterally integrated",
            x_label="depth (mm)",
            y_label="dose (MeV cm2/g per proton)",
            series=curves,
            marks=marks,
        ),
        LineFigure(
            name="nuclides",
            title="Positron emitters made",
            x_label="depth (mm)",
            y_label="nuclei per mm and proton",
            series=made,
            marks=marks,
        ),
    )
