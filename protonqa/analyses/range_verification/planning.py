"""From plan and planning CT to rays: which rays are evaluable, planned R80, expected activity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from protonqa.analyses.forward import simulate_field
from protonqa.errors import NotEvaluableError
from protonqa.geometry.body import body_mask
from protonqa.geometry.frames import BeamFrame, beam_frame
from protonqa.geometry.rays import RaySet, cast_rays, depth_profiles, lateral_lattice
from protonqa.physics.curves import RangeMark, distal_range, is_range_mixed
from protonqa.values import Beam, BeamModel, Case, DoseImage, Finding, Grid, Hlut, Severity, Volume

Floats = NDArray[np.float64]
MAX_DEPTH_MM = 448
# Activity and dose beyond the planned range that a profile must show.
BEYOND_MM = 60.0
FIELD_DOSE_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlannedField:
    """One field on the planning CT.

    rays : RaySet
        All rays of the lattice that meet the body; ``lattice`` says where each stands.
    lattice : (n_ray, 2) int
        Row and column of each ray; ``x_mm``, ``y_mm`` are the coordinates of columns and rows.
    planned_dose : (n_ray, n_depth)
    planned_r80_mm : (n_ray,), NaN where there is none
    evaluable, range_mixed : (n_ray,) bool
    rsp, hu : (n_ray, n_depth)
    nuclei : (7, nz, ny, nx) nuclei per voxel for the delivered field, on ``box``
    """

    beam: Beam
    frame: BeamFrame
    rays: RaySet
    lattice: NDArray[np.int64]
    x_mm: Floats
    y_mm: Floats
    planned_dose: Floats
    planned_r80_mm: Floats
    evaluable: NDArray[np.bool_]
    range_mixed: NDArray[np.bool_]
    rsp: Floats
    hu: Floats
    box: Grid
    nuclei: NDArray[np.float32]
    hu_box: NDArray[np.float32]
    simulated: float
    dose_source: str
    findings: tuple[Finding, ...]

    @property
    def n_depth(self) -> int:
        """1 mm depth bins."""
        return int(self.planned_dose.shape[1])


def plan_field(
    case: Case,
    beam: Beam,
    *,
    hlut: Hlut | None,
    model: BeamModel,
    protons: int,
    seed: int,
    cross_sections: str,
    pitch_mm: float,
    width_mm: float,
    psf_mm: float,
    progress: Callable[[float, float, str], None],
) -> PlannedField:
    """Simulate the beam on the planning CT and lay rays through it.

    Raises
    ------
    NotEvaluableError
        The beam cannot be evaluated, or no ray has a planned range.
    """
    if case.plan is None:
        raise NotEvaluableError("there is no plan", remedy="give the RT Ion Plan of the field")
    if beam.unsupported:
        raise NotEvaluableError(f"beam {beam.number} cannot be evaluated", got="; ".join(beam.unsupported))
    frame = beam_frame(case.plan.patient_position, beam.gantry_deg, beam.couch_deg, beam.isocenter_mm)
    body = body_mask(case.ct)
    x_mm, y_mm = _field_lattice(beam, pitch_mm)
    sad = beam.virtual_sad_mm or model.virtual_sad_mm
    every = cast_rays(body, case.ct.grid, frame, x_mm, y_mm, sad_mm=sad)
    if not every.valid.any():
        raise NotEvaluableError("no ray of the field meets the body", remedy="check plan, CT and isocentre")
    places = np.stack(np.unravel_index(np.flatnonzero(every.valid), (y_mm.size, x_mm.size)), axis=1)
    rays = every.select(every.valid)
    simulation = simulate_field(
        case.ct,
        case.plan,
        beam,
        protons=protons,
        seed=seed,
        hlut=hlut,
        model=model,
        cross_sections=cross_sections,
        box=_box_around(case.ct.grid, rays),
        progress=progress,
    )
    result = simulation.result
    dose, source, dose_findings = _planned_dose(case, beam, result.dose_volume())
    n_depth = int(min(np.ceil(rays.body_depth_mm.max()), MAX_DEPTH_MM))
    curves = depth_profiles(dose, rays, n_depth, cross_section_mm=pitch_mm)
    r80, reference, mixed = _planned_ranges(curves)
    if not np.isfinite(r80).any():
        raise NotEvaluableError("no ray has a planned range", remedy="check that plan, dose and CT belong together")
    n_depth = int(min(np.nanmax(r80) + BEYOND_MM, MAX_DEPTH_MM))
    rsp = Volume(grid=case.ct.grid, array=simulation.rsp, unit="RSP")
    return PlannedField(
        beam=beam,
        frame=frame,
        rays=rays,
        lattice=places,
        x_mm=x_mm,
        y_mm=y_mm,
        planned_dose=_fit(curves, n_depth),
        planned_r80_mm=r80,
        evaluable=_evaluable(reference, r80, places, (y_mm.size, x_mm.size), pitch_mm, psf_mm),
        range_mixed=mixed,
        rsp=depth_profiles(rsp, rays, n_depth, sampling="voxel", cross_section_mm=width_mm),
        hu=depth_profiles(case.ct, rays, n_depth, cross_section_mm=width_mm, outside=-1000.0),
        box=result.grid,
        nuclei=result.nuclei * np.float32(result.field_protons),
        hu_box=simulation.hu,
        simulated=float(result.protons),
        dose_source=source,
        findings=result.findings + dose_findings,
    )


def _field_lattice(beam: Beam, pitch_mm: float) -> tuple[Floats, Floats]:
    xy = np.concatenate([layer.spot_xy_mm[layer.meterset_mu > 0] for layer in beam.layers])
    if xy.size == 0:
        raise NotEvaluableError(f"beam {beam.number} has no spot with weight")
    margin = 4.0
    low, high = xy.min(axis=0) - margin, xy.max(axis=0) + margin
    return lateral_lattice((low[0], high[0]), (low[1], high[1]), pitch_mm)


def _box_around(grid: Grid, rays: RaySet, margin_mm: float = 25.0) -> Grid:
    """The part of the grid that holds the rays inside the body, with room for scatter."""
    ends = np.concatenate([rays.position_mm(np.zeros(1))[:, 0], _exits(rays)])
    index = grid.index_from_world(ends)
    room = margin_mm / np.asarray(grid.spacing_mm)
    low = np.clip(np.floor(index.min(axis=0) - room), 0, np.array(grid.shape[::-1]) - 1).astype(int)
    high = np.clip(np.ceil(index.max(axis=0) + room) + 1, low + 1, np.array(grid.shape[::-1])).astype(int)
    return grid.crop(tuple(low[::-1]), tuple(high[::-1]))


def _exits(rays: RaySet) -> Floats:
    depth = np.minimum(rays.body_depth_mm, MAX_DEPTH_MM)
    return np.asarray(rays.position_mm(depth[:, None])[:, 0])


def _planned_dose(case: Case, beam: Beam, own: Volume) -> tuple[Volume, str, tuple[Finding, ...]]:
    """The RT Dose where it is the dose of this beam, else our own."""
    if case.dose is None:
        return own, "Monte Carlo", ()
    reason = _why_not(case, case.dose, beam)
    if not reason:
        return case.dose.volume, "RT Dose", ()
    finding = Finding(
        severity=Severity.WARNING,
        code="DOSE-NOT-USED",
        text=f"The RT Dose was not used for the planned range: {reason}. The planned range is our own Monte Carlo's.",
    )
    return own, "Monte Carlo", (finding,)


def _why_not(case: Case, dose: DoseImage, beam: Beam) -> str:
    if dose.dose_units != "GY":
        return f"its unit is {dose.dose_units}"
    if dose.summation_type == "BEAM":
        if dose.referenced_beam in (None, beam.number):
            return ""
        return f"it belongs to beam {dose.referenced_beam}"
    if case.plan is not None and len(case.plan.beams) == 1:
        return ""
    return f"it is a sum of type {dose.summation_type or 'unknown'} over several beams"


def _planned_ranges(curves: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    depth = np.arange(curves.shape[1]) + 0.5
    r80, reference = np.full(len(curves), np.nan), np.zeros(len(curves))
    mixed = np.zeros(len(curves), dtype=bool)
    strongest = curves.max() if curves.size else 0.0
    for i, curve in enumerate(curves):
        if curve.max() < 0.2 * strongest:
            continue
        mark = distal_range(depth, curve)
        if isinstance(mark, RangeMark):
            r80[i], reference[i] = mark.value_mm, mark.reference
            mixed[i] = bool(is_range_mixed(depth, curve))
    return r80, reference, mixed


def _evaluable(
    reference: Floats,
    r80: Floats,
    places: NDArray[np.int64],
    shape: tuple[int, int],
    pitch_mm: float,
    psf_mm: float,
) -> NDArray[np.bool_]:
    """From the plan alone: distal dose at least half of the field's, and one PSF inside the edge of that region."""
    strong = np.isfinite(r80) & (reference >= FIELD_DOSE_SHARE * reference.max())
    padded = np.zeros((shape[0] + 2, shape[1] + 2), dtype=bool)
    padded[places[:, 0] + 1, places[:, 1] + 1] = strong
    # Distance to the nearest ray outside; the edge lies half a pitch before it.
    distance = distance_transform_edt(padded) * pitch_mm - 0.5 * pitch_mm
    return np.asarray(strong & (distance[places[:, 0] + 1, places[:, 1] + 1] >= psf_mm))


def _fit(curves: Floats, n_depth: int) -> Floats:
    out = np.zeros((curves.shape[0], n_depth))
    n = min(n_depth, curves.shape[1])
    out[:, :n] = curves[:, :n]
    return out
