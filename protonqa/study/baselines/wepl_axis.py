"""Activity on the water-equivalent axis: per mm of water and over RSP, where tissue boundaries leave no steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.study.baselines.interface import RayProfiles

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Gas still advances the proton a little: the axis must increase.
LEAST_RSP = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeplAxis:
    """Geometric and water-equivalent depth of the bin edges.

    Parameters
    ----------
    edges_mm : (n_depth + 1,)
        Geometric depths.
    wepl_mm : (n_ray, n_depth + 1)
        Water-equivalent depths of these edges, from depth 0.
    """

    edges_mm: Floats
    wepl_mm: Floats

    @classmethod
    def of(cls, rays: RayProfiles) -> WeplAxis:
        """The axis of rays with RSP; where a ray's RSP is not known its mean (or 1) stands, behind it the last one."""
        step = rays.step_mm
        edges = np.append(rays.depth_mm - 0.5 * step, rays.depth_mm[-1] + 0.5 * step)
        rsp = filled_rsp(rays)
        # The surface counts from depth 0, which need not be an edge.
        before = edges[0] * rsp[:, :1]
        return cls(edges_mm=edges, wepl_mm=np.concatenate([before, before + np.cumsum(rsp, axis=1) * step], axis=1))

    def to_wepl_mm(self, depth_mm: Floats) -> Floats:
        """Water-equivalent depth of one depth a ray, (n_ray,)."""
        return np.array([_along(d, self.edges_mm, w) for d, w in zip(depth_mm, self.wepl_mm, strict=True)])

    def to_depth_mm(self, wepl_mm: Floats) -> Floats:
        """Geometric depth of one water-equivalent depth a ray, (n_ray,)."""
        return np.array([_along(w, axis, self.edges_mm) for w, axis in zip(wepl_mm, self.wepl_mm, strict=True)])


def on_wepl_axis(rays: RayProfiles, axis: WeplAxis, n_bin: int) -> tuple[Floats, Flags]:
    """Activity per mm of water in 1 mm water-equivalent bins from depth 0, and which bins are usable; (n_ray, n_bin).

    The integral is conserved: what a geometric bin holds is shared out over its water-equivalent length.
    """
    usable = rays.usable
    held = np.cumsum(np.where(usable, rays.activity, 0.0), axis=1) * rays.step_mm
    covered = np.cumsum(np.where(usable, np.diff(axis.wepl_mm, axis=1), 0.0), axis=1)
    marks = np.arange(n_bin + 1, dtype=np.float64)
    amount, length = np.empty((rays.n_ray, n_bin)), np.empty((rays.n_ray, n_bin))
    for row, wepl in enumerate(axis.wepl_mm):
        amount[row] = np.diff(np.interp(marks, wepl, np.append(0.0, held[row])))
        length[row] = np.diff(np.interp(marks, wepl, np.append(0.0, covered[row])))
    inside = length >= 0.5
    return np.where(inside, amount / np.where(inside, length, 1.0), 0.0), inside


def filled_rsp(rays: RayProfiles) -> Floats:
    """RSP of every bin, (n_ray, n_depth): the mean of a ray in gaps, the last known one behind; 1 without any."""
    if rays.rsp is None:
        return np.ones(rays.activity.shape)
    known = rsp_known(rays)
    value = np.where(known, rays.rsp, 0.0)
    count = known.sum(axis=1, keepdims=True)
    mean = np.where(count > 0, value.sum(axis=1, keepdims=True) / np.maximum(count, 1), 1.0)
    index = np.arange(known.shape[1])
    last = np.where(known, index, -1).max(axis=1, keepdims=True)
    behind = np.take_along_axis(value, np.maximum(last, 0), axis=1)
    return np.maximum(np.where(known, value, np.where((index > last) & (count > 0), behind, mean)), LEAST_RSP)


def rsp_known(rays: RayProfiles) -> Flags:
    """(n_ray, n_depth) True where the RSP is a number of 0 or more."""
    if rays.rsp is None:
        return np.zeros(rays.activity.shape, dtype=bool)
    return np.asarray(np.isfinite(rays.rsp) & (np.nan_to_num(rays.rsp, nan=-1.0) >= 0))


def _along(value: float, start: Floats, goal: Floats) -> float:
    """Interpolation that goes on beyond the last edges as in the outermost bins."""
    if value > start[-1]:
        return float(goal[-1] + (value - start[-1]) * (goal[-1] - goal[-2]) / (start[-1] - start[-2]))
    if value < start[0]:
        return float(goal[0] + (value - start[0]) * (goal[1] - goal[0]) / (start[1] - start[0]))
    return float(np.interp(value, start, goal))
