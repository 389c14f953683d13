"""A case made ready to be looked at: volumes on upright axes as plain arrays in files, beams and findings as text.

A viewer maps the files into memory and only cuts slices; reading, checking and turning are done here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.app.case_files import describe_case
from protonqa.app.inputs import load_inputs
from protonqa.app.progress import Cancel, Progress, report_progress
from protonqa.app.structure_display import write_structures
from protonqa.durable import store_error
from protonqa.errors import InputError, ProtonQAError
from protonqa.geometry.frames import beam_frame
from protonqa.geometry.resample import resample
from protonqa.values import Beam, Case, Finding, Grid, IonPlan, SeriesInfo, Severity, Volume

#: Direction cosines closer than this to 0 or 1 are 0 or 1.
_UPRIGHT_TOLERANCE = 1e-4
_CT_LIMITS = (-32768.0, 32767.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenedCase:
    """A case with the paths it was read from, by the names of the inputs of ``range-verification``.

    ``findings`` are those of the structures. They are not the case's: no analysis sees them.
    """

    case: Case
    paths: Mapping[str, Path]
    findings: tuple[Finding, ...] = ()


def open_case(folder: Path, *, progress: Progress | None = None, cancel: Cancel | None = None) -> OpenedCase:
    """Find CT, PET, plan, dose and structures in a folder or archive and read them.

    Structures that cannot be read are a finding: they are only looked at.

    Raises
    ------
    InputError, DicomError, GeometryError, UnitsError
        Nothing there, ambiguous, damaged, or of different patients.
    Cancelled
    """
    from protonqa.analyses.registry import load_analysis

    inputs = tuple(one for one in load_analysis("range-verification").analysis.inputs if one.name == "case")
    if not folder.exists():
        raise InputError("there is nothing at this path", expected="a folder or archive with a case", remedy="check it")
    report_progress(progress, cancel, 0, 4, "looking into the folder")
    described = describe_case(folder, inputs)
    report_progress(progress, cancel, 1, 4, "reading the images")
    values, _ = load_inputs(inputs, described.inputs)
    case: Case = values["case"]
    case, found = _with_structures(case, folder)
    report_progress(progress, cancel, 4, 4, "read")
    paths = {name: place for name, place in described.inputs.items() if isinstance(place, Path)}
    return OpenedCase(case=case, paths=paths, findings=found)


def _with_structures(case: Case, folder: Path) -> tuple[Case, tuple[Finding, ...]]:
    from protonqa.dicom import read_case_structures
    from protonqa.dicom.inventory import inventory

    try:
        place = inventory(folder).path_of("structures")
        if place is None:
            return case, ()
        structures, found = read_case_structures(case.ct_info, place)
    except ProtonQAError as error:
        text = f"No structures are shown: {error.line()}."
        return case, (Finding(severity=Severity.WARNING, code="STRUCTURES-NOT-READ", text=text),)
    return replace(case, structures=structures), found


def write_display(
    opened: OpenedCase, folder: Path, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> dict[str, Any]:
    """Write the volumes as ``.npy`` into `folder`; returns what is there, as JSON types.

    Keys: ``volumes`` (``name``, ``unit``, ``file``, ``spacing_mm``, ``origin_mm``, ``low``, ``high``; arrays are
    [z, y, x], axes along +x, +y, +z of LPS), ``beams``, ``found``, ``ignored``, ``findings``, ``paths``, ``timeline``,
    ``structures`` (see `write_structures`).

    Raises
    ------
    StoreError
        The files cannot be written.
    Cancelled
    """
    case = opened.case
    named = [("ct", case.ct)]
    named += [] if case.pet is None else [("pet", case.pet.volume)]
    named += [] if case.dose is None else [("dose", case.dose.volume)]
    structures: list[dict[str, Any]] = []
    volumes, findings = [], [*case.findings, *opened.findings]
    for done, (name, volume) in enumerate(named):
        report_progress(progress, cancel, done, len(named), "preparing the views")
        upright = upright_volume(volume)
        if _is_oblique(volume.grid):
            text = (
                f"The {name.upper()} lies oblique to the patient axes; it is shown resampled, never computed with so."
            )
            findings.append(Finding(severity=Severity.INFO, code="SHOWN-RESAMPLED", text=text))
        volumes.append(write_volume(name, upright, folder))
        if name == "ct" and case.structures is not None:
            structures, noticed = write_structures(
                case.structures, upright.grid, folder, progress=progress, cancel=cancel
            )
            findings += noticed
    return {
        "volumes": volumes,
        "structures": structures,
        "beams": [] if case.plan is None else [_beam(case.plan, beam) for beam in case.plan.beams],
        "found": _found(case),
        "ignored": _ignored(case),
        "findings": [{"severity": one.severity.value, "code": one.code, "text": one.text} for one in findings],
        "paths": {name: str(path) for name, path in opened.paths.items()},
        "timeline": None
        if case.timeline is None
        else {name: getattr(case.timeline, name) for name in ("irradiation_s", "delay_s", "acquisition_s")},
    }


def write_volume(name: str, volume: Volume, folder: Path) -> dict[str, Any]:
    """Write an upright volume as ``NAME.npy`` (CT as int16, else float32); returns its entry of ``volumes``.

    Raises
    ------
    StoreError
    """
    array: NDArray[Any] = volume.array
    if volume.unit == "HU":
        array = np.rint(np.clip(array, *_CT_LIMITS)).astype(np.int16)
    path = folder / f"{name}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, np.ascontiguousarray(array), allow_pickle=False)
    except OSError as error:
        raise store_error("view of the case", "write", error) from error
    return {
        "name": name,
        "unit": volume.unit,
        "file": str(path),
        "spacing_mm": list(volume.grid.spacing_mm),
        "origin_mm": list(volume.grid.origin_mm),
        "low": float(array.min()),
        "high": float(array.max()),
    }


def upright_volume(volume: Volume) -> Volume:
    """The volume with its axes along +x, +y and +z of LPS: turned where that is exact, else resampled.

    A turn moves no value; an oblique volume goes to voxels as fine as its finest, zero (CT: air) outside.
    """
    if _is_oblique(volume.grid):
        outside = -1000.0 if volume.unit == "HU" else 0.0
        return resample(volume, _enclosing(volume.grid), outside=outside)
    turn = np.rint(volume.grid.direction).astype(int)
    # Which index runs along each patient axis, and which way.
    source = [int(np.abs(turn[axis]).argmax()) for axis in range(3)]
    sign = [int(turn[axis, source[axis]]) for axis in range(3)]
    array = np.transpose(volume.array, [2 - source[axis] for axis in (2, 1, 0)])
    flips = tuple(slice(None, None, sign[axis]) for axis in (2, 1, 0))
    array = array[flips]
    spacing = np.asarray(volume.grid.spacing_mm)[source]
    last = np.array(volume.grid.shape[::-1]) - 1
    first = np.zeros(3)
    for axis in range(3):
        first[source[axis]] = 0 if sign[axis] > 0 else last[source[axis]]
    origin = volume.grid.world_from_index(first)
    nz, ny, nx = array.shape
    grid = Grid(shape=(nz, ny, nx), spacing_mm=_triple(spacing), origin_mm=_triple(origin))
    return Volume(grid=grid, array=np.ascontiguousarray(array), unit=volume.unit)


def _is_oblique(grid: Grid) -> bool:
    return not np.allclose(np.abs(grid.direction), np.rint(np.abs(grid.direction)), atol=_UPRIGHT_TOLERANCE)


def _enclosing(grid: Grid) -> Grid:
    nz, ny, nx = grid.shape
    corners = np.array([(x, y, z) for x in (-0.5, nx - 0.5) for y in (-0.5, ny - 0.5) for z in (-0.5, nz - 0.5)])
    world = grid.world_from_index(corners)
    step = min(grid.spacing_mm)
    low, size = world.min(axis=0), np.ptp(world, axis=0)
    count = np.maximum(np.ceil(size / step).astype(int), 1)
    return Grid(
        shape=(int(count[2]), int(count[1]), int(count[0])),
        spacing_mm=(step, step, step),
        origin_mm=_triple(low + 0.5 * step),
    )


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _beam(plan: IonPlan, beam: Beam) -> dict[str, Any]:
    frame = beam_frame(plan.patient_position, beam.gantry_deg, beam.couch_deg, beam.isocenter_mm)
    energies = [layer.energy_mev for layer in beam.layers]
    return {
        "number": beam.number,
        "name": beam.name,
        "gantry_deg": beam.gantry_deg,
        "couch_deg": beam.couch_deg,
        "isocenter_mm": list(beam.isocenter_mm),
        "direction": frame.direction.tolist(),
        "energies_mev": [min(energies), max(energies)] if energies else [],
        "layers": len(energies),
        "unsupported": list(beam.unsupported),
    }


def _found(case: Case) -> list[list[str]]:
    """(what, details) of everything that was read; it may name the patient and is for the eyes of the user only."""
    rows = [["Patient", " ".join(filter(None, (case.ct_info.patient.name, case.ct_info.patient.patient_id))) or "-"]]
    rows.append(["Planning CT", f"{_series(case.ct_info)}; {_grid(case.ct.grid)}"])
    if case.pet is not None:
        timing = case.pet.timing
        frame = "" if timing.frame_duration_s is None else f", frame {timing.frame_duration_s:g} s"
        rows.append(["PET", f"{_series(case.pet.info)}; {_grid(case.pet.volume.grid)}; {case.pet.volume.unit}{frame}"])
        rows.append(["Decay correction", timing.decay_correction])
    if case.plan is not None:
        fields = len(case.plan.beams)
        rows.append(["RT Ion Plan", f"{fields} beam{'' if fields == 1 else 's'}, patient {case.plan.patient_position}"])
        rows += [[f"Beam {beam.number}", _beam_line(beam)] for beam in case.plan.beams]
    if case.dose is not None:
        rows.append(["RT Dose", f"{case.dose.summation_type or 'no summation type'}; {_grid(case.dose.volume.grid)}"])
    if case.structures is not None:
        held = case.structures.structures
        contours = sum(len(one.contours) for one in held)
        rows.append(["RT Structure Set", f"structures read: {len(held)}; closed contours: {contours}"])
    line = case.timeline
    text = "not known from the files"
    if line is not None:
        text = f"irradiation {line.irradiation_s:g} s, delay {line.delay_s:g} s, acquisition {line.acquisition_s:g} s"
    rows.append(["Time line", text])
    return rows


def _series(info: SeriesInfo) -> str:
    count = info.files_used
    return f"{count} file{'' if count == 1 else 's'}"


def _grid(grid: Grid) -> str:
    nz, ny, nx = grid.shape
    sx, sy, sz = grid.spacing_mm
    return f"{nx} x {ny} x {nz} voxels of {sx:.3g} x {sy:.3g} x {sz:.3g} mm"


def _beam_line(beam: Beam) -> str:
    if beam.unsupported:
        return f"cannot be evaluated: {'; '.join(beam.unsupported)}"
    energies = [layer.energy_mev for layer in beam.layers]
    span = f", {min(energies):.1f} to {max(energies):.1f} MeV in {len(energies)} layers" if energies else ""
    return f"gantry {beam.gantry_deg:g}, couch {beam.couch_deg:g} degrees{span}"


def _ignored(case: Case) -> list[list[str]]:
    known = [case.ct_info, case.plan_info, None if case.pet is None else case.pet.info]
    known.append(None if case.dose is None else case.dose.info)
    rows = [list(row) for info in known if info is not None for row in info.files_ignored]
    return [list(row) for row in dict.fromkeys(tuple(row) for row in rows)]
