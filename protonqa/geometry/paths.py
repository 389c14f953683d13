"""Straight lines through a voxel grid: which voxels, and how far in each. Exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.values import Grid

FloatArray = NDArray[np.float64]


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


def voxel_paths(grid: Grid, point_mm: FloatArray, direction: FloatArray) -> VoxelPaths:
    """Voxels along whole lines, given by a point and a unit vector each; (n, 3), (n, 3) LPS.

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
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (0.0 - start) / slope, (count - start) / slope
    still = slope == 0.0
    low, high = np.where(still, -np.inf, np.minimum(low, high)), np.where(still, np.inf, np.maximum(low, high))
    enter, leave = low.max(axis=1), high.min(axis=1)
    hit = (leave > enter) & ~(still & ((start < 0) | (start >= count))).any(axis=1)
    enter, leave = np.where(hit, enter, 0.0), np.where(hit, leave, 0.0)
    crossings = [enter[:, None], leave[:, None]]
    for axis in range(3):
        with np.errstate(divide="ignore", invalid="ignore"):
            at = (np.arange(1, count[axis]) - start[:, axis, None]) / slope[:, axis, None]
        crossings.append(np.where(still[:, axis, None], enter[:, None], at))
    way = np.sort(np.clip(np.concatenate(crossings, axis=1), enter[:, None], leave[:, None]), axis=1)
    # Most planes lie beyond the ends of most lines: drop the columns that no line uses.
    way = way[:, _first_used(way) :]
    middle = 0.5 * (way[:, 1:] + way[:, :-1])
    flat = np.zeros(middle.shape, dtype=np.intp)
    for axis in (2, 1, 0):
        index = np.floor(start[:, axis, None] + middle * slope[:, axis, None]).astype(np.intp)
        flat = flat * count[axis] + np.clip(index, 0, count[axis] - 1)
    outside = int(np.prod(count))
    return VoxelPaths(way_mm=way, voxel=np.where(hit[:, None], flat, outside))


def _first_used(way: FloatArray) -> int:
    """Columns at the front in which every line still stands at its first face, less one."""
    moved = (way > way[:, :1]).any(axis=0)
    return max(0, int(moved.argmax()) - 1) if moved.any() else way.shape[1] - 2
