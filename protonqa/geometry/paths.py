"""Straight lines through a voxel grid: which voxels, and how far in each. Exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.values import Grid, Volume

FloatArray = NDArray[np.float64]

_LINES_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VoxelPaths:
    """The voxels that lines pass, in order.

    Parameters
    ----------
    way_mm : (n, m + 1)
        Way along each line, from its given point, of the voxel faces it crosses; repeated where nothing is left.
    voxel : (n, m) int
        Flat index ``[z, y, x]`` of the voxel between two faces; the number of voxels where the line is outside.
    """

    way_mm: FloatArray
    voxel: NDArray[np.intp]

    @property
    def length_mm(self) -> FloatArray:
        """(n, m) length in each voxel."""
        return np.diff(self.way_mm, axis=1)


def voxel_paths(
    grid: Grid, point_mm: FloatArray, direction: FloatArray, *, low_mm: float = -np.inf, high_mm: float = np.inf
) -> VoxelPaths:
    """Voxels along lines, given by a point and a unit vector each; (n, 3), (n, 3) LPS.

    Parameters
    ----------
    low_mm, high_mm : float
        Part of each line that is looked at, as way from its point; the whole line by default.

    Notes
    -----
    All crossings of a line with the grid planes, sorted (after Siddon, Med Phys 12:252, 1985). A line that runs
    exactly in a voxel face counts the voxel on the side of growing index.
    """
    count = np.array(grid.shape[::-1])
    spacing = np.asarray(grid.spacing_mm)
    # In grid axes and voxel units, planes stand at whole numbers.
    start = grid.local_from_world(point_mm) / spacing
    # Rounding of the transformation must not move a line off a face it lies in.
    start = np.where(np.abs(start - np.round(start)) < 1e-9, np.round(start), start)
    slope = grid.local_direction(direction) / spacing
    slope = np.where(np.abs(slope) * spacing < 1e-12, 0.0, slope)
    enter, leave = _through_grid(start, slope, count, low_mm, high_mm)
    hit = leave > enter
    crossings = [enter[:, None], leave[:, None]]
    for axis in range(3):
        moving = hit & (slope[:, axis] != 0)
        if not moving.any():
            continue
        at_ends = start[moving, axis, None] + slope[moving, axis, None] * np.stack([enter, leave], axis=1)[moving]
        planes = np.arange(np.ceil(at_ends.min() - 1e-6), np.floor(at_ends.max() + 1e-6) + 1)
        at = np.repeat(enter[:, None], planes.size, axis=1)
        at[moving] = (planes - start[moving, axis, None]) / slope[moving, axis, None]
        crossings.append(at)
    way = np.sort(np.clip(np.concatenate(crossings, axis=1), enter[:, None], leave[:, None]), axis=1)
    middle = 0.5 * (way[:, 1:] + way[:, :-1])
    flat = np.zeros(middle.shape, dtype=np.intp)
    for axis in (2, 1, 0):
        index = np.floor(start[:, axis, None] + middle * slope[:, axis, None]).astype(np.intp)
        flat = flat * count[axis] + np.clip(index, 0, count[axis] - 1)
    return VoxelPaths(way_mm=way, voxel=np.where(hit[:, None], flat, int(np.prod(count))))


def _through_grid(
    start: FloatArray, slope: FloatArray, count: NDArray[np.int_], low_mm: float, high_mm: float
) -> tuple[FloatArray, FloatArray]:
    """Ways at which lines enter and leave the grid; both 0 for a line that misses it."""
    still = slope == 0.0
    safe = np.where(still, 1.0, slope)
    first, second = (0.0 - start) / safe, (count - start) / safe
    beside = still & ((start < 0) | (start >= count))
    enter = np.where(still, -np.inf, np.minimum(first, second)).max(axis=1)
    leave = np.where(still, np.inf, np.maximum(first, second)).min(axis=1)
    enter, leave = np.maximum(enter, low_mm), np.minimum(leave, high_mm)
    hit = (leave > enter) & ~beside.any(axis=1)
    return np.where(hit, enter, 0.0), np.where(hit, leave, 0.0)


def integrals_between(padded: NDArray[np.float32], paths: VoxelPaths, limit_mm: FloatArray) -> FloatArray:
    """Integrals between consecutive ways along each path.

    Parameters
    ----------
    padded : (n_voxel + 1,)
        Value of each voxel in flat order, and at the end the value outside the grid.
    limit_mm : (n, m + 1)
        Increasing ways within the part of the lines that `paths` covers.

    Returns
    -------
    (n, m)
        In the unit of the values times mm.
    """
    way, outside = paths.way_mm, float(padded[-1])
    steps = padded[paths.voxel] * np.diff(way, axis=1)
    summed = np.concatenate([np.zeros((len(way), 1)), np.cumsum(steps, axis=1)], axis=1)
    at_limit = np.empty_like(limit_mm)
    for i, limit in enumerate(limit_mm):
        at_limit[i] = np.interp(limit, way[i], summed[i])
    at_limit += outside * (np.minimum(limit_mm - way[:, :1], 0.0) + np.maximum(limit_mm - way[:, -1:], 0.0))
    return np.asarray(np.diff(at_limit, axis=1))


def path_integral(volume: Volume, start_mm: ArrayLike, end_mm: ArrayLike, *, outside: float = 0.0) -> FloatArray:
    """Integral of a volume, constant in each voxel, over straight lines; (n, 3), (n, 3) -> (n,) in unit times mm.

    Exact for the voxel model. `outside` counts beyond the volume.
    """
    start = np.atleast_2d(np.asarray(start_mm, dtype=np.float64))
    way = np.atleast_2d(np.asarray(end_mm, dtype=np.float64)) - start
    length = np.linalg.norm(way, axis=1)
    heading = np.where(length[:, None] > 0, way / np.where(length > 0, length, 1.0)[:, None], [1.0, 0.0, 0.0])
    padded = np.append(volume.array, np.float32(outside))
    integral = np.empty(len(start))
    for block in blocks(len(start)):
        paths = voxel_paths(volume.grid, start[block], heading[block], low_mm=0.0, high_mm=float(length[block].max()))
        limits = np.stack([np.zeros_like(length[block]), length[block]], axis=1)
        integral[block] = integrals_between(padded, paths, limits)[:, 0]
    return integral


def blocks(count: int) -> list[slice]:
    """Slices of so many lines that their tables stay small."""
    return [slice(first, min(first + _LINES_AT_ONCE, count)) for first in range(0, count, _LINES_AT_ONCE)]
