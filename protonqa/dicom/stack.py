"""Slices of one series into one grid: everything by position along the normal, in world coordinates alone.

Row and column cosines and the position of the first pixel say where a slice lies; the patient position (HFS, FFP, ...)
and the order of files or instance numbers never do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.dicom.series import SeriesFile
from protonqa.errors import DicomError, GeometryError
from protonqa.values import Finding, Grid, Severity

#: Steps between slices may differ by 0.01 mm or 1 %, whichever is more: rounding of positions, no more.
STEP_TOLERANCE_MM = 0.01
STEP_TOLERANCE = 0.01
#: A slice may lie this far beside the line of the stack (rounded cosines over half a metre); a tilt moves it further.
SHEAR_TOLERANCE_MM = 0.1
#: Row and column cosines may be off by this much from perpendicular unit vectors.
COSINE_TOLERANCE = 1e-4
_TIMES = ("AcquisitionTime", "FrameReferenceTime", "TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice:
    """One image plane: LPS position of its first pixel, cosines of its rows and columns, pixel spacing (mm)."""

    file: SeriesFile
    position_mm: NDArray[np.float64]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    #: Distance of neighbouring columns (x) and rows (y).
    spacing_xy_mm: tuple[float, float]
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """Slices in the order of their grid; None is a missing slice that the caller asked to interpolate."""

    grid: Grid
    slices: tuple[Slice | None, ...]
    copies: tuple[SeriesFile, ...] = ()
    findings: tuple[Finding, ...] = ()


def read_slice(file: SeriesFile, matrix: tuple[int, int, int]) -> Slice:
    """Geometry of one file.

    Raises
    ------
    DicomError, GeometryError
        Attributes absent or unusable.
    """
    facts = file.attributes
    position = np.array(facts.numbers("ImagePositionPatient", 3))
    row, column = plane_axes(facts.numbers("ImageOrientationPatient", 6), file.label)
    between_rows, between_columns = facts.numbers("PixelSpacing", 2)
    if min(between_rows, between_columns) <= 0:
        raise GeometryError(f"pixel spacing of {file.label} is not positive", expected="two sizes above 0 mm")
    return Slice(
        file=file,
        position_mm=position,
        row=row,
        column=column,
        spacing_xy_mm=(between_columns, between_rows),
        rows=matrix[1],
        columns=matrix[2],
    )


def plane_axes(cosines: tuple[float, ...], label: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column direction of ImageOrientationPatient as exact perpendicular unit vectors.

    Raises
    ------
    GeometryError
        Not perpendicular unit vectors within ``COSINE_TOLERANCE``.
    """
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    off = max(abs(float(row @ row) - 1), abs(float(column @ column) - 1), abs(float(row @ column)))
    if off > 2 * COSINE_TOLERANCE:
        raise GeometryError(
            f"orientation of {label} is not two perpendicular unit vectors", got=f"an error of {off:.2g}"
        )
    row = row / np.linalg.norm(row)
    column = column - row * float(row @ column)
    return row, column / np.linalg.norm(column)


def stack_slices(
    slices: list[Slice], what: str, same_pixels: Callable[[Slice, Slice], bool], *, fill_one_slice: bool = False
) -> Stack:
    """Sort slices along their normal and check that they make one regular grid.

    Parameters
    ----------
    slices : list of Slice
    what : str
        The name of the series in messages.
    same_pixels : callable
        Whether two slices hold the same values; asked only about slices at the same place.
    fill_one_slice : bool
        Accept one missing slice inside the stack, to be interpolated, with a finding.

    Raises
    ------
    DicomError
        Several frames or acquisitions at one place, fewer than two slices.
    GeometryError
        Slices that differ in orientation, spacing or matrix; a missing slice; irregular steps; a sheared stack.
    """
    _check_uniform(slices, what)
    normal = np.cross(slices[0].row, slices[0].column)
    ordered = sorted(slices, key=lambda s: (float(s.position_mm @ normal), s.file.label))
    unique, copies = _without_copies(ordered, normal, what, same_pixels)
    if len(unique) < 2:
        raise DicomError(
            f"the {what} has too few slices for a volume", got=str(len(unique)), expected="at least 2 slices"
        )
    along = np.array([float(s.position_mm @ normal) for s in unique])
    hole = check_steps(along, what, fill_one=fill_one_slice)
    _check_shear(along, unique, normal, what)
    placed: list[Slice | None] = list(unique)
    if hole is not None:
        placed.insert(hole, None)
    first = unique[0]
    grid = Grid(
        shape=(len(placed), first.rows, first.columns),
        spacing_mm=(*first.spacing_xy_mm, float(along[-1] - along[0]) / (len(placed) - 1)),
        origin_mm=(float(first.position_mm[0]), float(first.position_mm[1]), float(first.position_mm[2])),
        direction=np.stack([first.row, first.column, normal], axis=1),
    )
    findings = _findings(grid, unique, len(copies), hole, what)
    return Stack(grid=grid, slices=tuple(placed), copies=tuple(copies), findings=findings)


def _check_uniform(slices: list[Slice], what: str) -> None:
    first = slices[0]
    for other in slices[1:]:
        turned = max(np.abs(other.row - first.row).max(), np.abs(other.column - first.column).max())
        if turned > COSINE_TOLERANCE:
            raise GeometryError(
                f"the slices of the {what} have different orientations",
                got=f"{other.file.label} differs from {first.file.label}",
                expected="parallel slices",
                remedy="keep one orientation; a localiser may be among them",
            )
        if not np.allclose(other.spacing_xy_mm, first.spacing_xy_mm, rtol=1e-4, atol=0):
            raise GeometryError(
                f"the slices of the {what} have different pixel spacings",
                got=f"{other.spacing_xy_mm} and {first.spacing_xy_mm} mm",
            )
        if (other.rows, other.columns) != (first.rows, first.columns):
            raise GeometryError(
                f"the slices of the {what} have different sizes",
                got=f"{other.rows} x {other.columns} and {first.rows} x {first.columns}",
            )


def _without_copies(
    ordered: list[Slice], normal: NDArray[np.float64], what: str, same_pixels: Callable[[Slice, Slice], bool]
) -> tuple[list[Slice], list[SeriesFile]]:
    """One slice per place; identical copies are dropped, different images at one place are refused."""
    groups: list[list[Slice]] = []
    for one in ordered:
        if groups and float((one.position_mm - groups[-1][0].position_mm) @ normal) <= STEP_TOLERANCE_MM:
            groups[-1].append(one)
        else:
            groups.append([one])
    copies: list[SeriesFile] = []
    clashes: list[list[Slice]] = []
    for group in groups:
        for other in group[1:]:
            beside = float(np.abs(other.position_mm - group[0].position_mm).max())
            if beside <= STEP_TOLERANCE_MM and same_pixels(group[0], other):
                copies.append(other.file)
            elif not clashes or clashes[-1] is not group:
                clashes.append(group)
    if clashes:
        raise _clash_error(groups, clashes, normal, what)
    return [group[0] for group in groups], copies


def _clash_error(
    groups: list[list[Slice]], clashes: list[list[Slice]], normal: NDArray[np.float64], what: str
) -> DicomError:
    sizes = {len(group) for group in groups}
    differ = [keyword for keyword in _TIMES if len({one.file.attributes.text(keyword) for one in clashes[0]}) > 1]
    if len(clashes) == len(groups) and len(sizes) == 1:
        what_is_wrong = f"the {what} holds {sizes.pop()} frames or acquisitions of the same {len(groups)} slices"
    else:
        what_is_wrong = f"the {what} holds different images at the same place"
    place = float(clashes[0][0].position_mm @ normal)
    return DicomError(
        what_is_wrong,
        got=f"{len(clashes[0])} images at {place:.2f} mm along the slice normal"
        + (f", which differ in {', '.join(differ)}" if differ else ""),
        expected="one image at each place",
        remedy="export one time frame or acquisition only",
    )


def check_steps(along: NDArray[np.float64], what: str, *, fill_one: bool = False) -> int | None:
    """Index at which one missing slice belongs, or None when the increasing positions (mm) are even.

    Raises
    ------
    GeometryError
        A gap, named by its position, or steps that are not even.
    """
    steps = np.diff(along)
    # The lower median: half the steps are this small even when a short stack has a hole.
    step = float(np.sort(steps)[(len(steps) - 1) // 2])
    tolerance = max(STEP_TOLERANCE_MM, STEP_TOLERANCE * step)
    holes = [i for i in range(len(steps)) if steps[i] > 1.5 * step]
    fillable = fill_one and len(holes) == 1 and abs(steps[holes[0]] - 2 * step) <= 2 * tolerance
    if holes and not fillable:
        at = holes[0]
        raise GeometryError(
            f"the {what} has a gap: {round(float(steps[at]) / step) - 1 or 1} slice(s) missing "
            f"between {along[at]:.2f} and {along[at + 1]:.2f} mm along the slice normal",
            got=f"a step of {steps[at]:.3f} mm in {len(holes)} place(s)",
            expected=f"{step:.3f} mm",
            remedy="export the whole series again",
        )
    count = len(along) + (1 if fillable else 0)
    index = np.arange(len(along)) + (np.arange(len(along)) > holes[0] if fillable else 0)
    even = along[0] + index * (along[-1] - along[0]) / (count - 1)
    uneven = np.abs(np.where(steps > 1.5 * step, steps / 2, steps) - step)
    worst = max(float(uneven.max()), float(np.abs(along - even).max()))
    if worst > tolerance:
        at = int(np.argmax(uneven))
        raise GeometryError(
            f"the slices of the {what} are not evenly spaced",
            got=f"{steps[at]:.3f} mm at {along[at]:.2f} mm along the slice normal, off by up to {worst:.3f} mm",
            expected=f"{step:.3f} mm within {tolerance:.3f} mm",
            remedy="reconstruct or resample the series with even spacing",
        )
    return holes[0] + 1 if fillable else None


def _check_shear(along: NDArray[np.float64], slices: list[Slice], normal: NDArray[np.float64], what: str) -> None:
    offsets = np.array([one.position_mm - slices[0].position_mm for one in slices])
    beside = offsets - np.outer(along - along[0], normal)
    distance = np.linalg.norm(beside, axis=1)
    if float(distance.max()) > SHEAR_TOLERANCE_MM:
        worst = int(np.argmax(distance))
        angle = np.degrees(np.arctan2(distance[worst], along[worst] - along[0]))
        raise GeometryError(
            f"the {what} is sheared: its slices are tilted against the way they were stacked",
            got=f"{angle:.1f} degrees (gantry tilt)",
            expected="slices stacked along their normal",
            remedy="scan without gantry tilt, or resample the series to upright slices",
        )


def _findings(grid: Grid, slices: list[Slice], copies: int, hole: int | None, what: str) -> tuple[Finding, ...]:
    found: list[Finding] = []

    def add(code: str, text: str) -> None:
        found.append(Finding(severity=Severity.WARNING, code=code, text=text))

    if copies:
        add("DICOM-DUPLICATES", f"{what}: {copies} identical copies of slices were left out.")
    if hole is not None:
        add("DICOM-SLICE-INTERPOLATED", f"{what}: slice {hole + 1} of {grid.shape[0]} was missing and interpolated.")
    facts = slices[0].file.attributes
    thickness = facts.hint("SliceThickness")
    if thickness and thickness > 0 and grid.spacing_mm[2] > 1.5 * thickness:
        add(
            "DICOM-SLICE-GAPS",
            f"{what}: slices of {thickness:g} mm stand {grid.spacing_mm[2]:g} mm apart; what is between was not seen.",
        )
    tilt = facts.hint("GantryDetectorTilt")
    if tilt and abs(tilt) > 0.05:
        add("DICOM-TILT", f"{what}: the header names a gantry tilt of {tilt:g} degrees that the positions do not show.")
    return tuple(found)
