"""Values of a volume elsewhere: at points, on another grid, as a beam's-eye-view image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates

from protonqa.errors import GeometryError
from protonqa.geometry.frames import BeamFrame
from protonqa.values import Grid, Volume

FloatArray = NDArray[np.float64]

_POINTS_AT_ONCE = 2_000_000


def sample_at(volume: Volume, position_mm: ArrayLike, *, outside: float = 0.0) -> FloatArray:
    """Trilinear values at LPS positions.

    Parameters
    ----------
    position_mm : (..., 3)
        LPS. Between the outermost voxel centres and the outer voxel faces the edge value holds.
    outside : float
        Value beyond the outer voxel faces.

    Returns
    -------
    (...)
    """
    position = np.asarray(position_mm, dtype=np.float64)
    if position.shape[-1:] != (3,):
        raise GeometryError("positions have the wrong shape", got=str(position.shape), expected="(..., 3)")
    flat = position.reshape(-1, 3)
    values = np.empty(len(flat))
    for first in range(0, len(flat), _POINTS_AT_ONCE):
        block = slice(first, first + _POINTS_AT_ONCE)
        values[block] = _trilinear(volume, volume.grid.index_from_world(flat[block]).T[::-1], outside)
    return values.reshape(position.shape[:-1])


def sample_lines(
    volume: Volume, start_mm: ArrayLike, direction: ArrayLike, way_mm: ArrayLike, *, outside: float = 0.0
) -> FloatArray:
    """Trilinear values along straight lines, as `sample_at` but without a table of positions.

    Parameters
    ----------
    start_mm, direction : (n, 3)
        LPS position and unit vector of each line.
    way_mm : (m,)
        Ways along the lines.

    Returns
    -------
    (n, m)
    """
    start = np.asarray(start_mm, dtype=np.float64)
    way = np.asarray(way_mm, dtype=np.float64)
    first = volume.grid.index_from_world(start)
    slope = volume.grid.local_direction(direction) / np.asarray(volume.grid.spacing_mm)
    index = first.T[::-1, :, None] + slope.T[::-1, :, None] * way
    return _trilinear(volume, index.reshape(3, -1), outside).reshape(len(start), way.size)


def resample(volume: Volume, grid: Grid, *, outside: float = 0.0) -> Volume:
    """`volume` on another grid by trilinear interpolation; `outside` beyond its outer voxel faces.

    Going to coarser voxels does not average: smooth first where fine detail must not alias.
    """
    if volume.grid.matches(grid, tolerance_mm=1e-6):
        return volume
    nz, ny, nx = grid.shape
    # Index in the source of each target voxel is affine in the target index: no table of world positions is needed.
    corner = volume.grid.index_from_world(grid.world_from_index((0.0, 0.0, 0.0)))
    steps = volume.grid.index_from_world(grid.world_from_index(np.eye(3))) - corner
    array = np.empty(grid.shape, dtype=np.float32)
    plane = corner + np.arange(ny)[:, None, None] * steps[1] + np.arange(nx)[None, :, None] * steps[0]
    for z in range(nz):
        index = (plane + z * steps[2]).reshape(-1, 3).T[::-1]
        array[z] = _trilinear(volume, index, outside).reshape(ny, nx)
    return Volume(grid=grid, array=array, unit=volume.unit)


def bev_image(
    volume: Volume, frame: BeamFrame, x_mm: ArrayLike, y_mm: ArrayLike, along_mm: float = 0.0, *, outside: float = 0.0
) -> FloatArray:
    """Values in a plane across the beam; `x_mm` (n_x,), `y_mm` (n_y,) in BEV -> (n_y, n_x)."""
    x, y = np.meshgrid(np.asarray(x_mm, dtype=np.float64), np.asarray(y_mm, dtype=np.float64))
    return sample_at(volume, frame.lps_from_bev(np.stack([x, y], axis=-1), along_mm), outside=outside)


def bev_grid(
    frame: BeamFrame,
    *,
    x_mm: tuple[float, float],
    y_mm: tuple[float, float],
    along_mm: tuple[float, float],
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Grid:
    """A grid whose x, y and z index run along BEV x, y and the travel of the protons.

    Parameters
    ----------
    x_mm, y_mm, along_mm : (low, high)
        Outer faces in BEV coordinates; rounded up to whole voxels at the high side.
    """
    limits = np.array([x_mm, y_mm, along_mm], dtype=np.float64)
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    if not (np.diff(limits, axis=1) > 0).all():
        raise GeometryError("beam's-eye-view grid is empty", got=str(limits.tolist()), expected="low below high in mm")
    nx, ny, nz = (int(n) for n in np.ceil((limits[:, 1] - limits[:, 0]) / spacing - 1e-9))
    return Grid(
        shape=(nz, ny, nx),
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        origin_mm=tuple(frame.lps_from_bev(limits[:, 0] + 0.5 * spacing)),
        direction=np.stack([frame.x_axis, frame.y_axis, frame.direction], axis=1),
    )


def bounding_box(
    mask: NDArray[np.bool_], *, grid: Grid | None = None, margin_mm: float = 0.0
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The smallest index box ``[start, stop)`` in ``[z, y, x]`` around the True voxels, widened by `margin_mm`.

    Raises
    ------
    GeometryError
        No voxel is True; a margin without the grid it is measured on.
    """
    if margin_mm and grid is None:
        raise GeometryError("a margin in mm needs the grid", got=f"{margin_mm} mm")
    spacing = (1.0, 1.0, 1.0) if grid is None else grid.spacing_mm[::-1]
    start, stop = [], []
    for axis, (count, step) in enumerate(zip(mask.shape, spacing, strict=True)):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if used.size == 0:
            raise GeometryError("nothing to put a box around", got="an empty mask")
        margin = int(np.ceil(margin_mm / step - 1e-9))
        start.append(max(0, int(used[0]) - margin))
        stop.append(min(count, int(used[-1]) + 1 + margin))
    return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])


def crop(volume: Volume, start_zyx: tuple[int, int, int], stop_zyx: tuple[int, int, int]) -> Volume:
    """The part of a volume inside the index box ``[start, stop)`` in ``[z, y, x]``."""
    box = tuple(slice(a, b) for a, b in zip(start_zyx, stop_zyx, strict=True))
    return Volume(grid=volume.grid.crop(start_zyx, stop_zyx), array=volume.array[box].copy(), unit=volume.unit)


def _trilinear(volume: Volume, index_zyx: FloatArray, outside: float) -> FloatArray:
    """Values at continuous indices (3, n)."""
    values: FloatArray = map_coordinates(volume.array, index_zyx, order=1, mode="nearest", output=np.float64)
    for index, count in zip(index_zyx, volume.grid.shape, strict=True):
        # A point on an outer face belongs to the grid whichever way the last digit was rounded.
        if index.size and (index.min() < -0.5 - 1e-9 or index.max() > count - 0.5 + 1e-9):
            values[(index < -0.5 - 1e-9) | (index > count - 0.5 + 1e-9)] = outside
    return values
