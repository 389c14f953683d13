"""Where the spots of a field go: positions, the depth interval of each ray, and the protons of each spot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.phantom.layers import LayerStack, sobp_weights
from protonqa.phantom.pencil_beam import WaterDepth

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMargins:
    """Margins around a target: across the beam in mm, before and behind it in mm of water."""

    lateral_mm: float
    proximal_mm: float
    distal_mm: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthIntervals:
    """Water-equivalent depths between which each ray gives a flat dose; all (n_ray,).

    ``proximal_mm`` and ``distal_mm`` include the margins, ``target_proximal_mm`` and ``target_distal_mm`` do not.
    ``half_chord_mm`` is half the way of the ray through the laterally widened target; ``through_target`` marks the rays
    that meet the target itself.
    """

    proximal_mm: FloatArray
    distal_mm: FloatArray
    target_proximal_mm: FloatArray
    target_distal_mm: FloatArray
    half_chord_mm: FloatArray
    through_target: NDArray[np.bool_]


def hexagonal_spots_mm(radius_mm: float, spacing_mm: float) -> FloatArray:
    """Positions on a hexagonal lattice inside a circle, symmetric about x and y; (n, 2), row by row.

    Every spot has six neighbours at `spacing_mm`; a spot stands in the middle.
    """
    pitch = spacing_mm * np.sqrt(0.75)
    n_row, n_column = int(radius_mm / pitch) + 1, int(radius_mm / spacing_mm) + 1
    rows = []
    for row in range(-n_row, n_row + 1):
        x = (np.arange(-n_column, n_column + 1) + 0.5 * (row % 2)) * spacing_mm
        rows.append(np.stack([x, np.full(x.size, row * pitch)], axis=1))
    positions = np.concatenate(rows)
    return np.asarray(positions[np.hypot(positions[:, 0], positions[:, 1]) <= radius_mm + 1e-9])


def cell_area_cm2(spacing_mm: float) -> float:
    """Area that belongs to one spot of the hexagonal lattice."""
    return float(np.sqrt(0.75) * spacing_mm**2 / 100.0)


def depth_intervals(depths: WaterDepth, radius_mm: float, margins: FieldMargins) -> DepthIntervals:
    """Interval of each ray through a sphere at the isocentre, widened by the margins.

    Laterally the sphere is moved outward: a ray at distance d covers the depths that the sphere has at distance
    d - margin. Depth margins are millimetres of water.
    """
    distance = np.hypot(depths.rays.lateral_mm[:, 0], depths.rays.lateral_mm[:, 1])
    inside = np.maximum(distance - margins.lateral_mm, 0.0)
    half = np.sqrt(np.maximum(radius_mm**2 - inside**2, 0.0))
    ends = depths.at_way(np.stack([-half, half], axis=1))
    return DepthIntervals(
        proximal_mm=ends[:, 0] - margins.proximal_mm,
        distal_mm=ends[:, 1] + margins.distal_mm,
        target_proximal_mm=ends[:, 0],
        target_distal_mm=ends[:, 1],
        half_chord_mm=half,
        through_target=distance <= radius_mm,
    )


def spot_fluence(stack: LayerStack, intervals: DepthIntervals, sad_mm: tuple[float, float] | None) -> FloatArray:
    """Protons per cm2 of each spot, in the isocentre plane, for a plateau of 1 MeV/g on each ray; (n_layer, n_ray).

    With virtual sources at `sad_mm` the spots spread on their way and the plateau is raised to make up for it. A ray
    whose whole interval lies before the shallowest layer gets none.
    """
    sad = np.asarray(sad_mm if sad_mm is not None else (np.inf, np.inf))
    fluence = np.zeros((stack.n_layer, intervals.distal_mm.size))
    for ray in np.flatnonzero(intervals.distal_mm >= stack.range_mm.min()):
        before, behind = (float(np.prod(1.0 + way / sad)) for way in intervals.half_chord_mm[ray] * np.array([-1, 1]))
        fluence[:, ray] = sobp_weights(
            stack, float(intervals.proximal_mm[ray]), float(intervals.distal_mm[ray]), gain=(before, behind)
        )
    return fluence
