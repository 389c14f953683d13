"""Scenes: planning and delivered anatomy of a patient on one grid along a beam."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from protonqa.geometry.frames import BeamFrame, beam_frame
from protonqa.geometry.resample import bev_grid, resample, sample_lines
from protonqa.montecarlo.medium import Medium, medium_from_hu
from protonqa.phantom.treatments import PATIENT_POSITION, draw_fitting_treatment, water_depths_mm
from protonqa.physics.materials import schneider_bin, schneider_materials
from protonqa.physics.rsp import material_rsp, rsp_from_hu
from protonqa.range_model.beam_draws import RANGE_HIGH_MM, RANGE_LOW_MM, BeamDraw
from protonqa.range_model.patients import AIR_HU, Patient
from protonqa.values import Grid, Hlut, Volume

Floats32 = NDArray[np.float32]

COLUMN_MM = 2.0  # lateral voxel of the beam's-eye grid; a ray averages 2 x 2 of them
#: Beside a field and around a pencil beam: what scatters farther is lost to the ray anyway, or has no dose to speak of.
FIELD_MARGIN_MM, PENCIL_HALF_MM = 20.0, 44.0
#: Fall-offs of shorter beams are sharper than a millimetre: their grids are finer along the beam.
FINE_BELOW_MM = 130.0
#: Lateral spread of protons, over which neighbours blur the range of a ray.
BLUR_MM = 5.0
_BONE_HU = 150.0
_SOFT_LOW_HU = -150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Frame of a beam, and its range in water (mm)."""

    frame: BeamFrame
    range_mm: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """Planning and delivered anatomy on one grid along the beam, z index along the travel of the protons.

    body : (nz, ny, nx) bool
        Of the planning CT.
    wepl_spread_mm : (nz, ny, nx) float32
        SD of the planned water-equivalent depth among the neighbours of a column.
    """

    grid: Grid
    planned: Medium
    delivered: Medium
    body: NDArray[np.bool_]
    wepl_spread_mm: Floats32
    range_mm: float

    @property
    def step_mm(self) -> float:
        """Voxel along the beam."""
        return float(self.grid.spacing_mm[2])


def aim_beam(patient: Patient, draw: BeamDraw) -> Aim | None:
    """Direction, aim and range of a drawn beam; None when no range of 70 to 230 MeV stops in the body."""
    if draw.treatment_seed and patient.twin is not None:
        return _clinical_aim(patient, draw)
    inside = np.argwhere(patient.body)
    low, high = inside.min(axis=0)[::-1], inside.max(axis=0)[::-1]
    # Stay away from the ends of the volume, where a field would leave it sideways.
    place = 0.5 * (low + high) + 0.5 * np.asarray(draw.aim_share) * (high - low)
    frame = beam_frame(PATIENT_POSITION, draw.gantry_deg, draw.couch_deg, patient.planned.grid.world_from_index(place))
    water, entry, end = _axis_water(patient, frame)
    if end - entry < 50:
        return None
    least, most = max(RANGE_LOW_MM, water[entry] + 20.0), min(RANGE_HIGH_MM, water[end] - 10.0)
    if most <= least:
        return None
    return Aim(frame=frame, range_mm=float(least + draw.range_share * (most - least)))


def _clinical_aim(patient: Patient, draw: BeamDraw) -> Aim | None:
    """A target treated as in a clinic: the beam ends in its distal part or some millimetres behind it."""
    if patient.twin is None:
        return None
    treatment = draw_fitting_treatment(patient.twin, patient.planned, patient.body, draw.treatment_seed)
    near, far = water_depths_mm(treatment, patient.planned, patient.body)
    frame = beam_frame(
        PATIENT_POSITION, treatment.gantry_deg, treatment.couch_deg, np.array(treatment.center_mm, dtype=np.float64)
    )
    wanted = far + 6.0 - 0.6 * (1.0 - draw.range_share) * (far - near)
    return Aim(frame=frame, range_mm=float(np.clip(wanted, RANGE_LOW_MM, RANGE_HIGH_MM)))


def _axis_water(patient: Patient, frame: BeamFrame) -> tuple[NDArray[np.float64], int, int]:
    """Planned water-equivalent depth along the axis in steps of 1 mm, and the steps that enter and leave the body."""
    reach = 0.5 * float(np.linalg.norm(patient.planned.grid.size_mm)) + 60.0
    way = np.arange(-reach, reach) + 0.5
    start, direction = np.asarray(frame.isocenter_mm)[None], np.asarray(frame.direction)[None]
    hu = sample_lines(patient.planned, start, direction, way, outside=AIR_HU)[0]
    mask = Volume(grid=patient.planned.grid, array=patient.body.astype(np.float32), unit="1")
    body = np.flatnonzero(sample_lines(mask, start, direction, way, outside=0.0)[0] > 0.5)
    water = np.cumsum(rsp_from_hu(hu))
    return water, int(body[0]) if body.size else 0, int(body[-1]) if body.size else 0


def make_scene(patient: Patient, aim: Aim, draw: BeamDraw) -> Scene | None:
    """Both anatomies along the beam, from what it meets first to well behind its range; None when it meets nothing."""
    half = draw.half_mm + FIELD_MARGIN_MM if draw.kind == "field" else PENCIL_HALF_MM
    half = COLUMN_MM * np.ceil(half / COLUMN_MM)
    step = 0.5 if draw.kind == "field" and aim.range_mm < FINE_BELOW_MM else 1.0
    reach = np.ceil(0.5 * float(np.linalg.norm(patient.planned.grid.size_mm)) + 60.0)
    spacing = (COLUMN_MM, COLUMN_MM, step)
    whole = bev_grid(aim.frame, x_mm=(-half, half), y_mm=(-half, half), along_mm=(-reach, reach), spacing_mm=spacing)
    return scene_on(patient, whole, aim.range_mm, draw)


def scene_on(
    patient: Patient, whole: Grid, range_mm: float, draw: BeamDraw, *, hlut: Hlut | None = None
) -> Scene | None:
    """Both anatomies on the part of a grid along a beam that the protons need; None when they meet nothing."""
    window = _window(patient, range_mm, whole)
    if window is None:
        return None
    grid = whole.crop((window[0], 0, 0), (window[1], whole.shape[1], whole.shape[2]))
    planned = medium_from_hu(resample(patient.planned, grid, outside=AIR_HU), hlut=hlut)
    delivered = delivered_medium(resample(patient.delivered, grid, outside=AIR_HU), draw, hlut=hlut)
    mask = Volume(grid=patient.planned.grid, array=patient.body.astype(np.float32), unit="1")
    return Scene(
        grid=grid,
        planned=planned,
        delivered=delivered,
        body=resample(mask, grid, outside=0.0).array > 0.5,
        wepl_spread_mm=_wepl_spread(planned.rsp, float(whole.spacing_mm[2])),
        range_mm=range_mm,
    )


def _window(patient: Patient, range_mm: float, whole: Grid) -> tuple[int, int] | None:
    """Planes of `whole` from the first matter to well behind the range in the lightest column, in steps of 4 mm."""
    coarse = Grid(
        shape=(whole.shape[0], -(-whole.shape[1] // 3), -(-whole.shape[2] // 3)),
        spacing_mm=(3 * whole.spacing_mm[0], 3 * whole.spacing_mm[1], whole.spacing_mm[2]),
        origin_mm=tuple(whole.world_from_index((1.0, 1.0, 0.0))),
        direction=whole.direction,
    )
    hu = resample(patient.delivered, coarse, outside=AIR_HU).array
    dense = np.flatnonzero((hu > -900.0).any(axis=(1, 2)))
    if dense.size == 0:
        return None
    water = np.cumsum(rsp_from_hu(hu), axis=0).min(axis=(1, 2)) * whole.spacing_mm[2]
    beyond = np.flatnonzero(water > 1.06 * range_mm + 15.0)
    last = int(beyond[0]) if beyond.size else int(dense[-1])
    # Whole millimetres, also where planes are half a millimetre.
    start = max(int(dense[0]) - 12, 0) // 4 * 4
    stop = min(-(-(last + 24) // 4) * 4, whole.shape[0] // 4 * 4)
    return (start, stop) if stop - start > 40 else None


def delivered_medium(ct: Volume, draw: BeamDraw, *, hlut: Hlut | None = None) -> Medium:
    """What the protons meet: stopping power off by the drawn factors, soft tissue of another composition.

    The composition is that of a shifted CT number, and the density is such that the RSP at 100 MeV is the factor times
    that of the HU calibration: range error and composition do not mix.
    """
    nominal = medium_from_hu(ct, hlut=hlut)
    hu = nominal.hu
    soft = (hu > _SOFT_LOW_HU) & (hu < _BONE_HU)
    shifted = np.where(soft, np.clip(hu + draw.composition_hu, _SOFT_LOW_HU, _BONE_HU), hu)
    material = schneider_bin(shifted).astype(np.uint8)
    share = np.clip((hu - 50.0) / 200.0, 0.0, 1.0)
    factor = draw.soft_factor + share * (draw.bone_factor - draw.soft_factor)
    rsp = (nominal.rsp * factor).astype(np.float32)
    density = np.maximum(rsp / _mass_ratios()[material], 1e-6).astype(np.float32)
    return Medium(
        grid=ct.grid, material=np.ascontiguousarray(material), density=np.ascontiguousarray(density), hu=hu, rsp=rsp
    )


@cache
def _mass_ratios() -> NDArray[np.float64]:
    return np.array([material_rsp(m) / m.density_g_per_cm3 for m in schneider_materials()])


def _wepl_spread(rsp: Floats32, step_mm: float) -> Floats32:
    """SD of the water-equivalent depth among neighbours, weighted by a Gaussian; (nz, ny, nx)."""
    depth = np.cumsum(rsp, axis=0, dtype=np.float64) * step_mm
    # Large common parts off first: the square of a depth leaves float32 few digits.
    depth = (depth - depth.mean(axis=(1, 2), keepdims=True)).astype(np.float32)
    sigma = (0.0, BLUR_MM / COLUMN_MM, BLUR_MM / COLUMN_MM)
    mean = gaussian_filter(depth, sigma, mode="nearest", truncate=3.0)
    square = gaussian_filter(depth * depth, sigma, mode="nearest", truncate=3.0)
    return np.asarray(np.sqrt(np.maximum(square - mean * mean, 0.0)), dtype=np.float32)
