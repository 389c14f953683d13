"""Results for the tests, with one of every kind of member."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np

from protonqa.analyses.interface import Check, Commissioning
from protonqa.store import open_store, save_result
from protonqa.values import (
    AnalysisResult,
    Finding,
    ImageFigure,
    LineFigure,
    Mark,
    Measurement,
    Series,
    Severity,
    State,
    Table,
)

BEGAN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def shift_result(
    shift_mm: float | None = 0.4,
    *,
    state: State = State.PASS,
    beams: int = 1,
    unit: str = "mm",
    half_width_mm: float = 1.0,
    program: str = "0.1.0",
    seed: int = 7,
    started: datetime = BEGAN,
    parameters: dict[str, object] | None = None,
    findings: tuple[Finding, ...] = (Finding(severity=Severity.WARNING, code="HLUT-GENERIC", text="no calibration"),),
) -> AnalysisResult:
    """A range verification as the analysis gives it, small."""
    ends = (None, None) if shift_mm is None else (shift_mm - half_width_mm, shift_mm + half_width_mm)
    numbers = {
        "mean_shift": Measurement(
            name="mean_shift",
            value=shift_mm,
            unit=unit,
            title="Mean range shift",
            low=ends[0],
            high=ends[1],
            confidence=0.95,
        ),
        "rays_used": Measurement(name="rays_used", value=187.0, unit="", title="Rays used"),
    }
    parts = tuple(
        AnalysisResult(
            analysis="range-verification",
            version="1.0",
            state=state,
            reason="as the whole",
            title=f"Field {number}",
            measurements={"beam": Measurement(name="beam", value=float(number), unit=""), **numbers},
        )
        for number in range(1, beams + 1)
    )
    return AnalysisResult(
        analysis="range-verification",
        version="1.0",
        title="Range verification",
        state=state,
        reason="" if state in (State.PASS, State.FAIL) else "no time line",
        measurements=numbers,
        findings=findings,
        tables=(Table(name="kinds", title="Kinds", columns=("kind", "n"), rows=(("one fall-off", 180), ("mixed", 7))),),
        figures=(
            LineFigure(
                name="profile",
                title="Profile",
                x_label="depth [mm]",
                y_label="dose",
                series=(Series(label="dose", x=np.arange(3.0), y=np.array([1.0, 0.5, 0.0])),),
                marks=(Mark(label="R80", x=1.5),),
            ),
            ImageFigure(
                name="map",
                title="Map",
                x_label="x [mm]",
                y_label="y [mm]",
                image=np.array([[0.0, np.nan], [1.0, -1.0]]),
                extent_mm=(0.0, 2.0, 0.0, 2.0),
                unit="mm",
                diverging=True,
            ),
        ),
        artefacts={"report.pdf": "the report"},
        provenance={
            "seed": seed,
            "tables": "2026.1",
            "versions": {"protonqa": program, "numpy": "2.0"},
            "device": {"kind": "cpu", "label": "Test CPU"},
            "parameters": {"tolerance_mm": 3.0, "method": "auto", **(parameters or {})},
            "started_utc": started.isoformat(timespec="seconds"),
        },
        timings_s={"run": 12.5},
        parts=parts,
    )


@cache
def _empty_store() -> bytes:
    """An empty store as a file: making one takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.sqlite"
        open_store(path).close()
        return path.read_bytes()


def filled(path: Path, results: int = 30) -> None:
    """Store `results` results with shifts of 0, 1, 2, ... mm in the SQLite store at `path`, made when absent."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_empty_store())
    with open_store(path) as store:
        for index in range(results):
            save_result(store, shift_result(float(index)))


def passed_test(value: float = 0.5) -> Commissioning:
    """An acceptance test with one check and a limit of one."""
    return Commissioning(checks=(Check(name="bias", value=value, unit="mm", limit=1.0, title="Bias"),))
