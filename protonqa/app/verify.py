"""`verify`: the main job on a patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from protonqa.analyses.registry import load_analysis
from protonqa.analyses.run_folder import prove_writable
from protonqa.analyses.runner import check_params
from protonqa.app.analyses import run_into_folder
from protonqa.app.inputs import load_inputs
from protonqa.app.progress import stages
from protonqa.app.recording import Recorder
from protonqa.app.site_values import with_site
from protonqa.device import CPU, Device
from protonqa.site.reading import current_site
from protonqa.values import AnalysisResult, Case, Finding, Severity

WashoutName = Literal["none", "mizuno-brain", "mizuno-muscle", "parodi-hu", "toramatsu-o15"]
_INPUTS = ("ct", "pet", "plan", "dose", "hlut", "beam_model", "expected", "range_model")


class VerifyCommand(BaseModel):
    """Files and the parameters that differ from their defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ct: Path = Field(description="Planning CT: DICOM folder or zip.")
    pet: Path = Field(description="PET: DICOM folder.")
    plan: Path = Field(description="RT Ion Plan.")
    out: Path = Field(description="Folder of the result.")
    dose: Path | None = Field(None, description="RT Dose of the beam.")
    structures: Path | None = Field(None, description="RT Structure Set; read, not used for the range.")
    hlut: Path | None = Field(None, description="HU calibration (CSV).")
    beam_model: Path | None = Field(None, description="Beam model of the machine.")
    expected: Path | None = Field(None, description="Expected PET, as expected-pet writes it; else it is simulated.")
    range_model: Path | None = Field(None, description="Range model of your own, such as one made for this patient.")
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

    def split(self) -> tuple[dict[str, Path], dict[str, Any]]:
        """Inputs and parameters of the analysis."""
        given = {k: v for k, v in self.model_dump(exclude={"out", "anonymous", "structures"}).items() if v is not None}
        inputs = {name: given.pop(name) for name in _INPUTS if name in given}
        return inputs, given


def verify(
    command: VerifyCommand,
    *,
    seed: int = 0,
    device: Device = CPU,
    progress: Callable[[float, float, str], None] | None = None,
    record: Recorder | None = None,
) -> AnalysisResult:
    """Read, verify and write result, report and manifest; raises as ``protonqa.app.analyses.run``.

    With `record` the result also says when this version was last commissioned on this device, and is stored.
    """
    loaded = load_analysis("range-verification")
    inputs, params = command.split()
    checked = check_params(loaded.analysis, params)
    prove_writable(command.out)
    reading, running = stages(progress, (1, 9))
    reading(0, 1, "reading")
    values, findings = load_inputs(loaded.analysis.inputs, inputs)
    values, found = with_structures(command, values)
    findings += found
    completed = with_site(loaded.analysis, values, checked, current_site())
    findings += completed.findings
    if record is not None:
        findings += record.commissioning(loaded.analysis.name, loaded.analysis.version, device)
    result = run_into_folder(
        loaded,
        completed.values,
        completed.params,
        out=command.out,
        seed=seed,
        device=device,
        progress=running,
        findings=findings,
        sources=completed.sources,
        anonymous=command.anonymous,
    )
    if record is not None:
        record.result(result, values=values, paths=inputs, out=command.out)
    return result


def with_structures(command: VerifyCommand, values: dict[str, Any]) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """The case with the structures that were named, and what reading them came to."""
    if command.structures is None:
        return values, ()
    from protonqa.dicom import read_case_structures

    case: Case = values["case"]
    structures, found = read_case_structures(case.ct_info, command.structures)
    count = len(structures.structures)
    text = f"RT Structure Set: {count} structure(s) were read; the verification does not use them."
    note = Finding(severity=Severity.INFO, code="STRUCTURES-READ", text=text)
    return {**values, "case": replace(case, structures=structures)}, (*found, note)


def verify_plain(result: AnalysisResult, out: Path) -> dict[str, Any]:
    """The JSON object of ``verify``."""
    from protonqa.app.results import verify_to_plain

    return {**verify_to_plain(result), "report": str(out / "report.pdf")}
