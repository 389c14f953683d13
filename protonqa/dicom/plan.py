"""RT Ion Plan to scanned fields; what cannot be evaluated is said beam by beam."""

from __future__ import annotations

from pathlib import Path

from protonqa.dicom.attributes import Attributes, clean_text, library_warnings, shown
from protonqa.dicom.limits import DEFAULT_LIMITS, ReadLimits
from protonqa.dicom.plan_layers import beam_layers
from protonqa.dicom.plan_shifter import beam_range_shifter
from protonqa.dicom.series import Wanted, choose, scan, series_info
from protonqa.dicom.sources import open_sources
from protonqa.errors import DicomError, GeometryError
from protonqa.values import PATIENT_POSITIONS, Beam, Finding, IonPlan, SeriesInfo, Severity

_ION_PLAN = "1.2.840.10008.5.1.4.1.1.481.8"
_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"

WANTED_ION_PLAN = Wanted(
    what="RT Ion Plan",
    sop_classes=frozenset({_ION_PLAN}),
    modalities=frozenset({"RTPLAN"}),
    by_instance=True,
    needs=("IonBeamSequence",),
)
WANTED_ANY_PLAN = Wanted(
    what="plan",
    sop_classes=frozenset({_ION_PLAN, _PLAN}),
    modalities=frozenset({"RTPLAN"}),
    by_instance=True,
    needs=("BeamSequence", "IonBeamSequence"),
)

#: Accessories that change what reaches the patient, with the count attribute of the beam and the name in messages.
_ACCESSORIES = (
    ("NumberOfCompensators", "a compensator"),
    ("NumberOfBlocks", "a block or aperture"),
    ("NumberOfBoli", "a bolus"),
    ("NumberOfWedges", "a wedge"),
    ("NumberOfRangeModulators", "a range modulator"),
    ("NumberOfLateralSpreadingDevices", "a lateral spreading device"),
)
_ANGLES = (
    ("TableTopPitchAngle", "the couch is pitched"),
    ("TableTopRollAngle", "the couch is rolled"),
    ("TableTopEccentricAngle", "the couch is turned about an eccentric axis"),
    ("GantryPitchAngle", "the gantry is pitched"),
)


def read_plan(
    path: str | Path,
    *,
    limits: ReadLimits = DEFAULT_LIMITS,
    series: str | None = None,
    patient_position: str | None = None,
) -> tuple[IonPlan, SeriesInfo, tuple[Finding, ...]]:
    """Read an RT Ion Plan.

    Parameters
    ----------
    path : str or Path
        The plan, or a folder or zip archive that holds exactly one.
    limits : ReadLimits
    series : str or None
        SOPInstanceUID, or number in the list an earlier error gave, where several plans are there.
    patient_position : str or None
        How the patient lay (HFS, ...), for a plan that does not say it; recorded as a finding.

    Returns
    -------
    plan : IonPlan
        Spot weights in MU (weight x BeamMeterset / FinalCumulativeMetersetWeight). A beam that protonqa cannot evaluate
        carries its reasons in ``Beam.unsupported``; setup beams are left out with a finding.
    info : SeriesInfo
    findings : tuple of Finding

    Raises
    ------
    DicomError, GeometryError, InputError
        Damaged, ambiguous, without beams, without a patient position, or beyond the limits.
    """
    findings: list[Finding] = []
    with library_warnings(findings), open_sources(path, "plan", limits) as sources:
        wanted = WANTED_ION_PLAN
        result = scan(sources, wanted, limits)
        if not result.candidates:
            wanted = WANTED_ANY_PLAN  # a photon plan deserves its answer beam by beam
            result = scan(sources, wanted, limits)
        files = choose(result, wanted, series).files
        findings.extend(result.findings)
        file = files[0].attributes
        info = series_info(files, result.ignored, "RTPLAN", findings)
        plan = _plan(file, patient_position, limits, findings)
    return plan, info, tuple(findings)


def _plan(file: Attributes, position: str | None, limits: ReadLimits, findings: list[Finding]) -> IonPlan:
    setups = {
        item.optional_integer("PatientSetupNumber", -1): item.text("PatientPosition").upper()
        for item in file.items("PatientSetupSequence")
    }
    position = _patient_position(setups, position, findings)
    metersets, fractions = _fraction_groups(file, findings)
    keyword = "IonBeamSequence" if file.has("IonBeamSequence") else "BeamSequence"
    items = file.items(keyword)
    if not items:
        raise file.missing("IonBeamSequence")
    beams: list[Beam] = []
    spots = limits.max_spots
    for item in items:
        if item.text("TreatmentDeliveryType").upper() in ("SETUP", "OPEN_PORTFILM", "TRMT_PORTFILM"):
            _note(findings, Severity.INFO, "PLAN-SETUP-BEAM", "Plan: an imaging (setup) beam was left out.")
            continue
        beam = _beam(item, metersets, setups, position, spots, findings)
        if len(beam.layers) > 1 and 2 * len(beam.layers) > len(item.items("IonControlPointSequence")):
            text = f"Beam {beam.number}: one control point per energy layer instead of a pair; read by its weights."
            _note(findings, Severity.INFO, "PLAN-CONTROL-POINTS", text)
        spots -= sum(layer.meterset_mu.size for layer in beam.layers)
        beams.append(beam)
    _check_beams(beams, findings)
    status = file.text("ApprovalStatus").upper()
    if status != "APPROVED":
        severity = Severity.CRITICAL if status == "REJECTED" else Severity.WARNING
        _note(findings, severity, "PLAN-APPROVAL", f"Plan: its approval status is {status.lower() or 'not given'}.")
    return IonPlan(
        patient_position=position,
        beams=tuple(beams),
        label=clean_text(file.text("RTPlanLabel")),
        sop_instance_uid=file.sop_instance_uid,
        frame_of_reference_uid=file.uid("FrameOfReferenceUID"),
        approval_status=clean_text(status, 16),
        fractions=fractions,
    )


def _patient_position(setups: dict[int, str], given: str | None, findings: list[Finding]) -> str:
    stated = next((position for position in setups.values() if position), "")
    if stated in PATIENT_POSITIONS:
        return stated
    if given is None or stated:
        raise GeometryError(
            "the plan does not say how the patient lies: PatientPosition in PatientSetupSequence",
            got=shown(stated, 16) if stated else "nothing",
            expected=", ".join(PATIENT_POSITIONS),
            remedy="export the plan again from the planning system",
        )
    if given not in PATIENT_POSITIONS:
        raise GeometryError("unknown patient position", got=shown(given, 16), expected=", ".join(PATIENT_POSITIONS))
    _note(
        findings,
        Severity.WARNING,
        "PLAN-POSITION",
        f"Plan: it does not say how the patient lies; {given} was given by the user.",
    )
    return given


def _fraction_groups(file: Attributes, findings: list[Finding]) -> tuple[dict[int, float | None], int]:
    """Meterset (MU per fraction, None where absent) of each beam by number, and the number of fractions."""
    groups = file.items("FractionGroupSequence")
    metersets: dict[int, float | None] = {}
    for group in groups:
        for reference in group.items("ReferencedBeamSequence"):
            number = reference.integer("ReferencedBeamNumber")
            if number not in metersets:
                metersets[number] = reference.optional_number("BeamMeterset")
    if not groups:
        raise file.missing("FractionGroupSequence")
    if len(groups) > 1:
        text = f"Plan: it has {len(groups)} fraction groups; each beam has the MU of the first group that names it."
        _note(findings, Severity.WARNING, "PLAN-FRACTION-GROUPS", text)
    return metersets, max(1, groups[0].optional_integer("NumberOfFractionsPlanned", 1))


def _beam(
    item: Attributes,
    metersets: dict[int, float | None],
    setups: dict[int, str],
    position: str,
    max_spots: int,
    findings: list[Finding],
) -> Beam:
    number = item.integer("BeamNumber")
    reasons = _beam_reasons(item, setups, position)
    points = item.items("IonControlPointSequence")
    placed = points or item.items("ControlPointSequence")
    first = placed[0] if placed else None
    layers, delivering = beam_layers(item, points, number, metersets, max_spots, reasons)
    shifter = beam_range_shifter(item, points, delivering, number, reasons, findings)
    isocenter = _isocenter(first, reasons)
    if first is not None:
        _check_motion(placed, reasons)
    return Beam(
        number=number,
        name=clean_text(item.text("BeamName")),
        gantry_deg=_angle(first, "GantryAngle", reasons),
        couch_deg=_angle(first, "PatientSupportAngle", reasons),
        isocenter_mm=isocenter,
        layers=layers,
        beam_limiting_device_deg=(first.hint("BeamLimitingDeviceAngle") if first is not None else None) or 0.0,
        range_shifter=shifter,
        virtual_sad_mm=_virtual_sad(item),
        unsupported=tuple(dict.fromkeys(reasons)),
        machine=clean_text(item.text("TreatmentMachineName"), 16),
    )


def _beam_reasons(item: Attributes, setups: dict[int, str], position: str) -> list[str]:
    reasons = []
    radiation, mode = item.text("RadiationType").upper(), item.text("ScanMode").upper()
    if radiation != "PROTON":
        reasons.append(f"radiation is {clean_text(radiation, 16).lower() or 'not stated'}, not proton")
    elif mode != "MODULATED":
        reasons.append(f"scan mode is {clean_text(mode, 16).lower() or 'not stated'}, not modulated scanning")
    if item.text("ModulatedScanModeType").upper() not in ("", "STATIONARY", "LEAPFROG"):
        reasons.append("spots are delivered as lines, not one by one")
    dosimeter = item.text("PrimaryDosimeterUnit").upper()
    if dosimeter not in ("", "MU"):
        reasons.append(f"weights are in {clean_text(dosimeter, 16)}, not in MU")
    reasons.extend(f"the beam has {name}" for keyword, name in _ACCESSORIES if item.optional_integer(keyword, 0) > 0)
    setup = setups.get(item.optional_integer("ReferencedPatientSetupNumber", -1), "")
    if setup and setup != position:
        reasons.append(f"the patient lies {clean_text(setup, 8)} for this beam and {position} for others")
    return reasons


def _angle(point: Attributes | None, keyword: str, reasons: list[str]) -> float:
    value = None if point is None else point.optional_number(keyword)
    if value is None:
        reasons.append(f"{keyword} is missing")
        return 0.0
    return value


def _isocenter(point: Attributes | None, reasons: list[str]) -> tuple[float, float, float]:
    if point is None or not point.has("IsocenterPosition"):
        reasons.append("IsocenterPosition is missing")
        return 0.0, 0.0, 0.0
    x, y, z = point.numbers("IsocenterPosition", 3)
    return x, y, z


def _check_motion(points: tuple[Attributes, ...], reasons: list[str]) -> None:
    """Reasons from control points that move what must stand still, and from couch angles no frame here has."""
    for keyword, name in _ANGLES:
        if any(abs(point.optional_number(keyword) or 0.0) > 1e-3 for point in points):
            reasons.append(name)
    for keyword, name in (("GantryAngle", "the gantry moves"), ("PatientSupportAngle", "the couch moves")):
        values = [point.number(keyword) for point in points if point.has(keyword)]
        if values and max(values) - min(values) > 1e-3:
            reasons.append(f"{name} during the beam")
    centres = [point.numbers("IsocenterPosition", 3) for point in points if point.has("IsocenterPosition")]
    if any(abs(a - b) > 1e-3 for centre in centres for a, b in zip(centre, centres[0], strict=True)):
        reasons.append("the beam has several isocentres")


def _virtual_sad(item: Attributes) -> tuple[float, float] | None:
    if not item.has("VirtualSourceAxisDistances"):
        return None
    x, y = item.numbers("VirtualSourceAxisDistances", 2)
    return (x, y) if min(x, y) > 0 else None


def _check_beams(beams: list[Beam], findings: list[Finding]) -> None:
    if not beams:
        raise DicomError("the plan has no treatment beam", expected="at least one beam")
    numbers = [beam.number for beam in beams]
    if len(set(numbers)) != len(numbers):
        raise DicomError("two beams of the plan have the same number", expected="distinct beam numbers")
    for beam in beams:
        if beam.unsupported:
            text = f"Beam {beam.number} cannot be evaluated: {'; '.join(beam.unsupported)}."
            _note(findings, Severity.WARNING, "PLAN-BEAM-UNSUPPORTED", text)
        elif beam.virtual_sad_mm is None:
            text = f"Beam {beam.number}: no virtual source distance; that of the beam model is used."
            _note(findings, Severity.INFO, "PLAN-SAD", text)
    if len({tuple(round(v, 2) for v in beam.isocenter_mm) for beam in beams}) > 1:
        _note(findings, Severity.INFO, "PLAN-ISOCENTRES", "Plan: its beams have different isocentres.")


def _note(findings: list[Finding], severity: Severity, code: str, text: str) -> None:
    findings.append(Finding(severity=severity, code=code, text=text))
