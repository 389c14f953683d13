"""Rays through the patient: where they enter the body, what lies along them, water-equivalent depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import GeometryError, InputError
from protonqa.geometry.frames import BeamFrame
from protonqa.geometry.paths import blocks, integrals_between, path_integral, voxel_paths
from protonqa.geometry.resample import sample_at, sample_lines
from protonqa.geometry.wepl import wepl_mm, wepl_to_depth_mm
from protonqa.values import Grid, Volume
from protonqa.values._arrays import frozen_array

FloatArray = NDArray[np.float64]
Sampling = Literal["linear", "voxel"]

__all__ = [
    "RaySet",
    "cast_rays",
    "cast_rays_at",
    "depth_profiles",
    "lateral_lattice",
    "path_integral",
    "sample_along",
    "upstream_wepl_mm",
    "wepl_mm",
    "wepl_to_depth_mm",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RaySet:
    """Straight rays with depth 0 where each enters the body.

    Parameters
    ----------
    frame : BeamFrame
    lateral_mm : (n_ray, 2)
        BEV ``(x, y)`` of each ray in the isocentre plane.
    plane_point_mm : (n_ray, 3)
        LPS position in the isocentre plane.
    direction : (n_ray, 3)
        LPS unit vectors along the travel of the protons.
    entry_mm : (n_ray,)
        Way along the ray from the isocentre plane to depth 0, negative upstream; 0 for a ray that misses the body.
    exit_mm : (n_ray,)
        Way along the ray from the isocentre plane to where it leaves the body for good.
    valid : (n_ray,) bool
        True where the ray meets the body.
    shape : (n_y, n_x) or None
        Lattice of the rays in row-major order, for maps; None when they are no lattice.
    sad_mm : (x, y) or None
        Virtual source-axis distances; None for parallel rays.
    """

    frame: BeamFrame
    lateral_mm: FloatArray
    plane_point_mm: FloatArray
    direction: FloatArray
    entry_mm: FloatArray
    exit_mm: FloatArray
    valid: NDArray[np.bool_]
    shape: tuple[int, int] | None = None
    sad_mm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        lateral = frozen_array(self.lateral_mm, "ray positions", shape=(None, 2))
        n_ray = lateral.shape[0]
        object.__setattr__(self, "lateral_mm", lateral)
        for name in ("plane_point_mm", "direction"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), f"ray {name}", shape=(n_ray, 3)))
        for name in ("entry_mm", "exit_mm"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), f"ray {name}", shape=(n_ray,)))
        object.__setattr__(self, "valid", frozen_array(self.valid, "ray flags", dtype=bool, shape=(n_ray,)))
        if not np.allclose(np.linalg.norm(self.direction, axis=1), 1.0, atol=1e-9):
            raise GeometryError("ray directions are not unit vectors")
        if self.shape is not None and self.shape[0] * self.shape[1] != n_ray:
            raise GeometryError("ray lattice does not hold the rays", got=str(self.shape), expected=f"{n_ray} rays")

    @property
    def n_ray(self) -> int:
        """Number of rays."""
        return int(self.lateral_mm.shape[0])

    @property
    def start_mm(self) -> FloatArray:
        """(n_ray, 3) LPS positions of depth 0."""
        return self.position_mm(0.0)[:, 0]

    @property
    def body_depth_mm(self) -> FloatArray:
        """(n_ray,) depth at which each ray leaves the body for good; 0 for a ray that misses it."""
        return self.exit_mm - self.entry_mm

    def position_mm(self, depth_mm: ArrayLike) -> FloatArray:
        """LPS positions at depths; (n_depth,) for all rays or (n_ray, n_depth) -> (n_ray, n_depth, 3)."""
        depth = np.asarray(depth_mm, dtype=np.float64)
        depth = np.broadcast_to(depth, (self.n_ray, depth.shape[-1] if depth.ndim else 1))
        way = self.entry_mm[:, None] + depth
        return np.asarray(self.plane_point_mm[:, None] + way[..., None] * self.direction[:, None])

    def depth_of_mm(self, position_mm: ArrayLike) -> FloatArray:
        """Depth of the foot point of LPS positions on each ray; (n_ray, 3) or (3,) -> (n_ray,)."""
        gap = np.asarray(position_mm, dtype=np.float64) - self.plane_point_mm
        return np.asarray((gap * self.direction).sum(axis=1) - self.entry_mm)

    def select(self, keep: ArrayLike) -> RaySet:
        """The rays where `keep` ((n_ray,) bool or indices) says so; the lattice is lost."""
        rows = np.arange(self.n_ray)[np.asarray(keep)]
        return RaySet(
            frame=self.frame,
            lateral_mm=self.lateral_mm[rows],
            plane_point_mm=self.plane_point_mm[rows],
            direction=self.direction[rows],
            entry_mm=self.entry_mm[rows],
            exit_mm=self.exit_mm[rows],
            valid=self.valid[rows],
            sad_mm=self.sad_mm,
        )


def lateral_lattice(
    x_mm: tuple[float, float], y_mm: tuple[float, float], pitch_mm: float
) -> tuple[FloatArray, FloatArray]:
    """Regular positions that cover two intervals symmetrically: the coordinates (n_x,) and (n_y,) of the rays."""
    if not pitch_mm > 0:
        raise InputError("ray pitch is not a length", got=f"{pitch_mm} mm", expected="above 0 mm")

    def positions(low: float, high: float) -> FloatArray:
        count = int(np.floor((high - low) / pitch_mm + 1e-9)) + 1
        return np.asarray(0.5 * (low + high) + pitch_mm * (np.arange(count) - 0.5 * (count - 1)))

    return positions(*x_mm), positions(*y_mm)


def cast_rays(
    body: NDArray[np.bool_],
    grid: Grid,
    frame: BeamFrame,
    x_mm: ArrayLike,
    y_mm: ArrayLike,
    *,
    sad_mm: float | tuple[float, float] | None = None,
) -> RaySet:
    """Rays on a lattice of BEV positions, with depth 0 on the outer face of the first body voxel of each.

    Parameters
    ----------
    body : (nz, ny, nx) bool
        Body mask on `grid`.
    x_mm, y_mm : (n_x,), (n_y,)
        BEV coordinates in the isocentre plane; the rays are their product, y slow and x fast.
    sad_mm : float, (x, y) or None
        Virtual source-axis distances for rays that diverge; None for rays parallel to the beam axis.

    Raises
    ------
    GeometryError
        Mask not on the grid, source not upstream of the body.
    """
    x, y = np.meshgrid(np.asarray(x_mm, dtype=np.float64), np.asarray(y_mm, dtype=np.float64))
    rays = cast_rays_at(body, grid, frame, np.stack([x.ravel(), y.ravel()], axis=1), sad_mm=sad_mm)
    return _with_shape(rays, (x.shape[0], x.shape[1]))


def cast_rays_at(
    body: NDArray[np.bool_],
    grid: Grid,
    frame: BeamFrame,
    lateral_mm: ArrayLike,
    *,
    sad_mm: float | tuple[float, float] | None = None,
) -> RaySet:
    """As `cast_rays`, for any BEV positions (n_ray, 2), such as the spots of a field."""
    if body.shape != grid.shape:
        raise GeometryError("body mask is not on the grid", got=str(body.shape), expected=str(grid.shape))
    lateral = np.asarray(lateral_mm, dtype=np.float64)
    if lateral.ndim != 2 or lateral.shape[1] != 2:
        raise GeometryError("ray positions have the wrong shape", got=str(lateral.shape), expected="(n_ray, 2)")
    sad = _checked_sad(sad_mm)
    heading = np.tile(frame.direction, (len(lateral), 1))
    if sad is not None:
        heading += lateral[:, :1] / sad[0] * frame.x_axis + lateral[:, 1:] / sad[1] * frame.y_axis
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    point = frame.lps_from_bev(lateral)
    entry, leave, valid = np.zeros(len(lateral)), np.zeros(len(lateral)), np.zeros(len(lateral), dtype=bool)
    flat_body = np.append(body.ravel(), False)
    for block in blocks(len(lateral)):
        paths = voxel_paths(grid, point[block], heading[block])
        inside = flat_body[paths.voxel] & (paths.length_mm > 0)
        rows = np.arange(len(inside))
        hit = inside.any(axis=1)
        first = inside.argmax(axis=1)
        last = inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
        entry[block] = np.where(hit, paths.way_mm[rows, first], 0.0)
        leave[block] = np.where(hit, paths.way_mm[rows, last + 1], 0.0)
        valid[block] = hit
    if sad is not None and valid.any() and entry[valid].min() < -min(sad):
        raise GeometryError(
            "the virtual source lies inside or behind the body", got=f"{min(sad):.0f} mm from the isocentre"
        )
    return RaySet(
        frame=frame,
        lateral_mm=lateral,
        plane_point_mm=point,
        direction=heading,
        entry_mm=entry,
        exit_mm=leave,
        valid=valid,
        sad_mm=sad,
    )


def sample_along(volume: Volume, rays: RaySet, depth_mm: ArrayLike, *, outside: float = 0.0) -> FloatArray:
    """Trilinear values at depths along rays.

    Parameters
    ----------
    depth_mm : (n_depth,) or (n_ray, n_depth)
    outside : float
        Value beyond the volume.

    Returns
    -------
    (n_ray, n_depth)
    """
    return sample_at(volume, rays.position_mm(depth_mm), outside=outside)


def depth_profiles(
    volume: Volume,
    rays: RaySet,
    n_depth: int,
    *,
    bin_mm: float = 1.0,
    sampling: Sampling = "linear",
    substeps: int = 4,
    cross_section_mm: float = 0.0,
    lattice: int = 3,
    outside: float = 0.0,
) -> FloatArray:
    """Mean values in depth bins along rays; bin i reaches from ``i`` to ``i + 1`` times `bin_mm` from depth 0.

    Parameters
    ----------
    n_depth : int
        Number of bins.
    sampling : {"linear", "voxel"}
        "linear" for images (PET, dose): trilinear, the mean of `substeps` points a bin. "voxel" for what is constant
        in each voxel (RSP, HU of the transport): the exact mean over the way through the voxels.
    cross_section_mm : float
        Side of the square across the ray that is averaged (BEV x and y, at all depths the same); 0 is a line.
    lattice : int
        The square is averaged over lattice x lattice parallel lines at the centres of its parts.
    outside : float
        Value beyond the volume.

    Returns
    -------
    (n_ray, n_depth)
        Depth 0 is that of the central line for the whole cross section. Rays that miss the body are zero.
    """
    if n_depth < 1 or not bin_mm > 0 or substeps < 1 or lattice < 1 or cross_section_mm < 0:
        raise InputError(
            "depth bins make no sense",
            got=f"{n_depth} bins of {bin_mm} mm, {substeps} substeps, {lattice} lines, {cross_section_mm} mm wide",
        )
    offsets = np.zeros((1, 2))
    if cross_section_mm > 0:
        steps = cross_section_mm * ((np.arange(lattice) + 0.5) / lattice - 0.5)
        offsets = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    # One value more than voxels: what a line meets outside the grid.
    padded = np.append(volume.array, np.float32(outside)) if sampling == "voxel" else np.empty(0, dtype=np.float32)
    profile = np.zeros((rays.n_ray, n_depth))
    hit = np.flatnonzero(rays.valid)
    for block in blocks(hit.size):
        rows = hit[block]
        start = rays.plane_point_mm[rows] + rays.entry_mm[rows, None] * rays.direction[rows]
        for dx, dy in offsets:
            shifted = start + dx * rays.frame.x_axis + dy * rays.frame.y_axis
            if sampling == "voxel":
                profile[rows] += _voxel_means(volume.grid, padded, shifted, rays.direction[rows], n_depth, bin_mm)
            else:
                profile[rows] += _linear_means(
                    volume, shifted, rays.direction[rows], n_depth, bin_mm, substeps, outside
                )
    return profile / len(offsets)


def upstream_wepl_mm(rsp: Volume, rays: RaySet) -> FloatArray:
    """Water-equivalent path from the edge of the grid to depth 0: couch, masks, air; (n_ray,), 0 for a miss.

    The RSP is taken constant in each voxel and the path is exact.
    """
    wepl = np.zeros(rays.n_ray)
    hit = np.flatnonzero(rays.valid)
    padded = np.append(rsp.array, np.float32(0.0))
    for block in blocks(hit.size):
        rows = hit[block]
        entry = rays.entry_mm[rows]
        paths = voxel_paths(rsp.grid, rays.plane_point_mm[rows], rays.direction[rows], high_mm=float(entry.max()))
        upstream = np.minimum(paths.way_mm, entry[:, None])
        wepl[rows] = (padded[paths.voxel] * np.diff(upstream, axis=1)).sum(axis=1)
    return wepl


def _voxel_means(
    grid: Grid, padded: NDArray[np.float32], start: FloatArray, heading: FloatArray, n_depth: int, bin_mm: float
) -> FloatArray:
    edges = np.tile(np.arange(n_depth + 1) * bin_mm, (len(start), 1))
    paths = voxel_paths(grid, start, heading, low_mm=0.0, high_mm=n_depth * bin_mm)
    return integrals_between(padded, paths, edges) / bin_mm


def _linear_means(
    volume: Volume, start: FloatArray, heading: FloatArray, n_depth: int, bin_mm: float, substeps: int, outside: float
) -> FloatArray:
    depth = (np.arange(n_depth * substeps) + 0.5) * (bin_mm / substeps)
    values = sample_lines(volume, start, heading, depth, outside=outside)
    return np.asarray(values.reshape(len(start), n_depth, substeps).mean(axis=2))


def _checked_sad(sad_mm: float | tuple[float, float] | None) -> tuple[float, float] | None:
    if sad_mm is None:
        return None
    sad = (sad_mm, sad_mm) if isinstance(sad_mm, int | float) else (sad_mm[0], sad_mm[1])
    if not all(np.isfinite(s) and s > 0 for s in sad):
        raise GeometryError("virtual source-axis distance is not a length", got=f"{sad} mm", expected="above 0 mm")
    return float(sad[0]), float(sad[1])


def _with_shape(rays: RaySet, shape: tuple[int, int]) -> RaySet:
    return RaySet(
        frame=rays.frame,
        lateral_mm=rays.lateral_mm,
        plane_point_mm=rays.plane_point_mm,
        direction=rays.direction,
        entry_mm=rays.entry_mm,
        exit_mm=rays.exit_mm,
        valid=rays.valid,
        shape=shape,
        sad_mm=rays.sad_mm,
    )
