"""`plan`: a field for a spherical target on a CT, as RT Ion Plan of the same patient, study and frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from protonqa.app.progress import Progress, report_progress
from protonqa.values import Beam, Finding

if TYPE_CHECKING:
    from protonqa.phantom.field_maker import FieldDesign


class PlanParams(BaseModel):
    """Target, angles and dose of the field."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    ct: Path = Field(description="CT: DICOM folder or zip.")
    target_center_mm: tuple[float, float, float] = Field(description="Centre of the target, DICOM LPS x y z, mm.")
    target_radius_mm: float = Field(gt=0, le=200, description="Radius of the target, mm.")
    gantry_deg: float = Field(ge=-360, le=360, description="Gantry angle, IEC 61217.")
    out: Path = Field(description="The RT Ion Plan; an old file is replaced.")
    couch_deg: float = Field(0.0, ge=-360, le=360, description="Couch angle, IEC 61217.")
    dose_gy: float = Field(2.0, gt=0, le=100, description="Dose to water at the centre of the target, Gy.")
    spot_spacing_mm: float = Field(5.0, ge=0.5, le=50, description="Distance of neighbouring spots, mm.")
    hlut: Path | None = Field(None, description="HU calibration (CSV).")
    beam_model: Path | None = Field(None, description="Beam model of the machine.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrittenPlan:
    """The field and what was found while making it."""

    design: FieldDesign
    patient_position: str
    findings: tuple[Finding, ...]

    @property
    def beam(self) -> Beam:
        """The one beam of the plan."""
        return self.design.plan.beams[0]

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        from protonqa.analyses.result_json import finding_to_plain

        beam = self.beam
        energies = [layer.energy_mev for layer in beam.layers]
        return {
            "beam": beam.number,
            "gantry_deg": beam.gantry_deg,
            "couch_deg": beam.couch_deg,
            "isocenter_mm": list(beam.isocenter_mm),
            "patient_position": self.patient_position,
            "layers": len(energies),
            "spots": sum(layer.meterset_mu.size for layer in beam.layers),
            "energy_low_mev": min(energies),
            "energy_high_mev": max(energies),
            "meterset_mu": beam.meterset_mu,
            "protons": float(self.design.protons.sum()),
            "dose_center_gy": self.design.dose_center_gy,
            "findings": [finding_to_plain(one) for one in self.findings],
        }

    def summary(self) -> str:
        """Some lines for a terminal."""
        plain = self.to_plain()
        head = (
            f"gantry {plain['gantry_deg']:g}, couch {plain['couch_deg']:g}: {plain['layers']} energies"
            f" {plain['energy_low_mev']:.1f} to {plain['energy_high_mev']:.1f} MeV, {plain['spots']} spots,"
            f" {plain['meterset_mu']:.4g} MU, {plain['dose_center_gy']:.3g} Gy at the centre"
        )
        return "\n".join([head, *(f"  {one.severity.value}: {one.text}" for one in self.findings)])


def make_plan(params: PlanParams, *, seed: int = 0, progress: Progress | None = None) -> WrittenPlan:
    """Design the field and write it.

    The plan takes patient, study, frame of reference and patient position from the CT; the same input gives the same
    file.

    Raises
    ------
    DicomError, GeometryError, InputError, CalibrationError
        A CT without the identity a plan needs, a target outside the body, a range the machine does not have, ...
    StoreError
        The file cannot be written.
    """
    from protonqa.dicom import read_ct
    from protonqa.dicom.write_identity import DicomIdentity
    from protonqa.dicom.write_plan import write_plan
    from protonqa.files.calibrations import read_beam_model, read_hlut
    from protonqa.phantom.field_maker import FieldSettings, design_field

    hlut = None if params.hlut is None else read_hlut(params.hlut)
    model = None if params.beam_model is None else read_beam_model(params.beam_model)
    report_progress(progress, None, 0, 3, "reading")
    ct, info, found = read_ct(params.ct)
    identity = DicomIdentity.of_series(info, seed=f"plan-{info.series_uid}-{seed}")
    report_progress(progress, None, 1, 3, "field")
    design = design_field(
        ct,
        patient_position=info.patient_position,
        target_center_mm=params.target_center_mm,
        target_radius_mm=params.target_radius_mm,
        gantry_deg=params.gantry_deg,
        couch_deg=params.couch_deg,
        dose_gy=params.dose_gy,
        beam_model=model,
        hlut=hlut,
        settings=FieldSettings(spot_spacing_mm=params.spot_spacing_mm),
        frame_of_reference_uid=info.frame_of_reference_uid,
    )
    report_progress(progress, None, 2, 3, "writing")
    dose_gy = {design.plan.beams[0].number: design.dose_center_gy}
    write_plan(design.plan, params.out, identity=identity, beam_dose_gy=dose_gy)
    return WrittenPlan(
        design=design, patient_position=info.patient_position, findings=tuple(dict.fromkeys((*found, *design.findings)))
    )
