"""Dose of a scanned field as a sum of analytic pencil beams: good enough to set the monitor units.

Each spot is a Gaussian around its ray, as wide as the spot in air and the scattering in the water-equivalent depth
travelled, times the depth dose in water at that depth. What the ray meets counts with its stopping power along the
central line only; lateral inhomogeneity and the nuclear halo do not. In water the dose at the target centre is within
3 % of this project's Monte Carlo (targets at 70 to 220 mm); expect 5 % in soft tissue, more behind bone edges or lung.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.geometry.rays import RaySet, depth_profiles, upstream_wepl_mm, wepl_mm
from protonqa.phantom.layers import LayerStack
from protonqa.physics.bragg import lateral_sigma_mm
from protonqa.physics.rsp import rsp_from_hu
from protonqa.values import Hlut, Volume
from protonqa.values._arrays import frozen_array

FloatArray = NDArray[np.float64]

#: Gy per MeV/g.
GY_PER_MEV_PER_G = 1.602176634e-10
_BIN_MM = 1.0
_MM2_PER_CM2 = 100.0
_TABLE_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WaterDepth:
    """Rays with their water-equivalent depth.

    Parameters
    ----------
    rays : RaySet
        Only rays that meet the body.
    wepl_mm : (n_ray, n_edge)
        Water-equivalent path from the edge of the CT to 0, 1, 2, ... mm behind the entry into the body.
    """

    rays: RaySet
    wepl_mm: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "wepl_mm", frozen_array(self.wepl_mm, "WEPL", shape=(self.rays.n_ray, None)))

    def at_way(self, way_mm: FloatArray) -> FloatArray:
        """WEPL at ways along the rays from the isocentre plane; (n_ray, n) -> (n_ray, n).

        Before the body it is that of the entry, behind the body that of the exit.
        """
        depth = np.clip((way_mm - self.rays.entry_mm[:, None]) / _BIN_MM, 0.0, self.wepl_mm.shape[1] - 1.0)
        lower = np.minimum(depth.astype(np.intp), self.wepl_mm.shape[1] - 2)
        share = depth - lower
        before = np.take_along_axis(self.wepl_mm, lower, axis=1)
        behind = np.take_along_axis(self.wepl_mm, lower + 1, axis=1)
        return np.asarray(before + share * (behind - before))


def rsp_volume(ct: Volume, hlut: Hlut | None) -> Volume:
    """RSP of a CT. Whole CT numbers, the usual case, go through a table: five times faster, the same values."""
    whole = np.rint(ct.array)
    low, high = int(whole.min()), int(whole.max())
    if high - low > _TABLE_LIMIT or not np.array_equal(whole, ct.array):
        return ct.with_array(rsp_from_hu(ct.array, hlut).astype(np.float32), unit="RSP")
    table = rsp_from_hu(np.arange(low, high + 1), hlut).astype(np.float32)
    return ct.with_array(table[whole.astype(np.int32) - low], unit="RSP")


def water_depth(rsp: Volume, rays: RaySet) -> WaterDepth:
    """Water-equivalent depth along rays, couch and masks upstream of the body included; exact for the voxels."""
    n_depth = max(1, int(np.ceil(rays.body_depth_mm.max() / _BIN_MM)))
    upstream = upstream_wepl_mm(rsp, rays)
    ends = wepl_mm(depth_profiles(rsp, rays, n_depth, sampling="voxel"), upstream_mm=upstream)
    return WaterDepth(rays=rays, wepl_mm=np.concatenate([upstream[:, None], ends], axis=1))


def superposed_dose_gy(
    depths: WaterDepth, stack: LayerStack, protons: ArrayLike, bev_mm: ArrayLike, *, batch: int = 200
) -> FloatArray:
    """Dose to water at points of the beam's-eye view.

    Parameters
    ----------
    depths : WaterDepth
        One ray for each spot position.
    protons : (n_layer, n_ray)
        Protons of each spot.
    bev_mm : (n_point, 3)
        ``(x, y, along)`` in the frame of the rays.
    batch : int
        Points handled at once.

    Returns
    -------
    (n_point,)
    """
    points = np.atleast_2d(np.asarray(bev_mm, dtype=np.float64))
    weights = np.asarray(protons, dtype=np.float64)
    parts = [_dose(depths, stack, weights, points[i : i + batch]) for i in range(0, len(points), batch)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _dose(depths: WaterDepth, stack: LayerStack, protons: FloatArray, points: FloatArray) -> FloatArray:
    rays = depths.rays
    sad = np.asarray(rays.sad_mm) if rays.sad_mm is not None else np.array([np.inf, np.inf])
    along = points[:, 2]
    # Rays spread from the virtual sources: in the plane of a point they stand further out than at the isocentre.
    gap = [points[:, i] - rays.lateral_mm[:, i, None] * (1.0 + along / sad[i]) for i in range(2)]
    stretch = np.sqrt(1.0 + ((rays.lateral_mm / sad) ** 2).sum(axis=1))
    water = depths.at_way(stretch[:, None] * along)
    total = np.zeros(len(points))
    for layer in np.flatnonzero(protons.any(axis=1)):
        spots = np.flatnonzero(protons[layer])
        depth = water[spots]
        scatter = lateral_sigma_mm(depth, float(stack.mean_mev[layer])) ** 2
        shape = np.ones_like(depth)
        for axis in range(2):
            drift = 1e-3 * stack.divergence_mrad[layer, axis] * along
            variance = stack.sigma_mm[layer, axis] ** 2 + drift**2 + scatter
            shape *= np.exp(-0.5 * gap[axis][spots] ** 2 / variance) / np.sqrt(2.0 * np.pi * variance)
        curve = np.interp(depth, stack.depth_mm, stack.dose[layer], right=0.0)
        total += protons[layer, spots] @ (curve * shape)
    return np.asarray(total * _MM2_PER_CM2 * GY_PER_MEV_PER_G)
