"""`verify`: the main job on a patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from protonqa.app.analyses import RunParams
from protonqa.app.analyses import run as run_analysis
from protonqa.device import CPU, Device
from protonqa.values import AnalysisResult

WashoutName = Literal["none", "mizuno-brain", "mizuno-muscle", "parodi-hu", "toramatsu-o15"]
_INPUTS = ("ct", "pet", "plan", "dose", "hlut", "beam_model", "expected")


class VerifyCommand(BaseModel):
    """Files and the parameters that differ from their defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ct: Path = Field(description="Planning CT: DICOM folder or zip.")
    pet: Path = Field(description="PET: DICOM folder.")
    plan: Path = Field(description="RT Ion Plan.")
    out: Path = Field(description="Folder of the result.")
    dose: Path | None = Field(None, description="RT Dose of the beam.")
    hlut: Path | None = Field(None, description="HU calibration (CSV).")
    beam_model: Path | None = Field(None, description="Beam model of the machine.")
    expected: Path | None = Field(None, description="Expected PET, as expected-pet writes it; else it is simulated.")
    beam: int | None = Field(None, ge=0, description="Beam number, where the plan has several.")
    delay_s: float | None = Field(None, ge=0, description="End of beam to start of frame, s.")
    irradiation_s: float | None = Field(None, ge=0, description="Duration of the irradiation, s.")
    acquisition_s: float | None = Field(None, ge=0, description="Duration of the frame, s.")
    psf_mm: float | None = Field(None, ge=0, le=30, description="Scanner resolution, FWHM, mm.")
    washout: WashoutName | None = Field(None, description="Washout of the expected activity [default: parodi-hu].")
    cross_sections: Literal["recommended", "gate"] | None = Field(None, description="Emitter cross sections.")
    tolerance_mm: float | None = Field(None, gt=0, le=50, description="Action level, mm [default: 3].")
    protons: int | None = Field(None, ge=1000, description="Simulated protons.")
    method: Literal["auto", "model", "a50"] | None = Field(None, description="Range estimator.")
    anonymous: bool = Field(False, description="Withhold identity in the report.")

    def as_run(self) -> RunParams:
        """The same as a run of the analysis."""
        given = {k: v for k, v in self.model_dump().items() if v is not None}
        inputs = {name: given.pop(name) for name in _INPUTS if name in given}
        out, anonymous = given.pop("out"), given.pop("anonymous")
        return RunParams(name="range-verification", inputs=inputs, params=given, out=out, anonymous=anonymous)


def verify(
    command: VerifyCommand,
    *,
    seed: int = 0,
    device: Device = CPU,
    progress: Callable[[float, float, str], None] | None = None,
) -> AnalysisResult:
    """Read, verify and write result, report and manifest; see ``protonqa.app.analyses.run``."""
    return run_analysis(command.as_run(), seed=seed, device=device, progress=progress)


def verify_plain(result: AnalysisResult, out: Path) -> dict[str, Any]:
    """The JSON object of ``verify``."""
    from protonqa.app.results import verify_to_plain

    return {**verify_to_plain(result), "report": str(out / "report.pdf")}
