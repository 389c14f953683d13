"""One case from CT, PET, plan and dose, with the checks that they belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protonqa.dicom.ct import read_ct
from protonqa.dicom.dose import read_dose
from protonqa.dicom.limits import DEFAULT_LIMITS, ReadLimits
from protonqa.dicom.pet import read_pet
from protonqa.dicom.pet_times import timeline_from_pet
from protonqa.dicom.plan import read_plan
from protonqa.dicom.structures import read_structures
from protonqa.errors import DicomError, GeometryError
from protonqa.values import (
    Case,
    DoseImage,
    Finding,
    Grid,
    IonPlan,
    PetImage,
    SeriesInfo,
    Severity,
    StructureSet,
    Timeline,
)

#: An isocentre further outside the CT than this belongs to another patient or another frame.
ISOCENTER_MARGIN_MM = 100.0


def read_case(
    ct: str | Path,
    pet: str | Path | None = None,
    plan: str | Path | None = None,
    dose: str | Path | None = None,
    *,
    limits: ReadLimits = DEFAULT_LIMITS,
    assume_registered: bool = False,
    patient_position: str | None = None,
    clock_offset_s: float = 0.0,
    structures: str | Path | None = None,
) -> Case:
    """Read what one verification needs and check that it belongs to one patient in one frame of reference.

    Parameters
    ----------
    ct, pet, plan, dose : str or Path
        Folder, zip archive or file of each; they may be the same folder.
    limits : ReadLimits
    assume_registered : bool
        The user vouches that PET, plan and dose lie in the frame of the CT although their FrameOfReferenceUID differs
        or is absent; recorded as a finding.
    patient_position : str or None
        For a plan that does not say how the patient lies; recorded as a finding.
    clock_offset_s : float
        Added to the clock of the PET scanner before the delay is computed; recorded as a finding.
    structures : str or Path, optional
        RT Structure Set; see `read_case_structures`.

    Returns
    -------
    Case
        ``timeline`` is None where the PET does not say when the beam was on, or says something impossible (a finding
        tells); all findings of the readers are in it.

    Raises
    ------
    DicomError
        Another patient, another plan, damaged or ambiguous files.
    GeometryError
        Another frame of reference, or images that do not meet.
    InputError
        Everything the readers refuse.
    """
    ct_volume, ct_info, found = read_ct(ct, limits=limits)
    findings = list(found)
    pet_image: PetImage | None = None
    ion_plan: IonPlan | None = None
    plan_info: SeriesInfo | None = None
    dose_image: DoseImage | None = None
    timeline: Timeline | None = None
    if plan is not None:
        ion_plan, plan_info, found = read_plan(plan, limits=limits, patient_position=patient_position)
        findings += found
        _check_identity(ct_info, plan_info, "plan", assume_registered, findings)
        _check_isocenters(ct_volume.grid, ion_plan, findings)
        _check_positions(ct_info, ion_plan.patient_position, "plan", findings)
    if pet is not None:
        pet_image, found = read_pet(pet, limits=limits)
        findings += found
        _check_identity(ct_info, pet_image.info, "PET", assume_registered, findings)
        _check_overlap(ct_volume.grid, pet_image.volume.grid, "PET")
        _check_positions(ct_info, pet_image.info.patient_position, "PET", findings)
        timeline = _timeline(pet_image, clock_offset_s, findings)
    if dose is not None:
        dose_image, found = read_dose(dose, limits=limits)
        findings += found
        _check_identity(ct_info, dose_image.info, "RT Dose", assume_registered, findings)
        _check_overlap(ct_volume.grid, dose_image.volume.grid, "RT Dose")
        if ion_plan is not None:
            _check_dose_plan(dose_image, ion_plan, findings)
    structure_set: StructureSet | None = None
    if structures is not None:
        structure_set, found = read_case_structures(
            ct_info, structures, limits=limits, assume_registered=assume_registered
        )
        findings += found
    return Case(
        ct=ct_volume,
        ct_info=ct_info,
        plan=ion_plan,
        plan_info=plan_info,
        pet=pet_image,
        dose=dose_image,
        timeline=timeline,
        findings=tuple(dict.fromkeys(findings)),
        structures=structure_set,
    )


def read_case_structures(
    ct: SeriesInfo,
    path: str | Path,
    *,
    limits: ReadLimits = DEFAULT_LIMITS,
    assume_registered: bool = False,
) -> tuple[StructureSet, tuple[Finding, ...]]:
    """Read the structures drawn on a CT.

    Those of another frame of reference than the CT's are left out with a finding, unless the user vouches for them.

    Raises
    ------
    DicomError, InputError
        Another patient; damaged, ambiguous, or beyond the limits.
    """
    frame = ct.frame_of_reference_uid
    read, info, found = read_structures(path, frame_of_reference_uid="" if assume_registered else frame, limits=limits)
    findings = list(found)
    _check_patient(ct, info, "RT Structure Set", findings)
    if not frame or read.frame_of_reference_uid != frame:
        text = "CT and RT Structure Set share no frame of reference; "
        if not assume_registered:
            _warn(findings, "CASE-FRAME", text + "its structures were left out.")
            read = StructureSet(referenced_series_uid=read.referenced_series_uid)
        else:
            _warn(findings, "CASE-FRAME", text + "that they lie on each other was asserted by the user.")
    return read, tuple(findings)


def _check_identity(
    ct: SeriesInfo, other: SeriesInfo, what: str, assume_registered: bool, findings: list[Finding]
) -> None:
    """Patient, frame of reference and study; messages name the attribute, never its values."""
    _check_patient(ct, other, what, findings)
    _check_frame(ct, other, what, assume_registered, findings)
    if ct.study_uid and other.study_uid and ct.study_uid != other.study_uid:
        findings.append(
            Finding(
                severity=Severity.INFO if what == "PET" else Severity.WARNING,
                code="CASE-STUDY",
                text=f"CT and {what} belong to different studies of the patient.",
            )
        )


def _check_patient(ct: SeriesInfo, other: SeriesInfo, what: str, findings: list[Finding]) -> None:
    if ct.patient.patient_id and other.patient.patient_id:
        if ct.patient.patient_id != other.patient.patient_id:
            raise DicomError(
                f"the {what} and the CT belong to different patients",
                got="another PatientID",
                expected="the same PatientID",
                remedy="check which files belong together",
            )
    else:
        _warn(findings, "CASE-IDENTITY", f"CT or {what} has no PatientID: that both are of one patient is not checked.")
    births = {ct.patient.birth_date, other.patient.birth_date} - {""}
    if len(births) > 1:
        text = f"CT and {what} have different birth dates of the patient."
        findings.append(Finding(severity=Severity.CRITICAL, code="CASE-IDENTITY", text=text))


def _check_frame(
    ct: SeriesInfo, other: SeriesInfo, what: str, assume_registered: bool, findings: list[Finding]
) -> None:
    frames = ct.frame_of_reference_uid, other.frame_of_reference_uid
    if frames[0] == frames[1] and frames[0]:
        return
    if assume_registered:
        _warn(
            findings,
            "CASE-FRAME",
            f"CT and {what} share no frame of reference; that they lie on each other was asserted by the user.",
        )
        return
    raise GeometryError(
        f"the {what} and the CT have no common frame of reference",
        got="different FrameOfReferenceUID" if all(frames) else "no FrameOfReferenceUID",
        expected="the same FrameOfReferenceUID",
        remedy="register them first, or assert that they lie on each other",
    )


def _check_positions(ct: SeriesInfo, position: str, what: str, findings: list[Finding]) -> None:
    if ct.patient_position and position and ct.patient_position != position:
        _warn(
            findings,
            "CASE-POSITION",
            f"The CT was taken {ct.patient_position}, the {what} says {position}: the anatomy may lie differently.",
        )


def _corners(grid: Grid) -> NDArray[np.float64]:
    nz, ny, nx = grid.shape
    index = [(x, y, z) for x in (-0.5, nx - 0.5) for y in (-0.5, ny - 0.5) for z in (-0.5, nz - 0.5)]
    return grid.world_from_index(np.array(index))


def _check_overlap(ct: Grid, other: Grid, what: str) -> None:
    """Refuse images whose bounding boxes do not meet."""
    first, second = _corners(ct), _corners(other)
    low = np.maximum(first.min(axis=0), second.min(axis=0))
    high = np.minimum(first.max(axis=0), second.max(axis=0))
    if (high <= low).any():
        raise GeometryError(
            f"the {what} and the CT do not overlap",
            got=f"a gap of {float((low - high).max()):.0f} mm",
            expected="images of the same place",
            remedy="check which files belong together",
        )


def _check_isocenters(ct: Grid, plan: IonPlan, findings: list[Finding]) -> None:
    nz, ny, nx = ct.shape
    last = np.array([nx, ny, nz]) - 0.5
    for beam in plan.beams:
        if beam.unsupported:
            continue
        index = ct.index_from_world(beam.isocenter_mm)
        outside = np.maximum(np.maximum(-0.5 - index, index - last), 0.0) * np.asarray(ct.spacing_mm)
        distance = float(np.linalg.norm(outside))
        if distance > ISOCENTER_MARGIN_MM:
            raise GeometryError(
                f"the isocentre of beam {beam.number} lies outside the CT",
                got=f"{distance:.0f} mm outside",
                expected="a plan made on this CT",
                remedy="check which files belong together",
            )
        if distance > 0:
            _warn(
                findings,
                "CASE-ISOCENTRE",
                f"The isocentre of beam {beam.number} lies {distance:.0f} mm outside the CT.",
            )


def _check_dose_plan(dose: DoseImage, plan: IonPlan, findings: list[Finding]) -> None:
    referenced = dose.referenced_plan_uid
    if referenced and plan.sop_instance_uid and referenced != plan.sop_instance_uid:
        raise DicomError(
            "the RT Dose belongs to another plan",
            got="another referenced SOPInstanceUID",
            expected="the dose of this plan",
            remedy="export plan and dose together",
        )
    if not (referenced and plan.sop_instance_uid):
        _warn(findings, "CASE-DOSE-PLAN", "RT Dose or plan has no UID: that the dose is of this plan is not checked.")
    if dose.referenced_beam is not None:
        plan.beam(dose.referenced_beam)


def _timeline(pet: PetImage, clock_offset_s: float, findings: list[Finding]) -> Timeline | None:
    if clock_offset_s:
        _warn(findings, "PET-CLOCK-OFFSET", f"PET: {clock_offset_s:g} s were added to the scanner's clock by the user.")
    try:
        timeline = timeline_from_pet(pet.timing, clock_offset_s=clock_offset_s)
    except DicomError as error:
        findings.append(Finding(severity=Severity.CRITICAL, code="PET-CLOCK", text=f"No time line: {error.line()}."))
        return None
    if timeline is None:
        _warn(findings, "PET-TIMELINE", "PET: the file does not say when the beam was on; it gives no time line.")
    return timeline


def _warn(findings: list[Finding], code: str, text: str) -> None:
    findings.append(Finding(severity=Severity.WARNING, code=code, text=text))
