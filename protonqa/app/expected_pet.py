"""`expected-pet`: the PET that a plan should leave, as DICOM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from protonqa.errors import InputError
from protonqa.values import Finding, Timeline

WashoutName = Literal["none", "mizuno-brain", "mizuno-muscle", "parodi-hu", "toramatsu-o15"]


class ExpectedPetParams(BaseModel):
    """What `expected-pet` needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ct: Path = Field(description="CT: DICOM folder or zip.")
    plan: Path = Field(description="RT Ion Plan.")
    delay_s: float = Field(ge=0, description="End of beam to start of frame, s.")
    irradiation_s: float = Field(ge=0, description="Duration of the irradiation, s.")
    acquisition_s: float = Field(gt=0, description="Duration of the frame, s.")
    out: Path = Field(description="Folder of the PET series.")
    beam: int | None = Field(None, ge=0, description="Beam number, where the plan has several.")
    washout: WashoutName = Field("parodi-hu", description="Biological washout.")
    psf_mm: float = Field(5.0, ge=0, le=30, description="Scanner resolution, FWHM, mm.")
    counts: float | None = Field(None, gt=0, description="Detected true coincidences; none: no noise.")
    protons: int = Field(300_000, ge=1000, le=2_000_000_000, description="Simulated protons.")
    cross_sections: Literal["recommended", "gate"] = Field("recommended", description="Emitter cross sections.")
    hlut: Path | None = Field(None, description="HU calibration (CSV).")
    beam_model: Path | None = Field(None, description="Beam model of the machine.")
    pet_spacing_mm: tuple[float, float, float] = Field((3.0, 3.0, 3.0), description="PET voxel, x y z, mm.")
    added_layer_mm: float = Field(0.0, ge=0, le=100, description="Plant a range error: layer of RSP 1 on the skin, mm.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedPet:
    """Where the PET lies and what it holds."""

    folder: Path
    slices: int
    activity_max_bq_per_ml: float
    seconds: float
    findings: tuple[Finding, ...]

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "pet": str(self.folder),
            "slices": self.slices,
            "activity_max_bq_per_ml": self.activity_max_bq_per_ml,
            "seconds": self.seconds,
            "findings": [{"severity": f.severity.value, "code": f.code, "text": f.text} for f in self.findings],
        }


def expected_pet(
    params: ExpectedPetParams, *, seed: int = 0, progress: Callable[[float, float, str], None] | None = None
) -> ExpectedPet:
    """Simulate the beam on the CT and write the PET series it should leave.

    Raises
    ------
    InputError, DicomError, StoreError
    """
    from protonqa.activity.washout import washout_findings
    from protonqa.analyses.forward import choose_beam, pet_grid, pet_of_field, simulate_field
    from protonqa.dicom import read_case
    from protonqa.dicom.write_identity import DicomIdentity
    from protonqa.dicom.write_pet import write_pet
    from protonqa.files.calibrations import read_beam_model, read_hlut
    from protonqa.geometry.body import body_mask
    from protonqa.phantom.surface import paint_layer

    case = read_case(params.ct, plan=params.plan)
    if case.plan is None:
        raise InputError("there is no plan")
    beam = choose_beam(case.plan, params.beam)
    ct = case.ct
    if params.added_layer_mm > 0:
        ct = paint_layer(ct, body_mask(ct), params.added_layer_mm)
    simulation = simulate_field(
        ct,
        case.plan,
        beam,
        protons=params.protons,
        seed=seed,
        hlut=None if params.hlut is None else read_hlut(params.hlut),
        model=None if params.beam_model is None else read_beam_model(params.beam_model),
        cross_sections=params.cross_sections,
        progress=progress,
    )
    timeline = Timeline(irradiation_s=params.irradiation_s, delay_s=params.delay_s, acquisition_s=params.acquisition_s)
    pet = pet_of_field(
        simulation,
        pet_grid(ct.grid, params.pet_spacing_mm),
        timeline,
        washout=params.washout,
        psf_mm=params.psf_mm,
        counts=params.counts,
        seed=seed,
    )
    info = write_pet(
        pet,
        params.out,
        identity=DicomIdentity.of_series(case.ct_info),
        timeline=timeline,
        irradiation_end=datetime.now(UTC),
        comments="simulated",
        overwrite=True,
    )
    return ExpectedPet(
        folder=params.out,
        slices=info.files_used,
        activity_max_bq_per_ml=float(pet.array.max()),
        seconds=simulation.result.seconds,
        findings=(*case.findings, *simulation.result.findings, *washout_findings(params.washout)),
    )
