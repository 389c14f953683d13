"""RT Dose to a dose grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protonqa.dicom.attributes import Attributes, library_warnings, shown
from protonqa.dicom.limits import DEFAULT_LIMITS, ReadLimits
from protonqa.dicom.pixels import check_decoder, check_matrix, check_pixel_bytes, stored_values
from protonqa.dicom.series import SeriesFile, Wanted, choose, read_again, scan, series_info
from protonqa.dicom.sources import open_sources
from protonqa.dicom.stack import check_steps, plane_axes
from protonqa.errors import DicomError, GeometryError, InputError, UnitsError
from protonqa.values import DoseImage, Finding, Grid, Severity, Volume

WANTED_DOSE = Wanted(
    what="RT Dose",
    sop_classes=frozenset({"1.2.840.10008.5.1.4.1.1.481.2"}),
    modalities=frozenset({"RTDOSE"}),
    by_instance=True,
)


def read_dose(
    path: str | Path,
    *,
    limits: ReadLimits = DEFAULT_LIMITS,
    series: str | None = None,
    allow_relative: bool = False,
) -> tuple[DoseImage, tuple[Finding, ...]]:
    """Read an RT Dose grid.

    Parameters
    ----------
    path : str or Path
        The dose, or a folder or zip archive that holds exactly one.
    limits : ReadLimits
    series : str or None
        SOPInstanceUID, or number in the list an earlier error gave, where several doses are there.
    allow_relative : bool
        Also read DoseUnits RELATIVE; the volume then has the unit ``relative``.

    Returns
    -------
    dose : DoseImage
        Gy, float32 ``[z, y, x]``; stored value x DoseGridScaling, multiplied in float64.
    findings : tuple of Finding

    Raises
    ------
    UnitsError
        DoseUnits neither GY nor, where allowed, RELATIVE.
    DicomError, GeometryError, InputError
        Damaged, ambiguous, not a volume, uneven planes, or beyond the limits.
    """
    findings: list[Finding] = []
    with library_warnings(findings), open_sources(path, WANTED_DOSE.what, limits) as sources:
        result = scan(sources, WANTED_DOSE, limits)
        files = choose(result, WANTED_DOSE, series).files
        findings.extend(result.findings)
        facts = files[0].attributes
        unit = _unit(facts, allow_relative)
        _check_type(facts, findings)
        volume = _volume(files[0], unit, limits)
        info = series_info(files, result.ignored, "RTDOSE", findings)
        beam, plan_uid = _references(facts)
        dose = DoseImage(
            volume=volume,
            summation_type=facts.text("DoseSummationType").upper(),
            dose_units=facts.text("DoseUnits").upper(),
            referenced_beam=beam,
            referenced_plan_uid=plan_uid,
            info=info,
        )
    return dose, tuple(findings)


def _unit(facts: Attributes, allow_relative: bool) -> str:
    units = facts.text("DoseUnits").upper()
    if units == "GY":
        return "Gy"
    if units == "RELATIVE" and allow_relative:
        return "relative"
    raise UnitsError(
        "the RT Dose is not in Gy",
        got=f"DoseUnits {shown(units, 16)}" if units else "no attribute DoseUnits",
        expected="DoseUnits GY",
        remedy="export the planned dose as absolute dose",
    )


def _check_type(facts: Attributes, findings: list[Finding]) -> None:
    kind = facts.text("DoseType").upper()
    if kind == "ERROR":
        raise DicomError("the RT Dose holds dose differences, not dose", expected="DoseType PHYSICAL or EFFECTIVE")
    if kind == "EFFECTIVE":
        text = (
            "RT Dose: biologically weighted (DoseType EFFECTIVE). A constant factor leaves R80 where it is; "
            "a variable RBE moves it."
        )
        findings.append(Finding(severity=Severity.WARNING, code="DOSE-EFFECTIVE", text=text))
    if not facts.has("DoseSummationType"):
        raise facts.missing("DoseSummationType")


def _volume(file: SeriesFile, unit: str, limits: ReadLimits) -> Volume:
    facts = file.attributes
    matrix = check_matrix(facts, limits)
    check_decoder(facts, file.layout)
    check_pixel_bytes(facts, file.layout, matrix)
    grid, flipped = _grid(facts, matrix)
    scaling = facts.number("DoseGridScaling")
    if scaling <= 0:
        raise DicomError("DoseGridScaling of the RT Dose is not positive", got=f"{scaling:g}", expected="above 0")
    data, layout = read_again(file, limits)
    stored = stored_values(data, layout, facts, matrix)
    array = np.empty(matrix, dtype=np.float32)
    for index in range(matrix[0]):
        plane = stored[index] * np.float64(scaling)
        if not np.all(np.abs(plane) <= np.finfo(np.float32).max):
            raise InputError("dose values are beyond any number that can be stored", got=f"scaling {scaling:g}")
        array[index] = plane
    return Volume(grid=grid, array=array[::-1] if flipped else array, unit=unit)


def _grid(facts: Attributes, matrix: tuple[int, int, int]) -> tuple[Grid, bool]:
    """Grid in the direction of growing offsets, and whether the planes come in the other order."""
    row, column = plane_axes(facts.numbers("ImageOrientationPatient", 6), facts.label)
    normal = np.cross(row, column)
    position = np.array(facts.numbers("ImagePositionPatient", 3))
    between_rows, between_columns = facts.numbers("PixelSpacing", 2)
    if matrix[0] < 2:
        raise DicomError("the RT Dose is not a volume", got="1 plane", expected="at least 2 planes in one file")
    offsets = _offsets(facts, matrix[0], position, normal)
    flipped = bool(offsets[-1] < offsets[0])
    ordered = offsets[::-1] if flipped else offsets
    if (np.diff(ordered) <= 0).any():
        raise GeometryError("the planes of the RT Dose do not follow one another", expected="steadily changing offsets")
    check_steps(ordered, "RT Dose")
    grid = Grid(
        shape=matrix,
        spacing_mm=(between_columns, between_rows, float(ordered[-1] - ordered[0]) / (matrix[0] - 1)),
        origin_mm=tuple(position + ordered[0] * normal),
        direction=np.stack([row, column, normal], axis=1),
    )
    return grid, flipped


def _offsets(
    facts: Attributes, planes: int, position: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Plane offsets (mm) along the normal from ImagePositionPatient.

    GridFrameOffsetVector starts with 0 (offsets along the normal) or, for planes across the patient's long axis only,
    with the z of ImagePositionPatient (then it holds z coordinates). Source: DICOM PS3.3 C.8.8.3.2.
    """
    vector = np.array(facts.numbers("GridFrameOffsetVector", planes))
    if abs(vector[0]) < 1e-6:
        return vector
    if abs(vector[0] - position[2]) <= 0.01 and normal[2] > 1 - 1e-6:
        return np.asarray(vector - vector[0])
    raise GeometryError(
        "the planes of the RT Dose have no defined place: GridFrameOffsetVector",
        got=f"a first value of {vector[0]:g} mm",
        expected="0, or the z of ImagePositionPatient for upright planes",
    )


def _references(facts: Attributes) -> tuple[int | None, str]:
    """Beam number (only when exactly one is named) and SOPInstanceUID of the plan the dose belongs to."""
    plans = facts.items("ReferencedRTPlanSequence")
    if len(plans) != 1:
        return None, ""
    beams = [
        reference.integer("ReferencedBeamNumber")
        for group in plans[0].items("ReferencedFractionGroupSequence")
        for reference in group.items("ReferencedBeamSequence")
    ]
    return (beams[0] if len(beams) == 1 else None), plans[0].uid("ReferencedSOPInstanceUID")
