"""An IonPlan as DICOM RT Ion Plan: scanned protons, two control points a layer."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RTIonPlanStorage, RTStructureSetStorage

from protonqa.dicom.uids import require_uid
from protonqa.dicom.write_dataset import Required, SeriesHead, encode, new_dataset, required, written_info
from protonqa.dicom.write_identity import DicomIdentity
from protonqa.dicom.write_text import check_text, da, decimal, decimals, tm
from protonqa.durable import write_bytes_atomic
from protonqa.errors import InputError
from protonqa.values import Beam, EnergyLayer, IonPlan, RangeShifter, SeriesInfo

#: Distance of the virtual sources where a beam states none, as in a beam model without it.
_GENERIC_SAD_MM = (2000.0, 2000.0)
_REQUIRED: Required = required(
    "RTPlanLabel",
    "RTPlanGeometry",
    PatientSetupSequence=required("PatientSetupNumber", "PatientPosition"),
    FractionGroupSequence=required(
        "FractionGroupNumber",
        "NumberOfBeams",
        "NumberOfBrachyApplicationSetups",
        ReferencedBeamSequence=required("ReferencedBeamNumber", "BeamMeterset"),
    ),
    IonBeamSequence=required(
        "BeamNumber",
        "BeamName",
        "BeamType",
        "RadiationType",
        "ScanMode",
        "PrimaryDosimeterUnit",
        "VirtualSourceAxisDistances",
        "TreatmentDeliveryType",
        "NumberOfWedges",
        "NumberOfCompensators",
        "NumberOfBoli",
        "NumberOfBlocks",
        "NumberOfRangeShifters",
        "NumberOfLateralSpreadingDevices",
        "NumberOfRangeModulators",
        "PatientSupportType",
        "FinalCumulativeMetersetWeight",
        "NumberOfControlPoints",
        IonControlPointSequence=required(
            "ControlPointIndex",
            "CumulativeMetersetWeight",
            "NominalBeamEnergy",
            "ScanSpotTuneID",
            "NumberOfScanSpotPositions",
            "ScanSpotPositionMap",
            "ScanSpotMetersetWeights",
            "NumberOfPaintings",
        ),
    ),
)


def write_plan(
    plan: IonPlan,
    path: str | os.PathLike[str],
    *,
    identity: DicomIdentity,
    beam_dose_gy: Mapping[int, float] | None = None,
    structure_set_uid: str | None = None,
    machine: str = "",
    snout_position_mm: float | None = None,
    series_number: int = 3,
) -> SeriesInfo:
    """Write an RT Ion Plan, all or nothing; it is marked as UNAPPROVED and for RESEARCH.

    Meterset weights are the monitor units themselves, in the 32-bit floats of ScanSpotMetersetWeights; the meterset of
    a beam is the sum of these. Spot positions are 32-bit floats too.

    Parameters
    ----------
    plan : IonPlan
    path : path
        The file; an old one is replaced.
    identity : DicomIdentity
        Same as for the CT the plan was made on; its frame of reference is that of the isocentres.
    beam_dose_gy : mapping of beam number to Gy, optional
        BeamDose a fraction; left out where absent.
    structure_set_uid : str, optional
        SOP Instance UID of the structure set.
    machine : str
        TreatmentMachineName.
    snout_position_mm : float, optional
        Isocentre to the end of the snout; left empty when unknown.

    Returns
    -------
    SeriesInfo
        ``sop_instance_uids[0]`` is the plan's, for the RT Dose.

    Raises
    ------
    InputError
        A plan without beams, a beam without layers or spots, without dose, or one that protonqa does not support.
    DicomError, StoreError
        A text or identifier that DICOM cannot hold; the disk is full. The old file is unchanged.

    Notes
    -----
    Source: DICOM PS3.3 A.49 (RT Ion Plan IOD), C.8.8.25 (RT Ion Beams).
    """
    _check_plan(plan)
    instance = identity.uid("RTPLAN", str(series_number), _fingerprint(plan), repr(beam_dose_gy), machine)
    series = SeriesHead(
        modality="RTPLAN",
        uid=identity.uid(instance, "series"),
        number=series_number,
        description="RT Ion Plan",
        time=identity.study_time,
    )
    out = new_dataset(identity, series, sop_class=RTIonPlanStorage, sop_instance=instance)
    out.OperatorsName = ""
    out.RTPlanLabel = check_text(plan.label, "RTPlanLabel", 16) or "PLAN"
    out.RTPlanDate, out.RTPlanTime = da(identity.study_time), tm(identity.study_time)
    out.PlanIntent = "RESEARCH"
    out.RTPlanGeometry = "TREATMENT_DEVICE" if structure_set_uid is None else "PATIENT"
    if structure_set_uid is not None:
        out.ReferencedStructureSetSequence = [_reference(structure_set_uid)]
    out.PatientSetupSequence = [_setup(plan.patient_position)]
    out.FractionGroupSequence = [_fraction_group(plan, beam_dose_gy or {})]
    out.IonBeamSequence = [
        _beam(beam, check_text(machine, "TreatmentMachineName", 16), snout_position_mm) for beam in plan.beams
    ]
    out.ApprovalStatus = "UNAPPROVED"
    write_bytes_atomic(path, encode(out, _REQUIRED), label="RT Ion Plan")
    return written_info(identity, series, [instance])


def _check_plan(plan: IonPlan) -> None:
    numbers = [beam.number for beam in plan.beams]
    if not numbers or len(set(numbers)) != len(numbers):
        raise InputError("a plan is written with one or more beams of different numbers", got=f"{len(numbers)} beams")
    for beam in plan.beams:
        where = f"beam {beam.number}"
        if beam.unsupported:
            raise InputError(f"{where} is not one that can be written", got="; ".join(beam.unsupported)[:200])
        if not beam.layers or any(layer.meterset_mu.size == 0 for layer in beam.layers):
            raise InputError(f"{where} has no energy layer or one without spots", expected="layers with spots")
        if not _meterset(beam) > 0:
            raise InputError(f"{where} delivers nothing", got="0 MU", expected="more than 0 MU")


def _setup(patient_position: str) -> Dataset:
    item = Dataset()
    item.PatientSetupNumber = 1
    item.PatientPosition = patient_position
    return item


def _reference(structure_set_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = RTStructureSetStorage
    item.ReferencedSOPInstanceUID = require_uid(structure_set_uid, "UID of the structure set")
    return item


def _fraction_group(plan: IonPlan, beam_dose_gy: Mapping[int, float]) -> Dataset:
    group = Dataset()
    group.FractionGroupNumber = 1
    group.NumberOfFractionsPlanned = plan.fractions
    group.NumberOfBeams = len(plan.beams)
    group.NumberOfBrachyApplicationSetups = 0
    items = []
    for beam in plan.beams:
        item = Dataset()
        item.ReferencedBeamNumber = beam.number
        item.BeamMeterset = decimal(_meterset(beam))
        if beam.number in beam_dose_gy:
            item.BeamDose = decimal(beam_dose_gy[beam.number])
        items.append(item)
    group.ReferencedBeamSequence = items
    return group


def _beam(beam: Beam, machine: str, snout_position_mm: float | None) -> Dataset:
    item = Dataset()
    item.BeamNumber = beam.number
    item.BeamName = check_text(beam.name, "BeamName", 64) or f"Beam {beam.number}"
    item.BeamType = "STATIC"
    item.RadiationType = "PROTON"
    item.ScanMode = "MODULATED"
    item.TreatmentMachineName = machine
    item.PrimaryDosimeterUnit = "MU"
    item.VirtualSourceAxisDistances = [float(v) for v in beam.virtual_sad_mm or _GENERIC_SAD_MM]
    item.ReferencedPatientSetupNumber = 1
    item.TreatmentDeliveryType = "TREATMENT"
    item.NumberOfWedges = item.NumberOfCompensators = item.NumberOfBoli = item.NumberOfBlocks = 0
    item.NumberOfRangeShifters = 0 if beam.range_shifter is None else 1
    if beam.range_shifter is not None:
        item.RangeShifterSequence = [_range_shifter(beam.range_shifter)]
    item.NumberOfLateralSpreadingDevices = item.NumberOfRangeModulators = 0
    item.PatientSupportType = "TABLE"
    item.FinalCumulativeMetersetWeight = decimal(_meterset(beam))
    item.NumberOfControlPoints = 2 * len(beam.layers)
    item.IonControlPointSequence = _control_points(beam, snout_position_mm)
    return item


def _range_shifter(shifter: RangeShifter) -> Dataset:
    item = Dataset()
    item.RangeShifterNumber = 1
    item.RangeShifterID = check_text(shifter.name, "RangeShifterID", 16) or "RS"
    item.RangeShifterType = "BINARY"
    if shifter.material:
        # The standard has no attribute for the material of a range shifter.
        item.RangeShifterDescription = check_text(shifter.material, "RangeShifterDescription", 64)
    return item


def _shifter_setting(shifter: RangeShifter) -> Dataset:
    item = Dataset()
    item.ReferencedRangeShifterNumber = 1
    item.RangeShifterSetting = "IN"
    item.IsocenterToRangeShifterDistance = shifter.distance_mm
    if shifter.wet_mm is not None:
        item.RangeShifterWaterEquivalentThickness = shifter.wet_mm
    return item


def _control_points(beam: Beam, snout_position_mm: float | None) -> list[Dataset]:
    points: list[Dataset] = []
    delivered = 0.0
    for layer in beam.layers:
        weights = _weights(layer)
        after = delivered + float(weights.sum())
        # The first of the pair carries the spots; the second, without weight, only says what is delivered by then.
        for spots, cumulative in ((weights, delivered), (np.zeros_like(weights), after)):
            point = _layer_point(layer, spots)
            point.ControlPointIndex = len(points)
            point.CumulativeMetersetWeight = decimal(cumulative)
            points.append(point)
        delivered = after
    _place_beam(points[0], beam, snout_position_mm)
    return points


def _layer_point(layer: EnergyLayer, weights: NDArray[np.float64]) -> Dataset:
    point = Dataset()
    point.NominalBeamEnergy = decimal(layer.energy_mev)
    point.ScanSpotTuneID = "1"
    point.NumberOfScanSpotPositions = int(weights.size)
    point.ScanSpotPositionMap = [float(v) for v in layer.spot_xy_mm.ravel()]
    point.ScanSpotMetersetWeights = [float(v) for v in weights]
    if layer.spot_fwhm_mm is not None:
        point.ScanningSpotSize = [float(v) for v in layer.spot_fwhm_mm]
    point.NumberOfPaintings = 1
    return point


def _place_beam(point: Dataset, beam: Beam, snout_position_mm: float | None) -> None:
    """The geometry that stands in the first control point and holds for all."""
    point.GantryAngle, point.GantryRotationDirection = decimal(beam.gantry_deg % 360), "NONE"
    point.BeamLimitingDeviceAngle = decimal(beam.beam_limiting_device_deg % 360)
    point.BeamLimitingDeviceRotationDirection = "NONE"
    point.PatientSupportAngle, point.PatientSupportRotationDirection = decimal(beam.couch_deg % 360), "NONE"
    point.TableTopPitchAngle, point.TableTopPitchRotationDirection = 0.0, "NONE"
    point.TableTopRollAngle, point.TableTopRollRotationDirection = 0.0, "NONE"
    point.TableTopVerticalPosition = point.TableTopLongitudinalPosition = point.TableTopLateralPosition = None
    point.IsocenterPosition = decimals(beam.isocenter_mm)
    point.SnoutPosition = snout_position_mm
    if beam.range_shifter is not None:
        point.RangeShifterSettingsSequence = [_shifter_setting(beam.range_shifter)]


def _weights(layer: EnergyLayer) -> NDArray[np.float64]:
    """Monitor units as the file holds them: sums of these are the metersets, so that reader and file agree."""
    return layer.meterset_mu.astype(np.float32).astype(np.float64)


def _meterset(beam: Beam) -> float:
    return float(sum(_weights(layer).sum() for layer in beam.layers))


def _fingerprint(plan: IonPlan) -> str:
    """Text that differs when the plan differs."""
    parts = [plan.label, plan.patient_position, str(plan.fractions)]
    for beam in plan.beams:
        parts.append(repr((beam.number, beam.name, beam.gantry_deg, beam.couch_deg, beam.isocenter_mm)))
        parts.append(repr((beam.beam_limiting_device_deg, beam.range_shifter, beam.virtual_sad_mm)))
        for layer in beam.layers:
            parts.append(repr((layer.energy_mev, layer.spot_xy_mm.tolist(), layer.meterset_mu.tolist())))
            parts.append(repr(layer.spot_fwhm_mm))
    return "\n".join(parts)
