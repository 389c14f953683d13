"""Random treatments of a digital twin: a spherical target and a beam direction, drawn before anything is computed.

``draw_treatment`` needs the twin's parameters alone. ``draw_fitting_treatment`` draws until the target lies in tissue
and within the ranges of the machine, so it also needs the planning CT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.geometry.frames import beam_frame
from protonqa.geometry.rays import cast_rays_at, sample_along
from protonqa.phantom.anatomy import Pair, Triple
from protonqa.phantom.painter import AIR_HU
from protonqa.phantom.target import AIR_RSP, LEAST_IN_BODY, SphericalTarget, share_in_body, target_voxels
from protonqa.phantom.twin_parameters import TwinParameters
from protonqa.phantom.twin_targets import TargetRegion, region_named, target_regions
from protonqa.phantom.twins import room_position_mm
from protonqa.physics.rsp import rsp_from_hu
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import Volume

#: Twins lie like this.
PATIENT_POSITION = "HFS"
_END_MARGIN_MM = 15.0  # between a target and the cut end of the body
_FREE_COUCH_SD_DEG = 12.0
_BEHIND_MM = 8.0  # ranges end this far behind the target at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """A drawn target and beam direction.

    Parameters
    ----------
    site, region : str
        Anatomy and region of the target.
    center_mm : (x, y, z)
        Centre of the target in the room (LPS) on the day of the planning CT; the isocentre.
    radius_mm : float
    gantry_deg, couch_deg : float
        IEC 61217, for a patient head first supine.
    """

    site: str
    region: str
    center_mm: Triple
    radius_mm: float
    gantry_deg: float
    couch_deg: float


def draw_treatment(
    params: TwinParameters, seed: int, *, region: str | None = None, free_share: float = 0.2
) -> Treatment:
    """Draw a target and a beam direction.

    Parameters
    ----------
    params : TwinParameters
        The twin as planned.
    seed : int
        Same twin and seed, same treatment.
    region : str, optional
        Name of a `target_regions`; drawn by weight when absent.
    free_share : float
        Share of beams that come from any side instead of the usual sectors of the region.

    Raises
    ------
    InputError
        The anatomy has no such region.
    """
    return _drawn(params, np.random.default_rng([0x7A26, params.seed, seed]), region, free_share)


def draw_fitting_treatment(
    params: TwinParameters,
    planned: Volume,
    body: NDArray[np.bool_],
    seed: int,
    *,
    region: str | None = None,
    free_share: float = 0.2,
    energies_mev: Pair = (70.0, 230.0),
    tries: int = 60,
) -> Treatment:
    """Draw treatments until the target lies in tissue and its near and far sides within reach of the energies.

    Parameters
    ----------
    planned : Volume
        Planning CT (HU) of the twin, as `voxelise_twin` makes it.
    body : (nz, ny, nx) bool
        Its body mask (`geometry.body.body_mask`).
    energies_mev : (low, high)
        Of the machine. The near side must be at least as deep as the range of the lowest.
    tries : int
        Draws before giving up.

    Raises
    ------
    InputError
        No such region, or no draw fits.
    """
    shortest, longest = (float(r) for r in csda_range_water_mm(np.array(energies_mev)))
    rng = np.random.default_rng([0x7A26, params.seed, seed])
    for _ in range(tries):
        treatment = _drawn(params, rng, region, free_share)
        if not in_tissue(treatment, planned, body):
            continue
        near, far = water_depths_mm(treatment, planned, body)
        if near >= shortest and far + _BEHIND_MM <= longest:
            return treatment
    raise InputError(
        "no drawn target fits the machine",
        got=f"{tries} draws in twin {params.seed} ({params.site})",
        expected=f"targets {shortest:.0f} to {longest:.0f} mm deep in water",
        remedy="name another region, or allow more tries or other energies",
    )


def in_tissue(treatment: Treatment, planned: Volume, body: NDArray[np.bool_]) -> bool:
    """Whether a field can treat the target: nearly all of it in the body, and not in air."""
    target = SphericalTarget(center_mm=np.array(treatment.center_mm), radius_mm=treatment.radius_mm)
    voxels = target_voxels(target, planned.grid)
    rsp = float(np.median(rsp_from_hu(planned.array[voxels])))
    return share_in_body(voxels, body) >= LEAST_IN_BODY and rsp >= AIR_RSP


def water_depths_mm(treatment: Treatment, planned: Volume, body: NDArray[np.bool_]) -> Pair:
    """Water-equivalent depth of the near and the far side of the target on the beam axis, couch included."""
    frame = beam_frame(PATIENT_POSITION, treatment.gantry_deg, treatment.couch_deg, np.array(treatment.center_mm))
    axis = cast_rays_at(body, planned.grid, frame, np.zeros((1, 2)))
    upstream = float(np.linalg.norm(planned.grid.size_mm))
    far = -float(axis.entry_mm[0]) + treatment.radius_mm
    depths = np.arange(-upstream, max(far, 1.0), 1.0) + 0.5
    water = np.cumsum(rsp_from_hu(sample_along(planned, axis, depths, outside=AIR_HU)[0]))
    near = far - 2 * treatment.radius_mm
    return float(np.interp(near, depths + 0.5, water)), float(water[-1])


def _drawn(params: TwinParameters, rng: np.random.Generator, name: str | None, free_share: float) -> Treatment:
    regions = target_regions(params.anatomy)
    weights = np.array([one.weight for one in regions])
    chosen = regions[int(rng.choice(len(regions), p=weights / weights.sum()))]
    if name is not None:
        chosen = region_named(params.anatomy, name)
    radius = float(rng.uniform(*chosen.radius_mm))
    box = [float(c + rng.uniform(-s, s)) for c, s in zip(chosen.center_mm, chosen.spread_mm, strict=True)]
    center = room_position_mm(params, box)
    least = radius + _END_MARGIN_MM
    center[2] = min(max(center[2], least), params.size_mm[2] - least)
    gantry, couch = _direction(rng, chosen, free_share)
    return Treatment(
        site=params.site,
        region=chosen.name,
        center_mm=(float(center[0]), float(center[1]), float(center[2])),
        radius_mm=radius,
        gantry_deg=gantry,
        couch_deg=couch,
    )


def _direction(rng: np.random.Generator, region: TargetRegion, free_share: float) -> Pair:
    free = rng.uniform() < free_share
    middle, half = region.gantry_deg[int(rng.integers(len(region.gantry_deg)))]
    usual = (float(rng.uniform(middle - half, middle + half)), float(rng.uniform(*region.couch_deg)))
    any_side = (float(rng.uniform(0, 360)), float(np.clip(rng.normal(0.0, _FREE_COUCH_SD_DEG), -30.0, 30.0)))
    gantry, couch = any_side if free else usual
    return gantry % 360.0, couch
