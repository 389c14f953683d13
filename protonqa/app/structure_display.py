"""Structures made ready to be looked at: their contours plane by plane, and a mask of each on the voxels of the CT.

Inside is where a line to the point crosses the contours of its plane an odd number of times, so that a contour within
another one is a hole. Voxels count by their centres: no edge is drawn, no area is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.app.progress import Cancel, Progress, report_progress
from protonqa.durable import store_error
from protonqa.values import Finding, Grid, Severity, Structure, StructureSet

#: Points of one contour closer than this in z lie in one axial plane, and contours closer than this in the same one.
_SAME_PLANE_MM = 0.05
#: A slice belongs to a plane within half the spacing of the planes, which real ones keep to within a percent.
_REACH = 0.51
#: All masks together; structures beyond it are drawn in the axial view only.
MOST_MASK_VOXELS = 1_000_000_000
#: Edges that are crossed with all rows at once.
_EDGES = 4096

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planes:
    """The axial contours of a structure.

    Parameters
    ----------
    z_mm : (n,) float64
        Increasing.
    contours : tuple of tuples of (m, 3) float64
        Those of each plane.
    reach_mm : float
        How far from a plane a slice still shows it.
    tilted : int
        Contours that lie in no axial plane and are not shown.
    """

    z_mm: Points
    contours: tuple[tuple[Points, ...], ...]
    reach_mm: float
    tilted: int

    def nearest(self, z_mm: Points) -> NDArray[np.int64]:
        """The plane that each slice shows, -1 for none."""
        if not self.z_mm.size:
            return np.full(len(z_mm), -1, dtype=np.int64)
        above = np.minimum(np.searchsorted(self.z_mm, z_mm), len(self.z_mm) - 1)
        below = np.maximum(above - 1, 0)
        plane = np.where(np.abs(self.z_mm[below] - z_mm) < np.abs(self.z_mm[above] - z_mm), below, above)
        return np.where(np.abs(self.z_mm[plane] - z_mm) <= self.reach_mm, plane, -1)


def planes_of(structure: Structure, slice_mm: float) -> Planes:
    """Contours sorted into axial planes; `slice_mm` is the spacing where there is one plane only."""
    flat = [one for one in structure.contours if np.ptp(one[:, 2]) <= _SAME_PLANE_MM]
    flat.sort(key=lambda one: float(one[0, 2]))
    z_mm: list[float] = []
    planes: list[list[Points]] = []
    for one in flat:
        if not z_mm or one[0, 2] - z_mm[-1] > _SAME_PLANE_MM:
            z_mm.append(float(one[0, 2]))
            planes.append([])
        planes[-1].append(one)
    spacing = float(np.median(np.diff(z_mm))) if len(z_mm) > 1 else slice_mm
    return Planes(
        z_mm=np.array(z_mm),
        contours=tuple(tuple(one) for one in planes),
        reach_mm=_REACH * spacing,
        tilted=len(structure.contours) - len(flat),
    )


def mask_of(planes: Planes, grid: Grid) -> tuple[NDArray[np.bool_], tuple[int, int, int]] | None:
    """Voxels inside, on an upright grid, as a box (bool, [z, y, x]) and its first (x, y, z); None where there are none.

    A structure that reaches beyond the grid is cut off there.
    """
    nz, ny, nx = grid.shape
    z_mm = np.asarray(grid.origin_mm[2] + grid.spacing_mm[2] * np.arange(nz), dtype=np.float64)
    plane = planes.nearest(z_mm)
    rows = np.flatnonzero(plane >= 0)
    if not rows.size:
        return None
    loops = [[_index(one, grid) for one in contours] for contours in planes.contours]
    corners = np.concatenate([one for contours in loops for one in contours])
    low = np.clip(np.ceil(corners.min(axis=0)), 0, (nx, ny)).astype(int)
    high = np.clip(np.floor(corners.max(axis=0)) + 1, 0, (nx, ny)).astype(int)
    if (high <= low).any():
        return None
    mask = np.zeros((int(rows[-1] - rows[0]) + 1, int(high[1] - low[1]), int(high[0] - low[0])), dtype=np.bool_)
    for number in np.unique(plane[rows]):
        inside = _inside([one - low for one in loops[number]], (mask.shape[1], mask.shape[2]))
        mask[np.flatnonzero(plane == number) - rows[0]] = inside
    return mask, (int(low[0]), int(low[1]), int(rows[0]))


def _index(contour: Points, grid: Grid) -> Points:
    """Continuous (x, y) indices of the voxels."""
    return np.asarray((contour[:, :2] - grid.origin_mm[:2]) / grid.spacing_mm[:2])


def _inside(loops: list[Points], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centres lie within an odd number of loops; (x, y) in pixels."""
    ny, nx = shape
    crossed = np.zeros(ny * (nx + 1), dtype=np.int64)
    first = np.concatenate(loops)
    second = np.concatenate([np.roll(one, -1, axis=0) for one in loops])
    for start in range(0, len(first), _EDGES):
        crossed += _crossings(first[start : start + _EDGES], second[start : start + _EDGES], ny, nx)
    return np.asarray(np.cumsum(crossed.reshape(ny, nx + 1), axis=1)[:, :nx] % 2 == 1)


def _crossings(first: Points, second: Points, ny: int, nx: int) -> NDArray[np.int64]:
    """How many edges cross each row just before each pixel; the last column is behind the last pixel."""
    low, high = np.minimum(first[:, 1], second[:, 1]), np.maximum(first[:, 1], second[:, 1])
    # From the lower end inclusive to the upper exclusive: a corner between two edges counts once.
    begin = np.clip(np.ceil(low), 0, ny).astype(np.int64)
    count = np.clip(np.ceil(high), 0, ny).astype(np.int64) - begin
    edge = np.repeat(np.arange(len(first)), count)
    row = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count) + begin[edge]
    along = (row - first[edge, 1]) / (second[edge, 1] - first[edge, 1])
    x = first[edge, 0] + along * (second[edge, 0] - first[edge, 0])
    column = np.clip(np.ceil(x), 0, nx).astype(np.int64)
    return np.bincount(row * (nx + 1) + column, minlength=ny * (nx + 1))


def write_structures(
    structures: StructureSet,
    grid: Grid,
    folder: Path,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> tuple[list[dict[str, Any]], tuple[Finding, ...]]:
    """Write contours and masks as ``.npy`` into `folder`; returns what is there, as JSON types.

    Parameters
    ----------
    structures : StructureSet
    grid : Grid
        Of the upright CT.

    Returns
    -------
    entries : list of dict
        ``name``, ``colour`` (RGB or None), ``planes_mm``, ``starts`` (first point of each plane, and their number),
        ``reach_mm``, ``points`` (file: n rows of x, y in mm and 1 where a line leads to the next point) and ``mask``
        (None, or ``file``, ``origin_mm``, ``spacing_mm``). Structures without axial contours are left out.
    findings : tuple of Finding

    Raises
    ------
    StoreError
        The files cannot be written.
    Cancelled
    """
    entries: list[dict[str, Any]] = []
    tilted = hidden = voxels = 0
    for place, one in enumerate(structures.structures):
        report_progress(progress, cancel, place, len(structures.structures), "preparing the structures")
        planes = planes_of(one, grid.spacing_mm[2])
        tilted += planes.tilted
        if not planes.z_mm.size:
            continue
        entry = _write_planes(one, planes, folder / f"structure-{place}-points.npy")
        # The box is never larger than the CT, so that one mask more than the limit is the most there can be.
        boxed = mask_of(planes, grid) if voxels < MOST_MASK_VOXELS else None
        hidden += voxels >= MOST_MASK_VOXELS
        if boxed is not None:
            voxels += boxed[0].size
            entry["mask"] = _write_mask(*boxed, grid, folder / f"structure-{place}-mask.npy")
        entries.append(entry)
    texts = []
    if tilted:
        texts.append(f"{tilted} contour(s) lie in no axial plane and are not shown.")
    if hidden:
        texts.append(f"{hidden} structure(s) are shown in the axial view only: there are too many for the others.")
    found = [Finding(severity=Severity.INFO, code="SHOWN-STRUCTURES", text=f"RT Structure Set: {one}") for one in texts]
    return entries, tuple(found)


def _write_planes(structure: Structure, planes: Planes, path: Path) -> dict[str, Any]:
    """Each contour comes back to its first point, from where no line leads on."""
    rows, starts = [], [0]
    for contours in planes.contours:
        for one in contours:
            closed = np.ones((len(one) + 1, 3), dtype=np.float32)
            closed[:-1, :2], closed[-1, :2], closed[-1, 2] = one[:, :2], one[0, :2], 0.0
            rows.append(closed)
        starts.append(starts[-1] + sum(len(one) + 1 for one in contours))
    _save(path, np.concatenate(rows))
    return {
        "name": structure.name,
        "colour": None if structure.colour_rgb is None else list(structure.colour_rgb),
        "planes_mm": planes.z_mm.tolist(),
        "starts": starts,
        "reach_mm": planes.reach_mm,
        "points": str(path),
        "mask": None,
    }


def _write_mask(mask: NDArray[np.bool_], first: tuple[int, int, int], grid: Grid, path: Path) -> dict[str, Any]:
    _save(path, mask)
    origin = [start + step * index for start, step, index in zip(grid.origin_mm, grid.spacing_mm, first, strict=True)]
    return {"file": str(path), "origin_mm": origin, "spacing_mm": list(grid.spacing_mm)}


def _save(path: Path, array: NDArray[Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array, allow_pickle=False)
    except OSError as error:
        raise store_error("view of the case", "write", error) from error
